/* live.h - a Wireshark that reads along: blocks into a FIFO or pipe, for whoever comes to read.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A reader may come at any time; it gets the file's head first, then whole blocks. Blocks wait for
 * it in a buffer of LIVE_BUFFER bytes. A reader that lets the buffer run full is dropped: it gets
 * no more, and another one, or the same, may come as soon as it has gone. Nothing here waits.
 *
 * live_linux.c and live_windows.c implement struct live_port, live.c the rest. For one thread, the
 * recorder's.
 */
#ifndef KDLENS_LIVE_H
#define KDLENS_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"
#include "status.h"

#define LIVE_BUFFER (UINT32_C(8) << 20)

struct live;

/* Writes the blocks a file begins with, as cap_blocks_function. */
typedef size_t (*live_head_function)(void *context, uint8_t *out, size_t room);

/* path: a FIFO, "pipe:NAME" on Windows; "-": standard output. make: it is made when it is not
 * there, and removed at the end. */
struct live *live_new(const char *path, bool make, live_head_function head, void *context,
                      struct status *status, struct problem *problem);

/* What is in the buffer goes out if the reader takes it at once. NULL is allowed. */
void live_free(struct live *live);

/* One whole block. */
void live_block(struct live *live, const uint8_t *block, size_t size);

/* Looks for a reader and writes what it takes; several times a second. */
void live_pump(struct live *live, uint64_t now);

/* --- the system's part */

struct live_port;

struct live_port *live_port_new(const char *path, bool make, struct problem *problem);
void live_port_free(struct live_port *port);

/* Whether a reader has come. After live_port_drop only when the one dropped has gone. */
bool live_port_connect(struct live_port *port);

/* Bytes that went out: 0 when the reader takes none now, -1 when it has gone; live_port_connect
 * then waits for the next. */
ptrdiff_t live_port_write(struct live_port *port, const uint8_t *bytes, size_t size);

/* The reader gets no more. */
void live_port_drop(struct live_port *port);

#endif
