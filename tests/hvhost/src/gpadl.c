/* gpadl.c - lists of guest pages, in a header message and bodies.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "host.h"
#include "kd/vmbus.h"

#define HEADER_FIXED  28u /* of a header with one range, before its page numbers */
#define BODY_FIXED    16u
#define NUMBER_SIZE   8u
#define STATUS_FAILED UINT32_C(0xC0000001)

struct gpadl *gpadl_find(struct host *host, const struct connection *connection, uint32_t handle)
{
    for (unsigned i = 0; i < VMBUS_GPADLS; i++) {
        struct gpadl *gpadl = &host->vmbus.gpadls[i];

        if (gpadl->used && gpadl->handle == handle &&
            &host->vmbus.connections[gpadl->connection] == connection)
            return gpadl;
    }
    return NULL;
}

static struct gpadl *new_gpadl(struct host *host, const struct connection *connection)
{
    for (unsigned i = 0; i < VMBUS_GPADLS; i++) {
        struct gpadl *gpadl = &host->vmbus.gpadls[i];

        if (!gpadl->used) {
            gpadl->used = true;
            gpadl->complete = false;
            gpadl->connection = (uint8_t)(connection - host->vmbus.connections);
            gpadl->received = 0;
            gpadl->next_body = 1;
            return gpadl;
        }
    }
    return NULL;
}

static void answer(struct host *host, const struct connection *connection, uint32_t relid,
                   uint32_t handle, uint32_t status)
{
    struct kd_vmbus_gpadl_created message = {
        .message = kd_put32(KD_VMBUS_GPADL_CREATED),
        .relid = kd_put32(relid),
        .gpadl = kd_put32(handle),
        .status = kd_put32(status),
    };
    uint32_t delay = connection->firmware ? 0 : host->options.faults.delay_gpadl;

    vmbus_send(host, connection, &message, sizeof message, delay);
}

/* Page numbers of one message; false: one of them is not the guest's to give. */
static bool take_pages(struct host *host, const struct connection *connection, struct gpadl *gpadl,
                       const uint8_t *at, uint32_t size)
{
    uint32_t count = size / NUMBER_SIZE;

    for (uint32_t i = 0; i < count && gpadl->received < gpadl->page_count; i++) {
        uint64_t number;

        __builtin_memcpy(&number, at + (size_t)i * NUMBER_SIZE, sizeof number);
        if (!guest_page(&host->guest, number)) {
            VMBUS_BAD(host, connection, "GPADL %x: page %X is not the guest's RAM", gpadl->handle,
                      number);
            return false;
        }
        gpadl->pages[gpadl->received++] = number;
    }
    return true;
}

static void finish(struct host *host, const struct connection *connection, struct gpadl *gpadl)
{
    if (gpadl->received < gpadl->page_count)
        return;
    if (!connection->firmware &&
        fault_strikes(&host->log, &host->options.faults.nack_gpadl, "GPADL refused")) {
        answer(host, connection, gpadl->relid, gpadl->handle, STATUS_FAILED);
        gpadl->used = false;
        return;
    }
    gpadl->complete = true;
    answer(host, connection, gpadl->relid, gpadl->handle, 0);
}

static void refuse(struct host *host, const struct connection *connection, struct gpadl *gpadl)
{
    gpadl->used = false;
    answer(host, connection, gpadl->relid, gpadl->handle, STATUS_FAILED);
}

/* What the header says about itself; NULL: it is good. */
static const char *header_fault(struct host *host, const struct connection *connection,
                                const struct kd_vmbus_gpadl_header *header,
                                const struct kd_vmbus_range *range)
{
    uint32_t bytes = kd_get32(range->byte_count), offset = kd_get32(range->byte_offset);
    uint32_t listed = kd_get16(header->range_size);

    if (kd_get32(header->gpadl) == 0)
        return "the handle is 0";
    if (gpadl_find(host, connection, kd_get32(header->gpadl)))
        return "the handle is in use";
    if (!channel_find(host, connection, kd_get32(header->relid)))
        return "the channel does not exist";
    if (kd_get16(header->range_count) != 1)
        return "not one range";
    if (offset >= GUEST_PAGE || bytes == 0)
        return "an impossible byte count or offset";
    if (listed < sizeof *range || (listed - sizeof *range) % NUMBER_SIZE)
        return "an impossible size of the ranges";
    if ((listed - sizeof *range) / NUMBER_SIZE !=
        (offset + (uint64_t)bytes + GUEST_PAGE - 1) / GUEST_PAGE)
        return "the byte count does not go with the number of pages";
    if ((listed - sizeof *range) / NUMBER_SIZE > VMBUS_GPADL_PAGES)
        return "more pages than this host takes";
    return NULL;
}

void gpadl_header(struct host *host, struct connection *connection, const uint8_t *message,
                  uint32_t size)
{
    const struct kd_vmbus_gpadl_header *header = (const void *)message;
    const struct kd_vmbus_range *range = (const void *)(header + 1);
    const char *fault =
        size < HEADER_FIXED ? "message too short" : header_fault(host, connection, header, range);
    struct gpadl *gpadl = fault ? NULL : new_gpadl(host, connection);

    if (fault)
        VMBUS_BAD(host, connection, "GPADL %x: %s", kd_get32(header->gpadl), fault);
    if (!gpadl) {
        answer(host, connection, kd_get32(header->relid), kd_get32(header->gpadl), STATUS_FAILED);
        return;
    }
    gpadl->handle = kd_get32(header->gpadl);
    gpadl->relid = kd_get32(header->relid);
    gpadl->byte_count = kd_get32(range->byte_count);
    gpadl->byte_offset = kd_get32(range->byte_offset);
    gpadl->page_count = (uint32_t)((kd_get16(header->range_size) - sizeof *range) / NUMBER_SIZE);
    if (take_pages(host, connection, gpadl, message + HEADER_FIXED, size - HEADER_FIXED))
        finish(host, connection, gpadl);
    else
        refuse(host, connection, gpadl);
}

void gpadl_body(struct host *host, struct connection *connection, const uint8_t *message,
                uint32_t size)
{
    const struct kd_vmbus_gpadl_body *body = (const void *)message;
    struct gpadl *gpadl = gpadl_find(host, connection, kd_get32(body->gpadl));

    if (!gpadl || gpadl->complete) {
        VMBUS_BAD(host, connection, "GPADL body for %x, which wants none", kd_get32(body->gpadl));
        return;
    }
    /* Linux leaves the number 0 in all of them, and hosts do not look at it. */
    if (kd_get32(body->number) != gpadl->next_body && kd_get32(body->number) != 0)
        VMBUS_BAD(host, connection, "GPADL %x: body %u where %u is due", gpadl->handle,
                  kd_get32(body->number), gpadl->next_body);
    gpadl->next_body++;
    if (take_pages(host, connection, gpadl, message + BODY_FIXED, size - BODY_FIXED))
        finish(host, connection, gpadl);
    else
        refuse(host, connection, gpadl);
}

static bool in_use(struct host *host, const struct gpadl *gpadl)
{
    for (unsigned i = 0; i < VMBUS_CHANNELS; i++) {
        const struct channel *channel = &host->vmbus.channels[i];

        if (channel->state == CHANNEL_OPEN && channel->connection == gpadl->connection &&
            channel->gpadl == gpadl->handle)
            return true;
    }
    return false;
}

void gpadl_teardown(struct host *host, struct connection *connection, const uint8_t *message)
{
    const struct kd_vmbus_gpadl_teardown *teardown = (const void *)message;
    uint32_t handle = kd_get32(teardown->gpadl);
    struct gpadl *gpadl = gpadl_find(host, connection, handle);
    struct kd_vmbus_gpadl_torndown reply = {
        .message = kd_put32(KD_VMBUS_GPADL_TORNDOWN),
        .gpadl = kd_put32(handle),
    };

    if (!gpadl) {
        VMBUS_BAD(host, connection, "teardown of GPADL %x, which does not exist", handle);
        return;
    }
    if (gpadl->relid != kd_get32(teardown->relid))
        VMBUS_BAD(host, connection, "teardown of GPADL %x of channel %u with channel %u", handle,
                  gpadl->relid, kd_get32(teardown->relid));
    if (in_use(host, gpadl)) {
        VMBUS_BAD(host, connection, "teardown of GPADL %x while its channel %u is open", handle,
                  gpadl->relid);
        return;
    }
    gpadl->used = false;
    vmbus_send(host, connection, &reply, sizeof reply, 0);
}
