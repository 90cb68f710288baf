/* client.c - posts, waits, opens, closes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "client.h"

#include "x86.h"

#define WAIT_US                       UINT64_C(5000000)
#define UNITS_PER_US                  10u
#define GPADL_PAGES                   26u
#define WITH_RING_PAGE(client, index) ((client)->rings + (size_t)(index)*KD_HV_PAGE_SIZE)

uint64_t client_now(void)
{
    return x86_rdmsr(KD_HV_MSR_TIME_REF_COUNT) / UNITS_PER_US;
}

static uint32_t load(const volatile void *at)
{
    return *(const volatile uint32_t *)at;
}

static uint32_t call(const struct client *client, uint64_t control, uint64_t input)
{
    uint64_t result;
    register uint64_t output __asm__("r8") = 0;

    __asm__ volatile("callq *%[page]"
                     : "=a"(result), "+c"(control), "+d"(input), "+r"(output)
                     : [page] "r"(client->hypercall)
                     : "r9", "r10", "r11", "memory", "cc");
    return (uint32_t)(result & KD_HV_RESULT_STATUS);
}

uint32_t client_post(const struct client *client, const void *message, uint32_t size)
{
    struct kd_hv_post_message *block = (void *)client->post;

    __builtin_memset(block, 0, sizeof *block + KD_HV_MESSAGE_MAX);
    block->connection_id = kd_put32(client->message_id);
    block->type = kd_put32(KD_HV_MESSAGE_VMBUS);
    block->payload_size = kd_put32(size);
    __builtin_memcpy(block + 1, message, size);
    return call(client, KD_HV_CALL_POST_MESSAGE, (uintptr_t)block);
}

uint32_t client_signal(const struct client *client)
{
    return call(client, KD_HV_CALL_SIGNAL_EVENT | KD_HV_CALL_FAST, client->event_id);
}

static void note(struct client *client, uint32_t type, const uint8_t *message)
{
    const struct kd_vmbus_offer *offer = (const void *)message;
    const struct kd_vmbus_relid *rescind = (const void *)message;

    if (type == KD_VMBUS_OFFER_CHANNEL &&
        !__builtin_memcmp(offer->interface_type, client->type, sizeof offer->interface_type)) {
        client->relid = kd_get32(offer->relid);
        client->event_id = kd_get32(offer->connection_id);
    } else if (type == KD_VMBUS_RESCIND_OFFER && kd_get32(rescind->relid) == client->relid) {
        client->rescinded = true;
    }
}

uint32_t client_take(struct client *client, uint8_t out[KD_HV_MESSAGE_MAX])
{
    uint8_t *slot = client->messages + client->sint * KD_HV_SLOT_SIZE;
    const struct kd_hv_message *message = (const void *)slot;
    const volatile uint8_t *flags = message->flags.b;
    uint32_t type;

    if (load(slot) == KD_HV_MESSAGE_NONE)
        return 0;
    __builtin_memcpy(out, message + 1, KD_HV_MESSAGE_MAX);
    *(volatile uint32_t *)(void *)slot = KD_HV_MESSAGE_NONE;
    x86_fence();
    if (*flags & KD_HV_MESSAGE_PENDING)
        x86_wrmsr(KD_HV_MSR_EOM, 0);
    type = kd_get32(((const struct kd_vmbus_message *)(const void *)out)->message);
    note(client, type, out);
    return type;
}

bool client_wait(struct client *client, uint32_t type, uint8_t out[KD_HV_MESSAGE_MAX])
{
    uint64_t start = client_now();

    while (client_now() - start < WAIT_US) {
        if (client_take(client, out) == type)
            return true;
        x86_pause();
    }
    return false;
}

const char *client_connect(struct client *client)
{
    uint8_t message[KD_HV_MESSAGE_MAX];
    struct kd_vmbus_initiate_contact contact = {
        .message = kd_put32(KD_VMBUS_INITIATE_CONTACT),
        .version = kd_put32(client->version),
    };
    struct kd_vmbus_message request = {.message = kd_put32(KD_VMBUS_REQUEST_OFFERS)};
    const struct kd_vmbus_version_response5 *response = (const void *)message;

    if (client->version >= KD_VMBUS_VERSION_5_0)
        contact.interrupt_page = kd_put64(client->sint);
    client->message_id = client->connection;
    client->connected = false;
    if (client_post(client, &contact, sizeof contact) ||
        !client_wait(client, KD_VMBUS_VERSION_RESPONSE, message))
        return "no answer to INITIATE_CONTACT";
    if (!kd_get8(response->supported) || kd_get8(response->state))
        return "the version is refused";
    client->connected = true;
    if (client->version >= KD_VMBUS_VERSION_5_0)
        client->message_id = kd_get32(response->connection_id);
    if (client_post(client, &request, sizeof request) ||
        !client_wait(client, KD_VMBUS_ALL_OFFERS_DELIVERED, message))
        return "no offers";
    return client->relid ? NULL : "the device is not offered";
}

static bool init_rings(struct client *client)
{
    uint32_t size = (client->ring_pages - 1) * KD_HV_PAGE_SIZE;

    return kd_ring_init_writer(&client->out, client->rings, WITH_RING_PAGE(client, 1), size) ==
               KD_RING_OK &&
           kd_ring_init_reader(&client->in, WITH_RING_PAGE(client, client->ring_pages),
                               WITH_RING_PAGE(client, client->ring_pages + 1), size) == KD_RING_OK;
}

const char *client_open(struct client *client)
{
    uint8_t message[KD_HV_MESSAGE_MAX];
    uint64_t numbers[GPADL_PAGES];
    struct kd_vmbus_gpadl gpadl = {
        .relid = client->relid,
        .gpadl = CLIENT_GPADL,
        .byte_count = 2 * client->ring_pages * KD_HV_PAGE_SIZE,
        .pages = numbers,
        .page_count = 2 * client->ring_pages,
    };
    struct kd_vmbus_open request = {
        .message = kd_put32(KD_VMBUS_OPEN_CHANNEL),
        .relid = kd_put32(client->relid),
        .openid = kd_put32(CLIENT_GPADL),
        .gpadl = kd_put32(CLIENT_GPADL),
        .ring_page_offset = kd_put32(client->ring_pages),
    };
    const struct kd_vmbus_gpadl_created *created = (const void *)message;
    const struct kd_vmbus_open_result *result = (const void *)message;
    size_t size;

    if (gpadl.page_count > GPADL_PAGES)
        return "rings for more than one message";
    __builtin_memset(client->rings, 0, gpadl.byte_count);
    client->rescinded = false;
    for (uint32_t i = 0; i < gpadl.page_count; i++)
        numbers[i] = (uintptr_t)client->rings / KD_HV_PAGE_SIZE + i;
    size = kd_vmbus_gpadl_message(&gpadl, 0, message);
    if (client_post(client, message, (uint32_t)size) ||
        !client_wait(client, KD_VMBUS_GPADL_CREATED, message) || kd_get32(created->status))
        return "no GPADL";
    if (!init_rings(client))
        return "rings that do not begin empty";
    if (client_post(client, &request, KD_VMBUS_OPEN_SIZE) ||
        !client_wait(client, KD_VMBUS_OPEN_RESULT, message) || kd_get32(result->status))
        return "no open channel";
    return NULL;
}

const char *client_close(struct client *client)
{
    uint8_t message[KD_HV_MESSAGE_MAX];
    struct kd_vmbus_relid close = {
        .message = kd_put32(KD_VMBUS_CLOSE_CHANNEL),
        .relid = kd_put32(client->relid),
    };
    struct kd_vmbus_gpadl_teardown teardown = {
        .message = kd_put32(KD_VMBUS_GPADL_TEARDOWN),
        .relid = kd_put32(client->relid),
        .gpadl = kd_put32(CLIENT_GPADL),
    };

    if (client_post(client, &close, sizeof close) ||
        client_post(client, &teardown, sizeof teardown) ||
        !client_wait(client, KD_VMBUS_GPADL_TORNDOWN, message))
        return "no end of the GPADL";
    return NULL;
}

void client_release(struct client *client)
{
    struct kd_vmbus_relid release = {
        .message = kd_put32(KD_VMBUS_RELID_RELEASED),
        .relid = kd_put32(client->relid),
    };

    client_post(client, &release, sizeof release);
    client->relid = 0;
}

const char *client_unload(struct client *client)
{
    uint8_t message[KD_HV_MESSAGE_MAX];
    struct kd_vmbus_message unload = {.message = kd_put32(KD_VMBUS_UNLOAD)};

    if (client_post(client, &unload, sizeof unload) ||
        !client_wait(client, KD_VMBUS_UNLOAD_RESPONSE, message))
        return "no answer to UNLOAD";
    return NULL;
}

/* Writing and signalling is one step: a debugger that stops the machine in between would leave a
 * host that was not told. */
bool client_send(struct client *client, const uint8_t *bytes, uint32_t size)
{
    struct kd_vmbus_pipe header = {.type = kd_put32(KD_VMBUS_PIPE_DATA), .size = kd_put32(size)};
    const struct kd_ring_part parts[2] = {{&header, sizeof header}, {bytes, size}};
    struct kd_ring_packet packet = {
        .type = KD_VMBUS_PACKET_IN_BAND, .parts = parts, .part_count = 2};
    uint64_t flags = x86_interrupts_off();
    bool tell = false;
    enum kd_ring_status status = kd_ring_write(&client->out, &packet, &tell);

    if (status == KD_RING_OK && tell)
        client_signal(client);
    x86_flags(flags);
    return status == KD_RING_OK;
}
