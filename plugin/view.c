/* view.c - names and addresses of a packet being displayed. See view.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "view.h"

#include <inttypes.h>

unsigned kd_view_direction(const struct kd_view *view, enum kd_flow request)
{
    if (view->packet->flow == KD_FLOW_UNKNOWN)
        return 0;
    return view->packet->flow == (uint8_t)request ? KD_DIR_REQ : KD_DIR_REP;
}

const char *kd_view_name(const struct kd_view *view, uint64_t address)
{
    const struct kd_module *module = kd_session_module(view->session, address, view->packet->frame);

    if (!module)
        return NULL;
    return wmem_strdup_printf(view->pinfo->pool, "%s+0x%" PRIx64, module->name,
                              address - module->base);
}

void kd_view_name_item(const struct kd_view *view, proto_item *item, uint64_t address)
{
    const char *name = item ? kd_view_name(view, address) : NULL;

    if (name)
        proto_item_append_text(item, " (%s)", name);
}

const char *kd_view_address(const struct kd_view *view, uint64_t address)
{
    const struct kd_arch_info *arch = kd_view_arch(view);

    if (arch && arch->pointer_size == 4)
        return wmem_strdup_printf(view->pinfo->pool, "%08x", (uint32_t)address);
    return wmem_strdup_printf(view->pinfo->pool, "%08x`%08x", (uint32_t)(address >> 32),
                              (uint32_t)address);
}

const struct kd_arch_info *kd_view_arch(const struct kd_view *view)
{
    return kd_arch_info((enum kd_arch)view->packet->arch);
}
