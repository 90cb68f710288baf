/* kd_streams.h - the KD byte streams in a capture file, whichever way they were captured.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   records   LINKTYPE_WIRESHARK_UPPER_PDU for the dissector kd_stream: a tap's recording
 *   peer      serial bytes as UDP between port 51111, the debugger, and 51112
 *   KDNET     datagrams opened with the user's keys, or sent without encryption; each packet gets
 *             the trailer byte of a serial line
 *
 *   TCP       connections in which a KD packet was seen, put in order; see kd_tcp.h
 *   VMBus     records of the dissector vmbus: pipe channels that carry KD
 *
 * Chunks come in the order of the capture.
 */
#ifndef KDLENS_KD_STREAMS_H
#define KDLENS_KD_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/session.h"
#include "capture/reader.h"
#include "capture/upper_pdu.h"
#include "keyring.h"
#include "problem.h"

#define KD_STREAMS_MAX      64u
#define KD_STREAM_TEXT_SIZE 128u

#define PEER_PORT_DEBUGGER 51111u
#define PEER_PORT_TARGET   51112u

enum kd_stream_kind {
    KD_STREAM_RECORDS,
    KD_STREAM_PEER,
    KD_STREAM_KDNET,
    KD_STREAM_PLAIN,
    KD_STREAM_TCP,
    KD_STREAM_VMBUS
};

struct kd_stream {
    enum kd_stream_kind kind;
    char name[KD_STREAM_TEXT_SIZE]; /* of its interface, or between whom it is */
    char description[KD_STREAM_TEXT_SIZE];
    uint64_t speed;
};

enum kd_chunk_kind { KD_CHUNK_BYTES, KD_CHUNK_DATAGRAM, KD_CHUNK_GAP };

struct kd_chunk {
    enum kd_chunk_kind kind;
    unsigned stream; /* number, from 0 */
    uint32_t frame;  /* number of the packet in the capture, as Wireshark counts */
    uint64_t time;
    enum cap_direction direction;
    const uint8_t *bytes; /* BYTES: valid until the next call */
    size_t size;
    const struct kda_datagram *datagram; /* DATAGRAM: valid until the next call */
    enum kda_gap_kind gap;
    uint64_t missing; /* GAP */
};

struct kd_streams_tally {
    uint64_t packets; /* of the capture */
    uint64_t cut;     /* records whose end the capture lacks */
    uint64_t sealed;  /* KDNET datagrams that no key opens */
    uint64_t dropped; /* KDNET datagrams that their receiver drops */
    uint64_t missed;  /* of streams beyond KD_STREAMS_MAX */
};

struct kd_streams;

/* The reader becomes its own. keyring: may be NULL; it gets the keys that are in the capture, too.
 * NULL, with a problem. */
struct kd_streams *kd_streams_new(struct cap_reader *reader, struct keyring *keyring,
                                  struct problem *problem);
void kd_streams_free(struct kd_streams *streams);

/* DATAGRAM and GAP are delivered only after this, and so are streams that consist of them. */
void kd_streams_want_all(struct kd_streams *streams);

/* False at the end and after a failure (cap_reader_failure). */
bool kd_streams_next(struct kd_streams *streams, struct kd_chunk *chunk);

const struct cap_failure *kd_streams_failure(const struct kd_streams *streams);
unsigned kd_streams_count(const struct kd_streams *streams);
const struct kd_stream *kd_streams_get(const struct kd_streams *streams, unsigned number);
const struct kd_streams_tally *kd_streams_tally(const struct kd_streams *streams);

/* How far reading has come: the offset of the newest block. */
uint64_t kd_streams_offset(const struct kd_streams *streams);

#endif
