/* vmbus-show.h - one event of VMBus being displayed: its tree, its text, what it carries.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_VMBUS_SHOW_H
#define KDLENS_PLUGIN_VMBUS_SHOW_H

#include "vmbus-session.h"

struct vmbus_view {
    packet_info *pinfo;
    const struct vmbus_record *record;
    const struct vmbus_event *event;
    tvbuff_t *tvb;    /* the record's data */
    proto_tree *tree; /* null when nobody looks */
    proto_tree *top;  /* for what other dissectors add */
};

/* vmbus-tree.c: the fields of the data */
void vmbus_show_data(const struct vmbus_view *view);
proto_item *vmbus_show_frame_link(const struct vmbus_view *view, int hf, uint32_t frame);
void vmbus_tree_register(int proto);

/* vmbus-payload.c: what an in-band packet carries, at these bytes of the data. Hands on what
 * belongs to KD, whether somebody looks or not. */
void vmbus_show_payload(const struct vmbus_view *view, int offset, int size);
void vmbus_payload_register(int proto);

/* vmbus-pages.c: ranges and page numbers */
void vmbus_show_pages(const struct vmbus_view *view, proto_tree *tree, int offset, int size);
void vmbus_show_ranges(proto_tree *tree, tvbuff_t *tvb, int offset, int size, uint32_t count);
void vmbus_show_gpadl(const struct vmbus_view *view);
void vmbus_pages_register(int proto);

/* vmbus-info.c: the event in one line, in pinfo's memory */
const char *vmbus_info_text(const struct vmbus_view *view);
/* "heartbeat request" of the integration message at bytes[0..size). */
const char *vmbus_info_integration(const struct vmbus_view *view, const uint8_t *bytes, int size);

/* vmbus-channels.c: -z vmbus,channels */
#define VMBUS_TAP "vmbus"
struct vmbus_tapped {
    const struct vmbus_event *event;
    uint32_t payload; /* bytes that a ring packet carries */
};
void vmbus_channels_register(void);

#endif
