/* kd_tcp.h - KD byte streams out of TCP segments of a capture.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Segments are put in order; what the capture lacks becomes a gap. A connection counts once a KD
 * packet was seen in it; what came before is delivered then, too. Which end is the debugger,
 * packets tell (kd/sender.h); where none does, the one that sent RESET first, then the one that
 * connected.
 *
 * Memory is bounded: KD_TCP_CONNECTIONS connections, of which those without KD are forgotten first,
 * and KD_TCP_WAITING bytes of each that wait for their order, or for the first KD packet.
 */
#ifndef KDLENS_KD_TCP_H
#define KDLENS_KD_TCP_H

#include <stdbool.h>
#include <stdint.h>

#include "datagram.h"
#include "kd_streams.h"

#define KD_TCP_CONNECTIONS 256u
#define KD_TCP_WAITING     (256u << 10)

struct kd_tcp;

/* NULL when memory is short. */
struct kd_tcp *kd_tcp_new(void);
void kd_tcp_free(struct kd_tcp *tcp);

/* A segment. Without memory for it, it is as if the capture lacked it. */
void kd_tcp_see(struct kd_tcp *tcp, uint32_t section, const struct datagram *segment,
                uint32_t frame, uint64_t time);

/* The next chunk that is ready, with the ends of its connection; BYTES are valid until the next
 * call. end: no segment will come. */
bool kd_tcp_next(struct kd_tcp *tcp, bool end, uint32_t *section, struct datagram_end ends[2],
                 struct kd_chunk *chunk);

#endif
