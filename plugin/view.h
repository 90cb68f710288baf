/* view.h - one packet being displayed: where it is, and what its session knows.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_VIEW_H
#define KDLENS_PLUGIN_VIEW_H

#include "kd-session.h"

struct kd_view {
    packet_info *pinfo;
    const struct kd_session *session;
    const struct kd_packet *packet;
};

/* The packet's direction as rows of the layouts state it. Requests of manipulate go to the target,
 * those of debug, file and trace I/O to the debugger. 0 when the direction is not known. */
unsigned kd_view_direction(const struct kd_view *view, enum kd_flow request);

/* "module+0x12" when the address lies in a module loaded at that time, else null. Lives as long as
 * pinfo. */
const char *kd_view_name(const struct kd_view *view, uint64_t address);

/* Appends that name to the item of an address. */
void kd_view_name_item(const struct kd_view *view, proto_item *item, uint64_t address);

/* The address as WinDbg prints it: fffff801`3f215000, or 8 digits on 32-bit targets. Lives as long
 * as pinfo. */
const char *kd_view_address(const struct kd_view *view, uint64_t address);

/* The architecture, or null when it is not known yet. */
const struct kd_arch_info *kd_view_arch(const struct kd_view *view);

#endif
