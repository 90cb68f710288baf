/* vmbus-state.h - what the files of the VMBus session share among themselves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_VMBUS_STATE_H
#define KDLENS_PLUGIN_VMBUS_STATE_H

#include "vmbus-session.h"

/* The messages and channels of one SINT of one machine. */
struct vmbus_connection {
    uint8_t sint;
    bool whole;     /* the capture holds its beginning */
    bool connected; /* a version was agreed on, and not unloaded since */
    bool unloaded;
    bool offers_requested;
    uint32_t contact_version; /* asked for last */
    uint32_t version;         /* agreed on; 0 not known */
    uint32_t message_id;      /* connection id for messages; 0 not known */
    wmem_map_t *channels;     /* relid -> struct vmbus_channel */
    wmem_map_t *gpadls;       /* id -> struct vmbus_gpadl */
    wmem_map_t *pending;      /* struct request_key -> struct vmbus_event */
};

/* An event being told to the session. */
struct vmbus_seeing {
    const packet_info *pinfo;
    const struct vmbus_record *record;
    struct vmbus_connection *connection;
    struct vmbus_event *event;
    uint32_t losses;      /* how often events of this machine were missing so far */
    const uint8_t *bytes; /* message: its payload */
    uint32_t size;
};

/* The channel of this relid, made when there is none; then, or when it is gone, a remark says so
 * unless the capture began later than the connection. */
struct vmbus_channel *vmbus_find_channel(struct vmbus_seeing *seeing, uint32_t relid);

/* Sets the state after the event, which is about this channel. */
void vmbus_enter(struct vmbus_seeing *seeing, struct vmbus_channel *channel,
                 enum vmbus_channel_state state);

/* vmbus-gpadl.c: its messages */
void vmbus_see_gpadl_header(struct vmbus_seeing *seeing);
void vmbus_see_gpadl_body(struct vmbus_seeing *seeing);
void vmbus_see_gpadl_created(struct vmbus_seeing *seeing);
void vmbus_see_gpadl_teardown(struct vmbus_seeing *seeing);
void vmbus_see_gpadl_torndown(struct vmbus_seeing *seeing);
struct vmbus_gpadl *vmbus_find_gpadl(struct vmbus_seeing *seeing, uint32_t id);

/* vmbus-message.c: a SynIC message */
void vmbus_see_message(struct vmbus_seeing *seeing);

/* vmbus-ring.c */
void vmbus_see_packet(struct vmbus_seeing *seeing);
void vmbus_ring_opened(struct vmbus_channel *channel, const struct vmbus_gpadl *gpadl,
                       uint32_t ring_page_offset);

#endif
