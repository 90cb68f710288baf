/* vmbus-session.h - what is known about VMBus connections, and what the first visit found out about
 * each event.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A record of the capture format `vmbus` is an event. The session is told of each once, in capture
 * order (the first visit), and returns a struct vmbus_event that holds everything the display needs
 * later. Later visits, in any order, only read it. Links that point forward (the answer of a
 * request, the completion of a packet) are filled in when the other event comes.
 */
#ifndef KDLENS_PLUGIN_VMBUS_SESSION_H
#define KDLENS_PLUGIN_VMBUS_SESSION_H

#include "compat.h"
#include "kd-stream.h"
#include "kd/vmbus.h"
#include "vmbus-experts.h"

/* The head of a record, and its data as far as they were captured. */
struct vmbus_record {
    uint8_t kind;      /* enum kd_vmbus_record_kind */
    uint8_t direction; /* enum kd_vmbus_record_direction */
    uint8_t flags;
    uint8_t sint;
    uint32_t vp;
    uint32_t connection_id;
    uint32_t relid;
    uint32_t status;
    uint32_t number;
    uint32_t ring_size, ring_write, ring_read, ring_start;
    uint32_t event_flag;
    const uint8_t *data;
    uint32_t size;
    bool cut; /* the data lack their end */
};

enum vmbus_channel_state {
    VMBUS_CHANNEL_UNKNOWN, /* the capture begins after the offer */
    VMBUS_CHANNEL_OFFERED,
    VMBUS_CHANNEL_OPENING,
    VMBUS_CHANNEL_OPEN,
    VMBUS_CHANNEL_CLOSED,
    VMBUS_CHANNEL_RESCINDED,
    VMBUS_CHANNEL_GONE, /* released, or its connection ended */
};

extern const value_string vmbus_channel_states[];

/* What the payload of in-band packets is. */
enum vmbus_content {
    VMBUS_CONTENT_OTHER,
    VMBUS_CONTENT_PIPE,
    VMBUS_CONTENT_INTEGRATION, /* heartbeat, shutdown, ...: with a pipe header, too */
    VMBUS_CONTENT_SOCKET,      /* hv_sock: a pipe */
};

struct vmbus_event;

/* One direction of an open channel. */
struct vmbus_ring {
    uint32_t size;   /* of its data, as the GPADL says; 0 not known */
    uint32_t next;   /* where the next packet begins */
    uint32_t losses; /* of events, when that was known */
    bool has_next;
    bool has_sequence;     /* of frames */
    uint32_t sequence;     /* of the last data frame */
    wmem_map_t *requested; /* transaction id -> event that waits for its completion */
};

/* One offer, from its message on. In file scope. */
struct vmbus_channel {
    uint32_t relid;
    uint8_t sint;
    uint16_t offer_flags;
    uint32_t connection_id; /* of its event; 0 not known */
    const char *name;
    enum vmbus_content content;
    enum vmbus_channel_state state; /* after the last event seen */
    bool offered, was_open;
    bool kd;                        /* carries KD */
    uint32_t offered_in, opened_in; /* frames; 0: not in this capture */
    uint32_t opening_id;
    struct vmbus_ring rings[2]; /* by whether packets go to the guest */
    struct kd_stream *stream;   /* of KD */
};

/* A list of pages that the guest gives the host. In file scope. */
struct vmbus_gpadl {
    uint32_t id;
    uint32_t relid;
    uint32_t header_in, complete_in; /* frames */
    uint32_t range_count;
    uint32_t pages;          /* when complete */
    uint32_t size, received; /* bytes of ranges */
    uint32_t next_body;
    uint8_t *ranges; /* `size` bytes */
    bool created;
    const struct vmbus_channel *used_by; /* it holds the rings of this channel */
};

struct vmbus_event {
    uint32_t frame;
    nstime_t time;
    uint8_t kind;
    bool to_guest;
    bool answers;     /* peer is the request, or the packet that this completes */
    bool in_pipe;     /* the payload begins with a pipe header */
    bool framed;      /* ... and a frame of KD behind it */
    bool to_kd;       /* what it carries belongs to KD's stream */
    uint8_t state;    /* enum vmbus_channel_state, of the channel after this event */
    uint32_t message; /* type of a channel message; 0: none */
    uint32_t version; /* that tells the layout */
    const struct vmbus_channel *channel; /* or null */
    const struct vmbus_gpadl *gpadl;     /* or null */
    struct vmbus_event *peer;
    bool wants_peer;
    uint32_t opened_in; /* of the channel at this time */
    struct vmbus_remark *remarks;
};

/* First visit. */
struct vmbus_event *vmbus_session_see(const packet_info *pinfo, const struct vmbus_record *record);

void vmbus_session_register(void);

#endif
