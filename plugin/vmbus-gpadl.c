/* vmbus-gpadl.c - GPADLs: put together from header and bodies, created, used, torn down.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "registry.h"
#include "vmbus-ranges.h"
#include "vmbus-state.h"

struct vmbus_gpadl *vmbus_find_gpadl(struct vmbus_seeing *seeing, uint32_t id)
{
    struct vmbus_gpadl *gpadl = wmem_map_lookup(seeing->connection->gpadls, GUINT_TO_POINTER(id));

    if (!gpadl && seeing->connection->whole && !seeing->connection->unloaded)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_UNKNOWN_GPADL, "No GPADL 0x%x", id);
    seeing->event->gpadl = gpadl;
    return gpadl;
}

/* Its ranges are all there. */
static void complete(struct vmbus_seeing *seeing, struct vmbus_gpadl *gpadl)
{
    uint64_t pages;
    uint32_t used;

    gpadl->complete_in = seeing->event->frame;
    if (vmbus_ranges_measure(gpadl->ranges, gpadl->size, gpadl->range_count, &pages, &used) &&
        used == gpadl->size)
        gpadl->pages = (uint32_t)pages;
    else
        vmbus_remark_text(&seeing->event->remarks, VMBUS_GPADL_RANGES,
                          "%u range%s do not take %u bytes", gpadl->range_count,
                          gpadl->range_count == 1 ? "" : "s", gpadl->size);
}

static void append(struct vmbus_seeing *seeing, struct vmbus_gpadl *gpadl, uint32_t from)
{
    uint32_t size = seeing->size - from, room = gpadl->size - gpadl->received;

    if (size > room)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_GPADL_RANGES,
                          "%u bytes more than the header announced", size - room);
    size = MIN(size, room);
    memcpy(gpadl->ranges + gpadl->received, seeing->bytes + from, size);
    gpadl->received += size;
    if (gpadl->received == gpadl->size && !gpadl->complete_in)
        complete(seeing, gpadl);
}

void vmbus_see_gpadl_header(struct vmbus_seeing *seeing)
{
    const struct kd_vmbus_gpadl_header *header = (const void *)seeing->bytes;
    uint32_t id = kd_get32(header->gpadl);
    struct vmbus_gpadl *gpadl;

    vmbus_find_channel(seeing, kd_get32(header->relid));
    if (wmem_map_lookup(seeing->connection->gpadls, GUINT_TO_POINTER(id)))
        vmbus_remark_text(&seeing->event->remarks, VMBUS_GPADL_IN_USE,
                          "GPADL 0x%x exists and was not torn down", id);
    gpadl = wmem_new0(wmem_file_scope(), struct vmbus_gpadl);
    gpadl->id = id;
    gpadl->relid = kd_get32(header->relid);
    gpadl->header_in = seeing->event->frame;
    gpadl->range_count = kd_get16(header->range_count);
    gpadl->size = kd_get16(header->range_size);
    gpadl->next_body = 1;
    gpadl->ranges = wmem_alloc(wmem_file_scope(), gpadl->size + 1);
    wmem_map_insert(seeing->connection->gpadls, GUINT_TO_POINTER(id), gpadl);
    seeing->event->gpadl = gpadl;
    append(seeing, gpadl, sizeof *header);
}

void vmbus_see_gpadl_body(struct vmbus_seeing *seeing)
{
    const struct kd_vmbus_gpadl_body *body = (const void *)seeing->bytes;
    struct vmbus_gpadl *gpadl = vmbus_find_gpadl(seeing, kd_get32(body->gpadl));
    uint32_t number = kd_get32(body->number);

    if (!gpadl)
        return;
    /* Linux numbers none. */
    if ((number && number != gpadl->next_body) || gpadl->complete_in) {
        vmbus_remark_text(&seeing->event->remarks, VMBUS_GPADL_ORDER,
                          gpadl->complete_in ? "Body %u of a GPADL that is complete"
                                             : "Body %u; %u would be next",
                          number, gpadl->next_body);
        return;
    }
    gpadl->next_body++;
    append(seeing, gpadl, sizeof *body);
}

void vmbus_see_gpadl_created(struct vmbus_seeing *seeing)
{
    const struct kd_vmbus_gpadl_created *created = (const void *)seeing->bytes;
    struct vmbus_gpadl *gpadl = vmbus_find_gpadl(seeing, kd_get32(created->gpadl));
    uint32_t status = kd_get32(created->status);
    const char *name = kd_ntstatus_name(status);

    vmbus_find_channel(seeing, kd_get32(created->relid));
    if (status)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_STATUS,
                          "The host refuses the GPADL: status 0x%08x%s%s", status, name ? " " : "",
                          name ? name : "");
    if (gpadl && status)
        wmem_map_remove(seeing->connection->gpadls, GUINT_TO_POINTER(gpadl->id));
    else if (gpadl)
        gpadl->created = true;
}

void vmbus_see_gpadl_teardown(struct vmbus_seeing *seeing)
{
    const struct kd_vmbus_gpadl_teardown *teardown = (const void *)seeing->bytes;
    const struct vmbus_gpadl *gpadl = vmbus_find_gpadl(seeing, kd_get32(teardown->gpadl));

    vmbus_find_channel(seeing, kd_get32(teardown->relid));
    if (gpadl && gpadl->used_by && gpadl->used_by->state == VMBUS_CHANNEL_OPEN)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_GPADL_IN_USE,
                          "The rings of channel %u, which is open, lie in it",
                          gpadl->used_by->relid);
}

void vmbus_see_gpadl_torndown(struct vmbus_seeing *seeing)
{
    const struct kd_vmbus_gpadl_torndown *torndown = (const void *)seeing->bytes;
    const struct vmbus_gpadl *gpadl = vmbus_find_gpadl(seeing, kd_get32(torndown->gpadl));

    if (!gpadl)
        return;
    vmbus_find_channel(seeing, gpadl->relid);
    wmem_map_remove(seeing->connection->gpadls, GUINT_TO_POINTER(gpadl->id));
}
