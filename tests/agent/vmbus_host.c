/* vmbus_host.c - the host of vmbus_host.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "vmbus_host.h"

#include <stdio.h>
#include <string.h>

#define PAGE      4096u
#define LOW_PAGES 17u

enum {
    OFFER = 1,
    RESCIND = 2,
    REQUEST_OFFERS = 3,
    ALL_OFFERS = 4,
    OPEN = 5,
    OPEN_RESULT = 6,
    CLOSE = 7,
    GPADL_HEADER = 8,
    GPADL_BODY = 9,
    GPADL_CREATED = 10,
    TEARDOWN = 11,
    TORNDOWN = 12,
    RELEASED = 13,
    CONTACT = 14,
    RESPONSE = 15,
    UNLOAD = 16,
    UNLOADED = 17,
};

/* a67dfbae-7897-42ad-9d10-d96156b36958 */
const uint8_t host_interface[16] = {0xae, 0xfb, 0x7d, 0xa6, 0x97, 0x78, 0xad, 0x42,
                                    0x9d, 0x10, 0xd9, 0x61, 0x56, 0xb3, 0x69, 0x58};

static _Alignas(PAGE) uint8_t ring_memory[2 * LOW_PAGES * PAGE];

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void violation(struct host *host, const char *what)
{
    if (!host->quiet)
        fprintf(stderr, "violation of the protocol: %s\n", what);
    host->violations++;
}

static void must(struct host *host, bool fine, const char *what)
{
    if (!fine)
        violation(host, what);
}

void host_init(struct host *host)
{
    memset(host, 0, sizeof *host);
    host->sint = HOST_SINT;
    host->step = 5;
    host->relid = HOST_RELID;
}

/* --- to the guest */

static void say_after(struct host *host, uint64_t delay, const void *bytes, size_t size)
{
    struct host_message *message = &host->queue[host->queued % HOST_MESSAGES];

    if (host->queued - host->taken == HOST_MESSAGES)
        return;
    message->at = host->time + delay;
    message->size = size;
    memcpy(message->bytes, bytes, size);
    host->queued++;
}

void host_say(struct host *host, const void *bytes, size_t size)
{
    say_after(host, 0, bytes, size);
}

/* What answers a message of type to. */
static void reply(struct host *host, unsigned to, const void *bytes, size_t size)
{
    for (unsigned i = 0; i <= host->twice; i++)
        say_after(host, host->delay[to], bytes, size);
}

static void answer(struct host *host, unsigned to, uint32_t type, const uint32_t *words,
                   size_t count)
{
    uint8_t message[64] = {0};

    put32(message, type);
    for (size_t i = 0; i < count; i++)
        put32(message + 8 + 4 * i, words[i]);
    reply(host, to, message, 8 + 4 * count);
}

static void say_offer(struct host *host, uint32_t relid, const uint8_t *interface)
{
    uint8_t message[196] = {0};

    put32(message, OFFER);
    memcpy(message + 8, interface, 16);
    message[56] = 0x10; /* named pipe */
    put32(message + 60, host->bytes ? 0 : 4);
    put32(message + 184, relid);
    message[190] = 1;
    put32(message + 192, HOST_EVENT);
    say_after(host, host->delay[REQUEST_OFFERS], message, sizeof message);
}

void host_offer(struct host *host, uint32_t relid)
{
    if (host->rescinded && !host->released) {
        host->next_relid = relid;
    } else {
        host->relid = relid;
        host->rescinded = host->released = false;
    }
    host->nothing_offered = false;
    say_offer(host, relid, host_interface);
}

void host_rescind(struct host *host)
{
    const uint32_t words[] = {host->relid};

    host->rescinded = true;
    answer(host, 0, RESCIND, words, 1);
}

/* --- from the guest */

static void on_contact(struct host *host, const uint8_t *message, size_t size, uint32_t connection)
{
    uint32_t version = get32(message + 8);
    bool modern = version >= 0x50000, own = modern && message[16] != 2;
    uint8_t response[16] = {RESPONSE};
    bool supported = version <= (host->newest ? host->newest : 0x50003) &&
                     version >= host->oldest && !(own && host->only_sint2);

    must(host, size == 40, "INITIATE_CONTACT has 40 bytes");
    must(host, connection == (modern ? 4 : 1), "the connection of this version");
    must(host, !modern || message[16] == host->sint, "the SINT that messages come by");
    must(host, get32(message + 24) != 0 && get32(message + 32) != 0, "monitor pages: both");
    if (host->contacts++ == 0) {
        memcpy(host->first_contact, message, size);
        host->first_contact_size = size;
    }
    host->connected = supported;
    host->opened = false;
    host->gpadl = 0;
    host->version = version;
    response[8] = supported;
    response[9] = supported ? host->failed_state : 0;
    put32(response + 12, modern ? HOST_CONNECTION : version);
    reply(host, CONTACT, response, sizeof response);
}

static void on_request_offers(struct host *host)
{
    static const uint8_t network[16] = {0x63, 0x51, 0x61, 0xf8};

    say_offer(host, 3, network);
    if (!host->nothing_offered)
        say_offer(host, host->relid, host_interface);
    answer(host, REQUEST_OFFERS, ALL_OFFERS, NULL, 0);
}

static void take_pages(struct host *host, const uint8_t *at, const uint8_t *end)
{
    const uint32_t words[] = {host->relid, host->gpadl, host->refuse_pages ? 0xC000009A : 0};

    for (; at < end; at += 8) {
        if (host->gpadl_pages < host->gpadl_expected)
            host->pages[host->gpadl_pages] = get32(at) | (uint64_t)get32(at + 4) << 32;
        host->gpadl_pages++;
    }
    must(host, host->gpadl_pages <= host->gpadl_expected, "as many pages as announced");
    if (host->gpadl_pages != host->gpadl_expected)
        return;
    host->pages_complete = true;
    answer(host, GPADL_HEADER, GPADL_CREATED, words, 3);
    if (host->refuse_pages) {
        host->refuse_pages--;
        host->gpadl = 0;
    }
}

static void on_header(struct host *host, const uint8_t *message, size_t size)
{
    uint32_t bytes = get32(message + 20);

    must(host, get32(message + 8) == host->relid, "GPADL of an offered channel");
    must(host, host->gpadl == 0, "one GPADL at a time");
    must(host, bytes % PAGE == 0 && bytes > 0 && get32(message + 24) == 0, "whole pages");
    must(host, message[18] == 1 && message[19] == 0, "one range");
    must(host, (uint32_t)(message[16] | message[17] << 8) == 8 + 8 * (bytes / PAGE),
         "the ranges' length");
    host->gpadl = get32(message + 12);
    must(host, host->gpadl != 0, "a handle that is not 0");
    host->gpadl_expected = bytes / PAGE;
    host->gpadl_pages = 0;
    host->pages_complete = false;
    take_pages(host, message + 28, message + size);
}

static void on_open(struct host *host, const uint8_t *message, size_t size)
{
    uint32_t status = host->refuse_open ? 0xC0000001 : 0;
    const uint32_t words[] = {host->relid, get32(message + 12), status};
    uint8_t *memory = (uint8_t *)(uintptr_t)(host->pages[0] * PAGE);
    uint32_t low = get32(message + 24), data = (low - 1) * PAGE;

    must(host, size == 148, "OPENCHANNEL has 148 bytes");
    must(host, get32(message + 16) == host->gpadl && host->pages_complete, "a GPADL there is");
    must(host, get32(message + 8) == host->relid && !host->opened, "a closed channel");
    must(host, low == host->gpadl_expected / 2, "rings of one size");
    if (host->refuse_open) {
        host->refuse_open--;
    } else {
        host->opened = true;
        must(host,
             kd_ring_init_reader(&host->from_guest, memory, memory + PAGE, data) == 0 &&
                 kd_ring_init_writer(&host->to_guest, memory + low * PAGE,
                                     memory + (low + 1) * PAGE, data) == 0,
             "rings that are empty");
    }
    answer(host, OPEN, OPEN_RESULT, words, 3);
}

static void on_teardown(struct host *host, const uint8_t *message)
{
    const uint32_t words[] = {host->gpadl};

    must(host, get32(message + 12) == host->gpadl && host->gpadl != 0, "a GPADL there is");
    must(host, !host->opened, "the channel is closed before");
    host->gpadl = 0;
    answer(host, TEARDOWN, TORNDOWN, words, 1);
}

static void react(struct host *host, uint32_t type, const uint8_t *message, size_t size)
{
    switch (type) {
    case REQUEST_OFFERS:
        on_request_offers(host);
        break;
    case GPADL_HEADER:
        on_header(host, message, size);
        break;
    case GPADL_BODY:
        must(host, get32(message + 12) == host->gpadl, "a body of the GPADL before");
        take_pages(host, message + 16, message + size);
        break;
    case OPEN:
        on_open(host, message, size);
        break;
    case CLOSE:
        must(host, host->opened, "an open channel");
        host->opened = false;
        break;
    case TEARDOWN:
        on_teardown(host, message);
        break;
    case RELEASED:
        must(host, host->rescinded && get32(message + 8) == host->relid && !host->released,
             "a rescinded channel");
        must(host, !host->opened && host->gpadl == 0, "nothing of it in use");
        host->released = true;
        if (host->next_relid) {
            host->relid = host->next_relid;
            host->rescinded = false;
        }
        break;
    case UNLOAD:
        must(host, !host->opened, "no open channel");
        host->connected = false;
        if (host->version >= 0x30000)
            answer(host, UNLOAD, UNLOADED, NULL, 0);
        break;
    default:
        violation(host, "a message of the guest's");
    }
}

/* --- the ports */

static uint16_t post(void *self, uint32_t connection, const void *bytes, size_t size)
{
    struct host *host = self;
    const uint8_t *message = bytes;
    uint32_t type = get32(message);
    bool contact = type == CONTACT;

    if (host->posted_count < HOST_MESSAGES) {
        host->posted_at[host->posted_count] = host->time;
        host->posted[host->posted_count++] = (uint8_t)type;
    }
    if (host->busy) {
        host->busy--;
        return host->busy_status;
    }
    if (contact ? connection == 4 && host->no_multi : host->wrong_id)
        return 0x12;
    if (type >= HOST_MESSAGE_TYPES || size > 240 || size % 4) {
        violation(host, "a message of this size");
        return 5;
    }
    if (host->silent[type])
        return 0;
    if (contact) {
        on_contact(host, message, size, connection);
        return 0;
    }
    must(host, connection == (host->version >= 0x50000 ? HOST_CONNECTION : 1),
         "the connection of the version response");
    must(host, host->connected, "a connection");
    react(host, type, message, size);
    if (host->rescind_after[type]) {
        host->rescind_after[type] = false;
        host_rescind(host);
    }
    return 0;
}

static uint16_t signal(void *self, uint32_t connection)
{
    struct host *host = self;

    must(host, host->opened, "a signal of an open channel");
    must(host, connection == HOST_EVENT, "the connection of the offer");
    if (host->lose_signals) {
        host->lose_signals--;
        return 0;
    }
    host->signals++;
    return 0;
}

static size_t receive(void *self, uint8_t *out)
{
    struct host *host = self;
    const struct host_message *message = &host->queue[host->taken % HOST_MESSAGES];

    if (host->taken == host->queued || message->at > host->time)
        return 0;
    host->taken++;
    memcpy(out, message->bytes, message->size);
    return message->size;
}

static bool take_event(void *self, uint32_t relid)
{
    struct host *host = self;
    bool was = host->event && relid == host->relid;

    host->event = false;
    return was;
}

static bool use_legacy_sint(void *self)
{
    struct host *host = self;

    if (host->sint2_owned)
        return false;
    host->sint = 2;
    return true;
}

static bool use_own_sint(void *self)
{
    struct host *host = self;

    host->sint = HOST_SINT;
    return true;
}

static unsigned sint(void *self)
{
    return ((const struct host *)self)->sint;
}

static uint32_t processor(void *self)
{
    (void)self;
    return 0;
}

static uint64_t now(void *self)
{
    struct host *host = self;

    return host->time += host->step;
}

static void relax(void *self)
{
    ((struct host *)self)->time += 100;
}

struct kda_vmbus_ports host_ports(struct host *host)
{
    return (struct kda_vmbus_ports){.post = post,
                                    .signal = signal,
                                    .receive = receive,
                                    .take_event = take_event,
                                    .use_legacy_sint = use_legacy_sint,
                                    .use_own_sint = use_own_sint,
                                    .sint = sint,
                                    .processor = processor,
                                    .now = now,
                                    .relax = relax,
                                    .self = host};
}

struct kda_vmbus_config host_config(void)
{
    struct kda_vmbus_config config = {
        .rings = ring_memory, .rings_at = (uint64_t)(uintptr_t)ring_memory, .monitor_at = 0x7000};

    memcpy(config.interface, host_interface, sizeof config.interface);
    /* What was there before is nobody's business. */
    memset(ring_memory, 0xA5, sizeof ring_memory);
    return config;
}

/* --- the host's ends of the rings */

bool host_send(struct host *host, const void *bytes, size_t size)
{
    uint8_t head[8] = {1};
    const struct kd_ring_part parts[] = {{head, sizeof head}, {bytes, (uint32_t)size}};
    const struct kd_ring_packet packet = {.type = 6, .parts = parts, .part_count = 2};
    bool signal_guest;

    put32(head + 4, (uint32_t)size);
    if (kd_ring_write(&host->to_guest, &packet, &signal_guest) != KD_RING_OK)
        return false;
    host->event = host->event || signal_guest;
    return true;
}

size_t host_receive(struct host *host, uint8_t *out, size_t room)
{
    struct kd_ring_view view;
    uint8_t packet[20000];
    size_t size;

    if (kd_ring_peek(&host->from_guest, &view) != KD_RING_OK)
        return 0;
    size = kd_ring_copy(&host->from_guest, &view, 0, packet, sizeof packet);
    must(host, view.type == 6 && view.payload == 16 && size >= 24, "an in-band packet");
    must(host, view.footer_good, "a footer that says where the packet began");
    must(host, get32(packet + 16) == 1, "a pipe packet with data");
    must(host, (get32(packet + 20) + 24 + 7) / 8 * 8 == view.length, "the pipe packet's size");
    size = get32(packet + 20) < room ? get32(packet + 20) : room;
    memcpy(out, packet + 24, size);
    kd_ring_consume(&host->from_guest, &view);
    (void)kd_ring_publish(&host->from_guest);
    return size;
}
