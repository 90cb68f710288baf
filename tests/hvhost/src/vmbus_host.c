/* vmbus_host.c - connections: what the guest posts and signals, and what the host sends.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "vmbus_host.h"

#include "devices.h"
#include "host.h"
#include "kd/vmbus.h"

#define NEWEST        KD_VMBUS_VERSION_5_3
#define MS            UINT64_C(1000)
#define EVENT_SHIFT   12u
#define EVENT_RELID   UINT32_C(0xFFF)
#define ID_SINT_SHIFT 4u
#define GROUPS        4u
#define GROUP_BITS    32u
#define GROUP_SIZE    8u
#define TO_HOST_BYTES 2048u

struct message_rule {
    uint32_t type;
    uint32_t size;
    const char *name;
};

/* What a guest may send; GPADLs have no fixed size. */
static const struct message_rule rules[] = {
#define KD_VMBUS_MESSAGE(constant, number, name, layout, from, size, answer) \
    {KD_VMBUS_FROM_##from * number, size, name},
#define KD_VMBUS_FROM_GUEST 1
#define KD_VMBUS_FROM_HOST  0
#include "kd/protocol.def"
};

bool vmbus_is_firmware(const struct host *host, uint8_t sint)
{
    for (unsigned i = 0; i < VMBUS_CONNECTIONS; i++) {
        const struct connection *connection = &host->vmbus.connections[i];

        if (connection->used && connection->sint == sint)
            return connection->firmware;
    }
    return false;
}

uint32_t vmbus_message_id(uint32_t sint)
{
    return KD_VMBUS_CONNECTION_MULTI | sint << ID_SINT_SHIFT;
}

static struct connection *by_sint(struct host *host, uint8_t sint)
{
    for (unsigned i = 0; i < VMBUS_CONNECTIONS; i++) {
        if (host->vmbus.connections[i].used && host->vmbus.connections[i].sint == sint)
            return &host->vmbus.connections[i];
    }
    return NULL;
}

static struct connection *by_message_id(struct host *host, uint32_t id)
{
    for (unsigned i = 0; i < VMBUS_CONNECTIONS; i++) {
        if (host->vmbus.connections[i].used && host->vmbus.connections[i].message_id == id)
            return &host->vmbus.connections[i];
    }
    return NULL;
}

static struct connection *unused(struct host *host)
{
    for (unsigned i = 0; i < VMBUS_CONNECTIONS; i++) {
        if (!host->vmbus.connections[i].used)
            return &host->vmbus.connections[i];
    }
    return NULL;
}

/* --- to the guest --- */

void vmbus_send(struct host *host, const struct connection *connection, const void *message,
                uint32_t size, uint32_t delay)
{
    struct faults *faults = &host->options.faults;
    uint32_t type = kd_get32(((const struct kd_vmbus_message *)message)->message);
    uint64_t later = delay * MS;

    if (connection->firmware) {
        synic_post(host, connection->sint, message, size, 0);
        return;
    }
    if ((faults->drop_type == 0 || faults->drop_type == type) &&
        fault_strikes(&host->log, &faults->drop, "message to the guest dropped"))
        return;
    later += faults->delay_message * MS;
    synic_post(host, connection->sint, message, size, later);
    if ((faults->double_type == 0 || faults->double_type == type) &&
        fault_strikes(&host->log, &faults->twice, "message to the guest sent twice"))
        synic_post(host, connection->sint, message, size, later);
}

/* --- connecting --- */

static void forget(struct host *host, struct connection *connection)
{
    channel_forget(host, connection);
    for (unsigned i = 0; i < VMBUS_GPADLS; i++) {
        struct gpadl *gpadl = &host->vmbus.gpadls[i];

        if (gpadl->used && &host->vmbus.connections[gpadl->connection] == connection)
            gpadl->used = false;
    }
    synic_forget(&host->synic, connection->sint);
    connection->used = false;
}

static void respond(struct host *host, const struct connection *connection, bool supported,
                    uint32_t value)
{
    struct kd_vmbus_version_response reply = {
        .message = kd_put32(KD_VMBUS_VERSION_RESPONSE),
        .supported = kd_put8(supported),
        .version = kd_put32(value),
    };

    if (supported && !connection->firmware &&
        fault_strikes(&host->log, &host->options.faults.state, "version response: failed"))
        reply.state = kd_put8(KD_VMBUS_STATE_FAILED);
    vmbus_send(host, connection, &reply, sizeof reply, 0);
}

static bool known_version(uint32_t version)
{
    static const uint32_t known[] = {
        KD_VMBUS_VERSION_WS2008, KD_VMBUS_VERSION_WIN7,  KD_VMBUS_VERSION_WIN8,
        KD_VMBUS_VERSION_WIN8_1, KD_VMBUS_VERSION_WIN10, KD_VMBUS_VERSION_4_1,
        KD_VMBUS_VERSION_5_0,    KD_VMBUS_VERSION_5_1,   KD_VMBUS_VERSION_5_2,
        KD_VMBUS_VERSION_5_3,
    };

    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i] == version)
            return true;
    }
    return false;
}

static bool accepts(struct host *host, const struct connection *connection)
{
    struct faults *faults = &host->options.faults;
    uint32_t version = connection->version;

    if (!known_version(version))
        return false;
    if (connection->firmware)
        return true;
    if (fault_strikes(&host->log, &faults->refuse, "version refused"))
        return false;
    return version <= (faults->max_version ? faults->max_version : NEWEST);
}

/* What the message itself says; violations that still leave somebody to answer are reported. */
static struct connection read_contact(struct host *host, uint32_t id, const uint8_t *message)
{
    const struct kd_vmbus_initiate_contact *contact = (const void *)message;
    const struct kd_vmbus_initiate_contact5 *contact5 = (const void *)message;
    struct connection wanted = {
        .used = true,
        .sint = KD_VMBUS_SINT,
        .version = kd_get32(contact->version),
        .message_id = KD_VMBUS_CONNECTION_MESSAGE,
        .monitor_to_guest = kd_get64(contact->parent_to_child_page),
        .monitor_to_host = kd_get64(contact->child_to_parent_page),
        .messages = 1,
    };

    if (id == KD_VMBUS_CONNECTION_MULTI) {
        wanted.sint = kd_get8(contact5->sint);
        wanted.message_id = vmbus_message_id(wanted.sint);
        if (wanted.version < KD_VMBUS_VERSION_5_0) {
            VMBUS_BAD(host, &wanted, "version %x asked for on connection id 4", wanted.version);
            wanted.sint = KD_VMBUS_SINT;
        }
    } else if (wanted.version >= KD_VMBUS_VERSION_5_0) {
        log_line(&host->log, LOG_WARN, "version %x asked for on connection id 1", wanted.version);
    } else if (wanted.version < KD_VMBUS_VERSION_WIN8) {
        wanted.interrupt_page = kd_get64(contact->interrupt_page);
    }
    if (kd_get32(contact->target_vp) != 0)
        VMBUS_BAD(host, &wanted, "messages for processor %u, which does not exist",
                  kd_get32(contact->target_vp));
    return wanted;
}

static const char *contact_fault(struct host *host, const struct connection *wanted)
{
    if (wanted->sint >= SYNIC_SINTS)
        return "there is no such SINT";
    if (!synic_listens(&host->synic, wanted->sint))
        return "no answer can arrive: SINT, message page or SCONTROL are not ready";
    if (!wanted->monitor_to_guest != !wanted->monitor_to_host)
        return "one monitor page without the other";
    if (wanted->monitor_to_guest &&
        (!guest_memory(&host->guest, wanted->monitor_to_guest, GUEST_PAGE) ||
         !guest_memory(&host->guest, wanted->monitor_to_host, GUEST_PAGE)))
        return "a monitor page is not in RAM";
    if (wanted->version < KD_VMBUS_VERSION_WIN8 &&
        !guest_memory(&host->guest, wanted->interrupt_page, GUEST_PAGE))
        return "the interrupt page is not in RAM";
    if (vmbus_is_firmware(host, wanted->sint))
        return "the SINT is the firmware's, whose connection this would end";
    return NULL;
}

static void initiate(struct host *host, uint32_t id, const uint8_t *message)
{
    struct connection wanted = read_contact(host, id, message), *connection;
    const char *fault = contact_fault(host, &wanted);
    bool wrong;

    if (fault) {
        VMBUS_BAD(host, &wanted, "INITIATE_CONTACT: %s", fault);
        return;
    }
    connection = by_sint(host, wanted.sint);
    if (connection) {
        log_line(&host->log, LOG_WARN, "sint %u: a new contact ends the connection there is",
                 (uint32_t)wanted.sint);
        forget(host, connection);
    }
    wanted.firmware = !host->options.no_firmware && !host->firmware_seen;
    if (!accepts(host, &wanted)) {
        log_line(&host->log, LOG_INFO, "sint %u: version %x refused", (uint32_t)wanted.sint,
                 wanted.version);
        respond(host, &wanted, false, 0);
        return;
    }
    connection = unused(host);
    if (!connection) {
        log_line(&host->log, LOG_WARN, "no place for another connection");
        respond(host, &wanted, false, 0);
        return;
    }
    *connection = wanted;
    if (id == KD_VMBUS_CONNECTION_MULTI)
        host->vmbus.ports |= 1u << wanted.sint;
    host->firmware_seen = host->firmware_seen || wanted.firmware;
    wrong = host->options.faults.wrong_id && !wanted.firmware;
    log_line(&host->log, LOG_INFO, "sint %u: connected with version %x, message id %x%s",
             (uint32_t)wanted.sint, wanted.version, wanted.message_id,
             wanted.firmware ? " (firmware)" : "");
    respond(host, connection, true,
            wanted.version < KD_VMBUS_VERSION_5_0 ? wanted.version
                                                  : wanted.message_id + (wrong ? 0x1000u : 0u));
}

static void unload(struct host *host, struct connection *connection)
{
    struct kd_vmbus_message reply = {.message = kd_put32(KD_VMBUS_UNLOAD_RESPONSE)};
    struct connection gone = *connection;

    log_line(&host->log, LOG_INFO, "sint %u: unloaded", (uint32_t)connection->sint);
    forget(host, connection);
    vmbus_send(host, &gone, &reply, sizeof reply, 0);
}

/* The guest wants to connect to a service: its channel is the answer, or that nobody listens. */
static void connect_socket(struct host *host, struct connection *connection, const uint8_t *message)
{
    const struct kd_vmbus_tl_connect *request = (const void *)message;
    struct kd_vmbus_tl_connect_result reply = {
        .message = kd_put32(KD_VMBUS_TL_CONNECT_RESULT),
        .status = kd_put32(KD_NT(STATUS_CONNECTION_REFUSED)),
    };

    if (!__builtin_memcmp(request->service_id, device_socket_guest.type,
                          sizeof request->service_id)) {
        offers_offer(host, connection, &device_socket_guest, request->endpoint_id);
        return;
    }
    __builtin_memcpy(reply.endpoint_id, request->endpoint_id, sizeof reply.endpoint_id);
    __builtin_memcpy(reply.service_id, request->service_id, sizeof reply.service_id);
    vmbus_send(host, connection, &reply, sizeof reply, 0);
}

void vmbus_offer_socket(struct host *host)
{
    for (unsigned i = 0; i < VMBUS_CONNECTIONS; i++) {
        struct connection *connection = &host->vmbus.connections[i];

        if (connection->used && !connection->firmware)
            offers_offer(host, connection, &device_socket_host, NULL);
    }
}

/* --- from the guest --- */

static const struct message_rule *rule_of(uint32_t type)
{
    for (unsigned i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (type != 0 && rules[i].type == type)
            return &rules[i];
    }
    return NULL;
}

static void dispatch(struct host *host, struct connection *connection, uint32_t type,
                     const uint8_t *message, uint32_t size)
{
    switch (type) {
    case KD_VMBUS_REQUEST_OFFERS:
        offers_send(host, connection);
        break;
    case KD_VMBUS_OPEN_CHANNEL:
        channel_open(host, connection, message);
        break;
    case KD_VMBUS_CLOSE_CHANNEL:
        channel_close(host, connection, message);
        break;
    case KD_VMBUS_GPADL_HEADER:
        gpadl_header(host, connection, message, size);
        break;
    case KD_VMBUS_GPADL_BODY:
        gpadl_body(host, connection, message, size);
        break;
    case KD_VMBUS_GPADL_TEARDOWN:
        gpadl_teardown(host, connection, message);
        break;
    case KD_VMBUS_RELID_RELEASED:
        channel_release(host, connection, message);
        break;
    case KD_VMBUS_UNLOAD:
        unload(host, connection);
        break;
    case KD_VMBUS_TL_CONNECT_REQUEST:
        connect_socket(host, connection, message);
        break;
    case KD_VMBUS_MODIFY_CHANNEL:
        channel_modify(host, connection, message);
        break;
    default:
        VMBUS_BAD(host, connection, "message %u does not exist in this version", type);
        break;
    }
}

static bool sized(uint32_t type)
{
    return type != KD_VMBUS_GPADL_HEADER && type != KD_VMBUS_GPADL_BODY;
}

uint32_t vmbus_post(struct host *host, uint32_t connection_id, const uint8_t *message,
                    uint32_t size)
{
    struct connection *connection = by_message_id(host, connection_id);
    uint8_t copy[SYNIC_PAYLOAD] = {0};
    const struct message_rule *rule;
    uint32_t type;

    __builtin_memcpy(copy, message, size < sizeof copy ? size : sizeof copy);
    type = kd_get32(((const struct kd_vmbus_message *)(const void *)copy)->message);
    rule = rule_of(type);
    if (!rule || size < rule->size) {
        log_line(&host->log, LOG_BAD, "connection id %x: message of type %u and %u bytes",
                 connection_id, type, size);
        return KD_HV_STATUS_SUCCESS;
    }
    if (sized(type) && size > sizeof(struct kd_vmbus_initiate_contact5) && size > rule->size)
        log_line(&host->log, LOG_WARN, "%s: %u bytes, %u are enough", rule->name, size, rule->size);
    if (host->options.verbose)
        log_line(&host->log, LOG_INFO, "connection id %x: %s", connection_id, rule->name);
    if (type == KD_VMBUS_INITIATE_CONTACT) {
        initiate(host, connection_id, copy);
        return KD_HV_STATUS_SUCCESS;
    }
    if (!connection) {
        /* Linux and iPXE release what was rescinded after they unloaded. */
        log_line(&host->log, type == KD_VMBUS_RELID_RELEASED ? LOG_WARN : LOG_BAD,
                 "connection id %x: %s without a connection", connection_id, rule->name);
        return KD_HV_STATUS_SUCCESS;
    }
    connection->messages++;
    dispatch(host, connection, type, copy, size);
    return KD_HV_STATUS_SUCCESS;
}

static void channel_signalled(struct channel *channel)
{
    channel->signals_in++;
    channel->room_told = true;
    if (channel->state != CHANNEL_OPEN)
        return;
    if (channel->signalled || !hostring_pending(&channel->from_guest))
        channel->signals_spurious++;
    channel->signalled = true;
}

/* The bits of a page that the guest set since the last time; each is a relid. */
static void take_bits(struct host *host, struct connection *connection, uint8_t *bits)
{
    for (uint32_t byte = 0; byte < VMBUS_CHANNELS * 8; byte++) {
        uint8_t set = bits[byte] ? __atomic_exchange_n(bits + byte, 0, __ATOMIC_SEQ_CST) : 0;

        for (uint32_t bit = 0; bit < 8; bit++) {
            struct channel *channel =
                set & 1u << bit ? channel_find(host, connection, byte * 8 + bit) : NULL;

            if (channel)
                channel_signalled(channel);
        }
    }
}

static uint32_t signal_shared(struct host *host)
{
    struct connection *connection = by_sint(host, KD_VMBUS_SINT);
    uint8_t *page =
        connection ? guest_memory(&host->guest, connection->interrupt_page, GUEST_PAGE) : NULL;

    if (!page || connection->version >= KD_VMBUS_VERSION_WIN8)
        return KD_HV_STATUS_INVALID_CONNECTION_ID;
    take_bits(host, connection, page + TO_HOST_BYTES);
    return KD_HV_STATUS_SUCCESS;
}

uint32_t vmbus_signal(struct host *host, uint32_t connection_id, uint32_t flag)
{
    struct connection *connection = by_sint(host, (uint8_t)(connection_id >> EVENT_SHIFT));
    struct channel *channel =
        connection ? channel_find(host, connection, connection_id & EVENT_RELID) : NULL;

    trace_signal(host, KD_VMBUS_TO_HOST, connection ? connection->sint : KD_VMBUS_RECORD_NO_SINT,
                 connection_id, channel ? channel->relid : 0, flag,
                 channel || connection_id == KD_VMBUS_CONNECTION_EVENT
                     ? KD_HV_STATUS_SUCCESS
                     : KD_HV_STATUS_INVALID_CONNECTION_ID,
                 0);
    if (connection_id == KD_VMBUS_CONNECTION_EVENT)
        return signal_shared(host);
    if (!channel || connection_id != channel_event_id(host, channel)) {
        log_line(&host->log, LOG_BAD, "signal with connection id %x, which does not exist",
                 connection_id);
        return KD_HV_STATUS_INVALID_CONNECTION_ID;
    }
    if (flag != 0)
        log_line(&host->log, LOG_BAD, "channel %u: signal with flag %u", channel->relid, flag);
    if (channel->state == CHANNEL_OFFERED)
        log_line(&host->log, LOG_BAD, "channel %u: signal, but it is not open", channel->relid);
    channel_signalled(channel);
    return KD_HV_STATUS_SUCCESS;
}

/* --- what is due --- */

/* Bits that guests set instead of a hypercall. */
static void poll_monitor(struct host *host, struct connection *connection)
{
    uint8_t *page = guest_memory(&host->guest, connection->monitor_to_host, GUEST_PAGE);

    if (!page || connection->firmware)
        return;
    for (uint32_t group = 0; group < GROUPS; group++) {
        uint32_t *pending =
            (uint32_t *)(void *)(page + offsetof(struct kd_vmbus_monitor_page, trigger_group) +
                                 (size_t)group * GROUP_SIZE);
        uint32_t set = *pending ? __atomic_exchange_n(pending, 0, __ATOMIC_SEQ_CST) : 0;

        for (uint32_t i = 0; i < VMBUS_CHANNELS && set; i++) {
            struct channel *channel = &host->vmbus.channels[i];
            uint32_t id = channel->monitor;

            if (channel->state == CHANNEL_FREE || !id || id / GROUP_BITS != group ||
                !(set & 1u << id % GROUP_BITS) || channel_connection(host, channel) != connection)
                continue;
            trace_signal(host, KD_VMBUS_TO_HOST, connection->sint, channel_event_id(host, channel),
                         channel->relid, 0, 0, KD_VMBUS_RECORD_BY_MONITOR);
            channel_signalled(channel);
        }
    }
}

static struct channel *the_pipe(struct host *host)
{
    for (unsigned i = 0; i < VMBUS_CHANNELS; i++) {
        struct channel *channel = &host->vmbus.channels[i];

        if (channel->device == &device_pipe &&
            (channel->state == CHANNEL_OPEN || channel->state == CHANNEL_OFFERED))
            return channel;
    }
    return NULL;
}

void vmbus_rescind_pipe(struct host *host)
{
    struct channel *pipe = the_pipe(host);
    uint32_t later = host->options.faults.reoffer;

    if (!pipe)
        return;
    channel_rescind(host, pipe);
    host->vmbus.reoffer_time = later ? log_now(&host->log) + later * MS : 0;
}

/* To the guest's connection; one that has not asked for its offers yet is given it then. */
void vmbus_offer_pipe(struct host *host)
{
    host->vmbus.reoffer_time = 0;
    host->options.faults.no_offer = false;
    for (unsigned i = 0; i < VMBUS_CONNECTIONS && !the_pipe(host); i++) {
        struct connection *connection = &host->vmbus.connections[i];

        if (!connection->used || connection->firmware || !connection->offered)
            continue;
        log_line(&host->log, LOG_INFO, "sint %u: the pipe is offered again",
                 (uint32_t)connection->sint);
        offers_offer(host, connection, &device_pipe, NULL);
    }
}

static void pipe_faults(struct host *host, uint64_t now)
{
    struct faults *faults = &host->options.faults;
    struct channel *pipe = the_pipe(host);

    if (host->vmbus.reoffer_time && host->vmbus.reoffer_time <= now)
        vmbus_offer_pipe(host);
    if (!pipe || pipe->state != CHANNEL_OPEN)
        return;
    if (faults->rescind_after && pipe->packets_in >= faults->rescind_after) {
        log_line(&host->log, LOG_FAULT, "the pipe is rescinded while open");
        if (faults->rescinds > 1)
            faults->rescinds--;
        else
            faults->rescind_after = 0;
        vmbus_rescind_pipe(host);
        return;
    }
    if (faults->away_after && pipe->packets_in >= faults->away_after) {
        log_line(&host->log, LOG_FAULT, "the host is deaf for %u ms", faults->away);
        faults->away_after = 0;
        host->vmbus.away_until = now + faults->away * MS;
    }
    if (faults->spurious && now >= host->vmbus.spurious_time) {
        host->vmbus.spurious_time = now + faults->spurious * MS;
        synic_signal(host, channel_connection(host, pipe)->sint, pipe->relid);
    }
}

void vmbus_work(struct host *host)
{
    uint64_t now = log_now(&host->log);

    if (host->vmbus.away_until && now >= host->vmbus.away_until) {
        host->vmbus.away_until = 0;
        log_line(&host->log, LOG_INFO, "the host is back");
    }
    for (unsigned i = 0; i < VMBUS_CONNECTIONS; i++) {
        if (host->vmbus.connections[i].used && host->options.monitor)
            poll_monitor(host, &host->vmbus.connections[i]);
    }
    if (!host->vmbus.away_until)
        pipe_faults(host, now);
    for (unsigned i = 0; i < VMBUS_CHANNELS; i++) {
        struct channel *channel = &host->vmbus.channels[i];

        if (!host->vmbus.away_until || channel_connection(host, channel)->firmware)
            channel_work(host, channel);
    }
}

void vmbus_summary(struct host *host)
{
    for (unsigned i = 0; i < VMBUS_CHANNELS; i++) {
        const struct channel *channel = &host->vmbus.channels[i];

        if (channel->device && channel->packets_in + channel->packets_out > 0)
            log_line(&host->log, LOG_INFO,
                     "channel %u (%s): in %u packets %U bytes %u signals (%u spurious), out %u "
                     "packets %U bytes %u signals",
                     channel->relid, channel->device->name, channel->packets_in, channel->bytes_in,
                     channel->signals_in, channel->signals_spurious, channel->packets_out,
                     channel->bytes_out, channel->signals_out);
    }
}
