/* hostring.h - the host's end of a channel's two rings.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * On purpose not lib/kd's ring.h, which guests under test are made of: host and guest would agree
 * on each other's mistakes. Written from Linux's and openvmm's rules alone; what a ring allows but
 * no guest should do is a violation here.
 */
#ifndef HVHOST_HOSTRING_H
#define HVHOST_HOSTRING_H

#include <stdbool.h>
#include <stdint.h>

struct host;
struct channel;
struct gpadl;

/* The largest packet that the host takes: a pipe packet of 16384 bytes and its headers. */
#define HOSTRING_PACKET_MAX 24576u

struct host_ring {
    uint8_t *control;      /* the ring's first page */
    const uint64_t *pages; /* numbers of the data pages */
    uint32_t size;         /* of the data */
    uint32_t position;     /* the host's own index */
    uint32_t other;        /* the guest's index when last looked at */
    uint64_t waiting_time; /* writer: since when there is no room; reader: data without signal */
    bool broken;           /* after a violation the ring is not used any more */
    bool complained;
    bool spoiled; /* on purpose: its write index may be wrong */
};

/* A packet that was read: copied once, so that the guest cannot change it. */
struct host_packet {
    uint16_t type, flags;
    uint64_t transaction;
    uint32_t payload; /* offset in bytes */
    uint32_t length;  /* of all but the trailer */
    uint8_t bytes[HOSTRING_PACKET_MAX];
};

/* count pages from the first one on: the control page and data. False: the guest's control page is
 * not as it must be, which is reported. */
bool hostring_open(struct host *host, struct host_ring *ring, const struct gpadl *gpadl,
                   uint32_t first, uint32_t count, bool writer);

/* The guest's next packet. False: there is none, or the ring is broken (reported). */
bool hostring_read(struct host *host, struct channel *channel, struct host_packet *packet);

/* Whether the guest has published something that was not read. */
bool hostring_pending(const struct host_ring *ring);

/* Gives the space back; true: the guest waits for it and is to be signalled. */
bool hostring_release(struct host *host, struct channel *channel, uint32_t before);

struct host_part {
    const void *bytes;
    uint32_t size;
};

/* An in-band packet or a completion to the guest, of two parts. corrupt: enum fault_corrupt. */
struct host_write {
    uint16_t type, flags;
    uint64_t transaction;
    const struct host_part *parts;
    uint32_t corrupt;
};

/* False: there is no room now. *signal: the guest wants to be told. */
bool hostring_write(struct host *host, struct channel *channel, const struct host_write *write,
                    bool *signal);

/* Whether an empty ring takes a packet with so many bytes behind its descriptor. */
bool hostring_takes(const struct host_ring *ring, uint32_t payload);

/* Whether a packet with so many bytes behind its descriptor goes in now; if not, the guest is told
 * how much room is waited for. */
bool hostring_has_room(struct host *host, struct channel *channel, uint32_t payload);

/* Bytes behind the descriptor of the guest's next packet, unchecked; 0: there is none. */
uint32_t hostring_next_size(const struct host_ring *ring);

/* Checks the index that the guest moves in the ring the host writes. */
bool hostring_check_reader(struct host *host, struct channel *channel);

#endif
