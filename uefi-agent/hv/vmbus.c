/* vmbus.c - the connection: posting, versions, offers, unloading. See vmbus.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "vmbus.h"

#include "bytes.h"
#include "vmbus_internal.h"

#define MESSAGES_MAX 64u  /* that one look at the slot takes; a host could send without end */
#define POST_FIRST   9u   /* of the first message of a connection: 0.26 s */
#define POST_TRIES   100u /* Linux: about 100, with 1 ms doubled up to 256 ms between them */

/* Newest first. Own: by a SINT of ours, which only connection 4 can; else by SINT 2. */
struct rung {
    uint32_t version;
    uint32_t connection;
    bool own_sint;
};
static const struct rung ladder[] = {
    {KD_VMBUS_VERSION_5_3, KD_VMBUS_CONNECTION_MULTI, true},
    {KD_VMBUS_VERSION_5_2, KD_VMBUS_CONNECTION_MULTI, true},
    {KD_VMBUS_VERSION_5_1, KD_VMBUS_CONNECTION_MULTI, true},
    {KD_VMBUS_VERSION_5_0, KD_VMBUS_CONNECTION_MULTI, true},
    {KD_VMBUS_VERSION_5_3, KD_VMBUS_CONNECTION_MULTI, false},
    {KD_VMBUS_VERSION_5_2, KD_VMBUS_CONNECTION_MULTI, false},
    {KD_VMBUS_VERSION_5_1, KD_VMBUS_CONNECTION_MULTI, false},
    {KD_VMBUS_VERSION_5_0, KD_VMBUS_CONNECTION_MULTI, false},
    {KD_VMBUS_VERSION_4_1, KD_VMBUS_CONNECTION_MESSAGE, false},
    {KD_VMBUS_VERSION_WIN10, KD_VMBUS_CONNECTION_MESSAGE, false},
    {KD_VMBUS_VERSION_WIN8_1, KD_VMBUS_CONNECTION_MESSAGE, false},
    {KD_VMBUS_VERSION_WIN8, KD_VMBUS_CONNECTION_MESSAGE, false},
};
#define RUNGS (sizeof ladder / sizeof ladder[0])

uint64_t kda_vmbus_now(const struct kda_vmbus *bus)
{
    return bus->ports.now(bus->ports.self);
}

void kda_vmbus_enter(struct kda_vmbus *bus, enum kda_vmbus_state state, uint64_t limit)
{
    bus->state = state;
    bus->deadline = limit ? kda_vmbus_now(bus) + limit : UINT64_MAX;
}

/* --- what went wrong */

static size_t add_text(char *out, size_t used, size_t room, const char *text)
{
    for (; *text && used + 1 < room; text++)
        out[used++] = *text;
    out[used] = 0;
    return used;
}

static size_t add_number(char *out, size_t used, size_t room, uint32_t number)
{
    char digits[9];

    for (unsigned i = 0; i < 8; i++)
        digits[i] = "0123456789abcdef"[number >> (28 - 4 * i) & 0xF];
    digits[8] = 0;
    return add_text(out, used, room, digits);
}

void kda_vmbus_complain(struct kda_vmbus *bus, const char *step, const char *why, uint32_t number)
{
    size_t room = sizeof bus->problem;
    size_t used = add_text(bus->problem, 0, room, step);

    used = add_text(bus->problem, used, room, ": ");
    used = add_text(bus->problem, used, room, why);
    if (number) {
        used = add_text(bus->problem, used, room, " (");
        used = add_number(bus->problem, used, room, number);
        add_text(bus->problem, used, room, ")");
    }
    if (bus->watch.note)
        bus->watch.note(bus->watch.self, bus->problem);
}

const char *kda_vmbus_problem(const struct kda_vmbus *bus)
{
    return bus->problem;
}

/* --- the outbox */

void kda_vmbus_send(struct kda_vmbus *bus, const void *message, size_t size)
{
    struct kda_vmbus_letter *letter;

    /* More than a channel's whole opening: the host cannot be waiting for all that. */
    if (bus->letter_count == KDA_VMBUS_LETTERS || size > KDA_VMBUS_MESSAGE_MAX)
        return;
    letter = &bus->letters[(bus->first_letter + bus->letter_count++) % KDA_VMBUS_LETTERS];
    letter->connection = bus->connection;
    letter->size = (uint32_t)size;
    memcpy(letter->bytes, message, size);
}

static void drop_letters(struct kda_vmbus *bus)
{
    bus->letter_count = 0;
    bus->post_tries = 0;
    bus->post_delay = 0;
    bus->post_at = 0;
}

static bool passes(uint16_t status)
{
    return status == KD_HV_STATUS_INSUFFICIENT_MEMORY ||
           status == KD_HV_STATUS_INSUFFICIENT_BUFFERS ||
           status == KD_HV_STATUS_INVALID_CONNECTION_ID;
}

static void try_rung(struct kda_vmbus *bus);

/* A host without the connection that lets its caller choose the SINT says so by an error; one that
 * does not answer a version answers none there. */
static void skip_way(struct kda_vmbus *bus, bool any_sint)
{
    const struct rung *rung = &ladder[bus->rung];

    while (bus->rung < RUNGS && ladder[bus->rung].connection == rung->connection &&
           (any_sint || ladder[bus->rung].own_sint == rung->own_sint))
        bus->rung++;
    bus->unanswered = false;
    try_rung(bus);
}

static void refused_post(struct kda_vmbus *bus, uint16_t status)
{
    if (bus->state == KDA_VMBUS_CONTACT) {
        kda_vmbus_complain(bus, "INITIATE_CONTACT", "the hypercall fails with status", status);
        drop_letters(bus);
        skip_way(bus, true);
        return;
    }
    kda_vmbus_complain(bus, "posting a message", "the hypercall fails with status", status);
    drop_letters(bus);
    kda_vmbus_restart(bus);
}

static void put_off(struct kda_vmbus *bus)
{
    bus->post_tries++;
    bus->post_delay = bus->post_delay ? 2 * bus->post_delay : KDA_VMBUS_DELAY_FIRST;
    if (bus->post_delay > KDA_VMBUS_DELAY_LAST)
        bus->post_delay = KDA_VMBUS_DELAY_LAST;
    bus->post_at = kda_vmbus_now(bus) + bus->post_delay;
}

/* In first contact an unknown connection is an answer; later it passes. */
static bool may_pass(const struct kda_vmbus *bus, uint16_t status)
{
    bool unknown = status == KD_HV_STATUS_INVALID_CONNECTION_ID;

    if (unknown && bus->state == KDA_VMBUS_CONTACT)
        return false;
    return passes(status) && bus->post_tries < (unknown && !bus->posted ? POST_FIRST : POST_TRIES);
}

static void post_letters(struct kda_vmbus *bus)
{
    while (bus->letter_count > 0 && kda_vmbus_now(bus) >= bus->post_at) {
        struct kda_vmbus_letter *letter = &bus->letters[bus->first_letter];
        uint16_t status =
            bus->ports.post(bus->ports.self, letter->connection, letter->bytes, letter->size);

        if (bus->watch.message)
            bus->watch.message(bus->watch.self, true, letter->connection, status, letter->bytes,
                               letter->size);
        if (may_pass(bus, status)) {
            put_off(bus);
            return;
        }
        if (status != KD_HV_STATUS_SUCCESS) {
            refused_post(bus, status);
            return;
        }
        bus->post_delay = 0;
        bus->post_tries = 0;
        bus->posted = bus->state != KDA_VMBUS_CONTACT;
        bus->first_letter = (bus->first_letter + 1) % KDA_VMBUS_LETTERS;
        bus->letter_count--;
    }
}

/* --- versions */

static void contact(struct kda_vmbus *bus, const struct rung *rung)
{
    struct kd_vmbus_initiate_contact5 message;

    memset(&message, 0, sizeof message);
    message.message = kd_put32(KD_VMBUS_INITIATE_CONTACT);
    message.version = kd_put32(rung->version);
    message.target_vp = kd_put32(bus->ports.processor(bus->ports.self));
    /* Before 5.0 this is the address of an interrupt page, which nobody uses since 2.4. */
    if (rung->version >= KD_VMBUS_VERSION_5_0)
        message.sint = kd_put8((uint8_t)bus->ports.sint(bus->ports.self));
    message.parent_to_child_page = kd_put64(bus->config.monitor_at);
    message.child_to_parent_page = kd_put64(bus->config.monitor_at + KDA_VMBUS_PAGE);
    bus->connection = rung->connection;
    bus->posted = false;
    bus->version = rung->version;
    kda_vmbus_enter(bus, KDA_VMBUS_CONTACT, KDA_VMBUS_CONTACT_US);
    kda_vmbus_send(bus, &message, offsetof(struct kd_vmbus_initiate_contact5, client_id));
}

/* Rungs by SINT 2 are for machines in which nobody has that. */
static void try_rung(struct kda_vmbus *bus)
{
    for (; bus->rung < RUNGS; bus->rung++) {
        const struct rung *rung = &ladder[bus->rung];

        if (rung->own_sint || bus->ports.use_legacy_sint(bus->ports.self)) {
            contact(bus, rung);
            return;
        }
    }
    if (!bus->problem[0])
        kda_vmbus_complain(bus, "INITIATE_CONTACT",
                           "the host refuses every version (2.4 to 5.3) that a second client of "
                           "this machine can use",
                           0);
    bus->connection = 0;
    kda_vmbus_enter(bus, KDA_VMBUS_OFF, 0);
}

static void connect(struct kda_vmbus *bus)
{
    bus->rung = 0;
    bus->unanswered = false;
    bus->offers_delivered = false;
    bus->next.there = false;
    drop_letters(bus);
    kda_vmbus_forget_channel(bus);
    if (bus->ports.use_own_sint(bus->ports.self))
        try_rung(bus);
    else
        kda_vmbus_enter(bus, KDA_VMBUS_OFF, 0);
}

/* It does not say which version it is about: one that comes before our question was posted is a
 * repeated answer to the question before. */
static void on_version(struct kda_vmbus *bus, const uint8_t *bytes)
{
    const struct kd_vmbus_version_response5 *message = (const void *)bytes;
    static const struct kd_vmbus_message request = {.message = {{KD_VMBUS_REQUEST_OFFERS}}};

    if (bus->state != KDA_VMBUS_CONTACT || bus->letter_count > 0)
        return;
    if (kd_get8(message->supported) == 0) {
        bus->rung++;
        bus->unanswered = false;
        try_rung(bus);
        return;
    }
    if (kd_get8(message->state) != KD_VMBUS_STATE_SUCCESSFUL) {
        kda_vmbus_complain(bus, "INITIATE_CONTACT",
                           "the host supports the version and fails, connection state",
                           kd_get8(message->state));
        bus->rung = RUNGS;
        try_rung(bus);
        return;
    }
    if (bus->version >= KD_VMBUS_VERSION_5_0)
        bus->connection = kd_get32(message->connection_id);
    kda_vmbus_enter(bus, KDA_VMBUS_OFFERS, KDA_VMBUS_ANSWER_US);
    kda_vmbus_send(bus, &request, sizeof request);
}

static void on_delivered(struct kda_vmbus *bus)
{
    if (bus->state != KDA_VMBUS_OFFERS)
        return;
    bus->offers_delivered = true;
    kda_vmbus_enter(bus, KDA_VMBUS_ABSENT, 0);
    kda_vmbus_take_offer(bus);
}

/* --- the end of a connection */

/* Before 3.0 the host does not answer. */
static bool answers_unload(const struct kda_vmbus *bus)
{
    return bus->version >= KD_VMBUS_VERSION_WIN8_1;
}

void kda_vmbus_unload(struct kda_vmbus *bus)
{
    static const struct kd_vmbus_message message = {.message = {{KD_VMBUS_UNLOAD}}};

    drop_letters(bus);
    kda_vmbus_enter(bus, KDA_VMBUS_UNLOADING,
                    answers_unload(bus) ? KDA_VMBUS_UNLOAD_US : KDA_VMBUS_AGAIN_US);
    kda_vmbus_send(bus, &message, sizeof message);
}

/* After UNLOAD no GPADL is valid, and the pages are ours again. */
static void unloaded(struct kda_vmbus *bus)
{
    kda_vmbus_forget_channel(bus);
    bus->next.there = false;
    drop_letters(bus);
    if (bus->leaving || bus->connections >= KDA_VMBUS_TRIES) {
        kda_vmbus_enter(bus, KDA_VMBUS_OFF, 0);
        return;
    }
    bus->connections++;
    connect(bus);
}

void kda_vmbus_restart(struct kda_vmbus *bus)
{
    if (bus->state == KDA_VMBUS_UNLOADING) {
        bus->memory_lost = true;
        unloaded(bus);
    } else {
        kda_vmbus_unload(bus);
    }
}

/* --- messages of the host */

/* The shortest form of each; what is shorter is ignored, as are messages nobody here knows. */
static void handle(struct kda_vmbus *bus, const uint8_t *message, size_t size)
{
    uint32_t type = kd_get32(((const struct kd_vmbus_message *)message)->message);
    static const struct {
        uint8_t type, size;
        void (*handle)(struct kda_vmbus *bus, const uint8_t *message);
    } handlers[] = {
        {KD_VMBUS_OFFER_CHANNEL, sizeof(struct kd_vmbus_offer), kda_vmbus_on_offer},
        {KD_VMBUS_RESCIND_OFFER, sizeof(struct kd_vmbus_relid), kda_vmbus_on_rescind},
        {KD_VMBUS_OPEN_RESULT, sizeof(struct kd_vmbus_open_result), kda_vmbus_on_result},
        {KD_VMBUS_GPADL_CREATED, sizeof(struct kd_vmbus_gpadl_created), kda_vmbus_on_created},
        {KD_VMBUS_GPADL_TORNDOWN, sizeof(struct kd_vmbus_gpadl_torndown), kda_vmbus_on_torndown},
        {KD_VMBUS_VERSION_RESPONSE, sizeof(struct kd_vmbus_version_response), on_version},
    };

    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        if (handlers[i].type == type && size >= handlers[i].size)
            handlers[i].handle(bus, message);
    }
    if (type == KD_VMBUS_ALL_OFFERS_DELIVERED)
        on_delivered(bus);
    else if (type == KD_VMBUS_UNLOAD_RESPONSE && bus->state == KDA_VMBUS_UNLOADING)
        unloaded(bus);
}

static void take_messages(struct kda_vmbus *bus)
{
    uint8_t message[KDA_VMBUS_MESSAGE_MAX];

    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        size_t size = bus->ports.receive(bus->ports.self, message);

        if (size == 0)
            return;
        if (bus->watch.message)
            bus->watch.message(bus->watch.self, false, bus->connection, 0, message, size);
        if (size >= sizeof(struct kd_vmbus_message))
            handle(bus, message, size);
    }
}

/* --- time */

static const char *step_of(enum kda_vmbus_state state)
{
    static const char *const steps[] = {
        [KDA_VMBUS_OFF] = "?",
        [KDA_VMBUS_CONTACT] = "INITIATE_CONTACT",
        [KDA_VMBUS_OFFERS] = "REQUESTOFFERS",
        [KDA_VMBUS_ABSENT] = "?",
        [KDA_VMBUS_GPADL] = "GPADL_HEADER of the ring",
        [KDA_VMBUS_OPENING] = "OPENCHANNEL",
        [KDA_VMBUS_OPEN] = "?",
        [KDA_VMBUS_CLOSING] = "GPADL_TEARDOWN of the ring",
        [KDA_VMBUS_UNLOADING] = "UNLOAD",
    };

    return steps[state];
}

static void late(struct kda_vmbus *bus)
{
    const char *why = bus->letter_count > 0
                          ? "the host takes no message (hypercall status 13 or 12)"
                          : "the host does not answer";

    /* What was refused waits for its next try here, too, which is nobody's fault. */
    if (bus->state != KDA_VMBUS_ABSENT &&
        (bus->state != KDA_VMBUS_UNLOADING || answers_unload(bus)))
        kda_vmbus_complain(bus, step_of(bus->state), why, 0);
    switch (bus->state) {
    case KDA_VMBUS_CONTACT:
        /* The same once more, then another way. */
        drop_letters(bus);
        if (bus->unanswered) {
            skip_way(bus, false);
        } else {
            bus->unanswered = true;
            try_rung(bus);
        }
        break;
    case KDA_VMBUS_OFFERS:
        kda_vmbus_restart(bus);
        break;
    case KDA_VMBUS_UNLOADING:
        bus->memory_lost = answers_unload(bus);
        unloaded(bus);
        break;
    default:
        kda_vmbus_channel_late(bus);
    }
}

void kda_vmbus_init(struct kda_vmbus *bus, const struct kda_vmbus_config *config,
                    const struct kda_vmbus_ports *ports)
{
    memset(bus, 0, sizeof *bus);
    bus->config = *config;
    bus->ports = *ports;
    bus->deadline = UINT64_MAX;
}

void kda_vmbus_poll(struct kda_vmbus *bus)
{
    if (bus->state == KDA_VMBUS_OFF)
        return;
    take_messages(bus);
    if (kda_vmbus_now(bus) >= bus->deadline)
        late(bus);
    post_letters(bus);
}

/* Nothing more will come of itself soon. */
static bool settled(const struct kda_vmbus *bus)
{
    return bus->state == KDA_VMBUS_OPEN || bus->state == KDA_VMBUS_OFF ||
           (bus->state == KDA_VMBUS_ABSENT && bus->deadline == UINT64_MAX);
}

bool kda_vmbus_connect(struct kda_vmbus *bus)
{
    uint64_t start = kda_vmbus_now(bus);

    bus->connections = 1;
    bus->leaving = false;
    bus->problem[0] = 0;
    connect(bus);
    post_letters(bus);
    while (!settled(bus) && kda_vmbus_now(bus) - start < KDA_VMBUS_CONNECT_US) {
        bus->ports.relax(bus->ports.self);
        kda_vmbus_poll(bus);
    }
    return bus->state == KDA_VMBUS_OPEN;
}

void kda_vmbus_leave(struct kda_vmbus *bus)
{
    bus->leaving = true;
    if (bus->state == KDA_VMBUS_OFF)
        return;
    kda_vmbus_close_channel(bus);
    post_letters(bus);
    while (bus->state != KDA_VMBUS_OFF) {
        bus->ports.relax(bus->ports.self);
        kda_vmbus_poll(bus);
    }
}

void kda_vmbus_signal(struct kda_vmbus *bus)
{
    uint16_t status;

    if (bus->state != KDA_VMBUS_OPEN)
        return;
    status = bus->ports.signal(bus->ports.self, bus->offer.connection);
    if (bus->watch.signal)
        bus->watch.signal(bus->watch.self, true, bus->offer.connection, status, bus->offer.relid);
}
