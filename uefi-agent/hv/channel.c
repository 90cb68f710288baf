/* channel.c - the channel: offer, GPADL of the ring, open, close, rescind, offered again.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "bytes.h"
#include "vmbus.h"
#include "vmbus_internal.h"

#define RING_BYTES (KDA_VMBUS_RING_PAGES * KDA_VMBUS_PAGE)
#define PAGES      (2 * KDA_VMBUS_RING_PAGES)
/* Linux counts from here, so that a handle is not taken for something else. */
#define FIRST_GPADL 0xE1E10u

void kda_vmbus_forget_channel(struct kda_vmbus *bus)
{
    bus->offer.there = false;
    bus->rescinded = bus->opened = bus->established = false;
    bus->gpadl = 0;
    bus->tries = 0;
}

static void send_relid(struct kda_vmbus *bus, uint32_t type)
{
    struct kd_vmbus_relid message;

    memset(&message, 0, sizeof message);
    message.message = kd_put32(type);
    message.relid = kd_put32(bus->offer.relid);
    kda_vmbus_send(bus, &message, sizeof message);
}

/* --- opening */

/* The host sees nothing of the pages before the GPADL, and must find them empty then. */
static bool empty_rings(struct kda_vmbus *bus)
{
    uint8_t *out = bus->config.rings, *in = out + RING_BYTES;
    uint32_t size = RING_BYTES - KDA_VMBUS_PAGE;

    memset(out, 0, KDA_VMBUS_PAGE);
    memset(in, 0, KDA_VMBUS_PAGE);
    return kd_ring_init_writer(&bus->to_host, out, out + KDA_VMBUS_PAGE, size) == KD_RING_OK &&
           kd_ring_init_reader(&bus->to_guest, in, in + KDA_VMBUS_PAGE, size) == KD_RING_OK;
}

static void establish(struct kda_vmbus *bus)
{
    uint64_t pages[PAGES];
    uint8_t message[KD_HV_MESSAGE_MAX];
    struct kd_vmbus_gpadl gpadl = {.relid = bus->offer.relid,
                                   .byte_count = 2 * RING_BYTES,
                                   .pages = pages,
                                   .page_count = PAGES};

    for (unsigned i = 0; i < PAGES; i++)
        pages[i] = bus->config.rings_at / KDA_VMBUS_PAGE + i;
    bus->last_gpadl = bus->last_gpadl ? bus->last_gpadl + 1 : FIRST_GPADL;
    gpadl.gpadl = bus->gpadl = bus->last_gpadl;
    bus->established = false;
    bus->tries++;
    (void)empty_rings(bus);
    kda_vmbus_enter(bus, KDA_VMBUS_GPADL, KDA_VMBUS_ANSWER_US);
    for (uint32_t i = 0; i < kd_vmbus_gpadl_messages(&gpadl); i++)
        kda_vmbus_send(bus, message, kd_vmbus_gpadl_message(&gpadl, i, message));
}

void kda_vmbus_take_offer(struct kda_vmbus *bus)
{
    if (!bus->next.there || bus->leaving || bus->state != KDA_VMBUS_ABSENT)
        return;
    kda_vmbus_forget_channel(bus);
    bus->offer = bus->next;
    bus->next.there = false;
    establish(bus);
}

/* Offers that come before REQUESTOFFERS was answered wait, as do those of a channel that comes
 * back while the old one is still being closed. */
void kda_vmbus_on_offer(struct kda_vmbus *bus, const uint8_t *bytes)
{
    const struct kd_vmbus_offer *message = (const void *)bytes;
    const struct kd_vmbus_offer_pipe *pipe = (const void *)message->user_defined;
    uint32_t relid = kd_get32(message->relid);

    if (bus->state <= KDA_VMBUS_CONTACT || bus->state == KDA_VMBUS_UNLOADING ||
        memcmp(message->interface_type, bus->config.interface, sizeof bus->config.interface) != 0)
        return;
    if (relid == 0 || relid >= KD_VMBUS_RELID_END) {
        kda_vmbus_complain(bus, "OFFERCHANNEL", "the host offers a channel that cannot be, relid",
                           relid);
        return;
    }
    if (bus->offer.there && bus->offer.relid == relid)
        return;
    bus->next.there = true;
    bus->next.relid = relid;
    bus->next.connection = kd_get32(message->connection_id);
    bus->next.message_mode = kd_get32(pipe->mode) == KD_VMBUS_PIPE_MESSAGE;
    kda_vmbus_take_offer(bus);
}

static void open_channel(struct kda_vmbus *bus)
{
    struct kd_vmbus_open message;

    memset(&message, 0, sizeof message);
    message.message = kd_put32(KD_VMBUS_OPEN_CHANNEL);
    message.relid = kd_put32(bus->offer.relid);
    message.openid = kd_put32(bus->gpadl);
    message.gpadl = kd_put32(bus->gpadl);
    message.target_vp = kd_put32(bus->ports.processor(bus->ports.self));
    message.ring_page_offset = kd_put32(KDA_VMBUS_RING_PAGES);
    kda_vmbus_enter(bus, KDA_VMBUS_OPENING, KDA_VMBUS_ANSWER_US);
    bus->opened = true;
    kda_vmbus_send(bus, &message, KD_VMBUS_OPEN_SIZE);
}

/* --- closing */

static void tear_down(struct kda_vmbus *bus)
{
    struct kd_vmbus_gpadl_teardown message;

    memset(&message, 0, sizeof message);
    message.message = kd_put32(KD_VMBUS_GPADL_TEARDOWN);
    message.relid = kd_put32(bus->offer.relid);
    message.gpadl = kd_put32(bus->gpadl);
    kda_vmbus_enter(bus, KDA_VMBUS_CLOSING, KDA_VMBUS_TEARDOWN_US);
    kda_vmbus_send(bus, &message, sizeof message);
}

/* The pages are ours again: what is to come next. */
static void closed(struct kda_vmbus *bus)
{
    bool again = !bus->rescinded && !bus->leaving && bus->tries < KDA_VMBUS_TRIES;

    bus->gpadl = 0;
    bus->opened = bus->established = false;
    if (bus->rescinded) {
        send_relid(bus, KD_VMBUS_RELID_RELEASED);
        kda_vmbus_forget_channel(bus);
    }
    if (bus->leaving) {
        kda_vmbus_unload(bus);
        return;
    }
    kda_vmbus_enter(bus, KDA_VMBUS_ABSENT, again ? KDA_VMBUS_AGAIN_US : 0);
    kda_vmbus_take_offer(bus);
}

/* Takes back what has been agreed on, in reverse. */
static void take_back(struct kda_vmbus *bus)
{
    if (bus->opened)
        send_relid(bus, KD_VMBUS_CLOSE_CHANNEL);
    bus->opened = false;
    if (bus->established)
        tear_down(bus);
    else
        closed(bus);
}

void kda_vmbus_close_channel(struct kda_vmbus *bus)
{
    switch (bus->state) {
    case KDA_VMBUS_OPENING:
    case KDA_VMBUS_OPEN:
        take_back(bus);
        break;
    case KDA_VMBUS_CLOSING:
    case KDA_VMBUS_UNLOADING:
        break;
    default:
        kda_vmbus_unload(bus);
    }
}

/* --- what the host says */

void kda_vmbus_on_created(struct kda_vmbus *bus, const uint8_t *bytes)
{
    const struct kd_vmbus_gpadl_created *message = (const void *)bytes;
    uint32_t status = kd_get32(message->status);

    if (bus->state != KDA_VMBUS_GPADL || kd_get32(message->gpadl) != bus->gpadl ||
        kd_get32(message->relid) != bus->offer.relid)
        return;
    if (status == 0) {
        bus->established = true;
        if (bus->rescinded)
            take_back(bus);
        else
            open_channel(bus);
        return;
    }
    kda_vmbus_complain(bus, "GPADL_HEADER of the ring", "the host refuses the pages, status",
                       status);
    closed(bus);
}

void kda_vmbus_on_result(struct kda_vmbus *bus, const uint8_t *bytes)
{
    const struct kd_vmbus_open_result *message = (const void *)bytes;
    uint32_t status = kd_get32(message->status);

    if (bus->state != KDA_VMBUS_OPENING || kd_get32(message->relid) != bus->offer.relid ||
        kd_get32(message->openid) != bus->gpadl)
        return;
    if (status == 0) {
        kda_vmbus_enter(bus, KDA_VMBUS_OPEN, 0);
        bus->tries = 0;
        bus->connections = 1;
        bus->generation++;
        return;
    }
    kda_vmbus_complain(bus, "OPENCHANNEL", "the host refuses to open the channel, status", status);
    bus->opened = false;
    take_back(bus);
}

void kda_vmbus_on_torndown(struct kda_vmbus *bus, const uint8_t *bytes)
{
    const struct kd_vmbus_gpadl_torndown *message = (const void *)bytes;

    if (bus->state == KDA_VMBUS_CLOSING && kd_get32(message->gpadl) == bus->gpadl)
        closed(bus);
}

/* What has been asked for and not answered yet is waited for: the answer may be on its way, and the
 * ring's pages are not ours before. */
void kda_vmbus_on_rescind(struct kda_vmbus *bus, const uint8_t *bytes)
{
    uint32_t relid = kd_get32(((const struct kd_vmbus_relid *)bytes)->relid);

    if (bus->next.there && bus->next.relid == relid)
        bus->next.there = false;
    if (!bus->offer.there || bus->offer.relid != relid || bus->rescinded)
        return;
    bus->rescinded = true;
    kda_vmbus_complain(bus, "RESCIND_CHANNELOFFER", "the host took the channel away, relid", relid);
    if (bus->state == KDA_VMBUS_OPENING || bus->state == KDA_VMBUS_OPEN)
        take_back(bus);
    else if (bus->state == KDA_VMBUS_GPADL)
        kda_vmbus_enter(bus, KDA_VMBUS_GPADL, KDA_VMBUS_TEARDOWN_US);
    else if (bus->state == KDA_VMBUS_ABSENT)
        closed(bus);
}

/* Of a channel that the host took away, no answer is guaranteed; it forgets the pages with it. */
void kda_vmbus_channel_late(struct kda_vmbus *bus)
{
    if (bus->state == KDA_VMBUS_ABSENT)
        establish(bus);
    else if (bus->rescinded)
        closed(bus);
    else
        kda_vmbus_restart(bus);
}
