/* channel.c - one channel: open, closed, rescinded; its rings and signals.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "devices.h"
#include "host.h"
#include "kd/vmbus.h"
#include "x86.h"

#define EVENT_SINT_SHIFT 12u
#define STATUS_FAILED    UINT32_C(0xC0000001)
#define PAGES_MIN        2u /* of a ring: its control page and one of data */
#define MS               UINT64_C(1000)
#define LOST_SIGNAL_US   UINT64_C(3000000)
#define PACKETS_AT_ONCE  64u

struct channel *channel_find(struct host *host, const struct connection *connection, uint32_t relid)
{
    for (unsigned i = 0; i < VMBUS_CHANNELS; i++) {
        struct channel *channel = &host->vmbus.channels[i];

        if (channel->state != CHANNEL_FREE && channel->relid == relid &&
            &host->vmbus.connections[channel->connection] == connection)
            return channel;
    }
    return NULL;
}

struct connection *channel_connection(struct host *host, const struct channel *channel)
{
    return &host->vmbus.connections[channel->connection];
}

/* As openvmm makes them: the SINT's number above the relid. */
uint32_t channel_event_id(struct host *host, const struct channel *channel)
{
    return (uint32_t)channel_connection(host, channel)->sint << EVENT_SINT_SHIFT | channel->relid;
}

/* Of the next packet to the guest: whether it is the one to be corrupted, and how. */
static uint32_t next_corruption(const struct host *host, const struct channel *channel)
{
    const struct faults *faults = &host->options.faults;

    if (channel->device != &device_pipe || channel->packets_out + 1 != faults->corrupt_at)
        return CORRUPT_NOTHING;
    return faults->corrupt;
}

static bool strikes(struct host *host, const struct channel *channel)
{
    return !channel_connection(host, channel)->firmware;
}

/* --- open and close --- */

static const char *open_fault(struct host *host, struct connection *connection,
                              const struct kd_vmbus_open *open, const struct channel *channel)
{
    const struct gpadl *gpadl = gpadl_find(host, connection, kd_get32(open->gpadl));
    uint32_t offset = kd_get32(open->ring_page_offset);

    if (!channel)
        return "the channel does not exist";
    if (channel->state == CHANNEL_OPEN)
        return "the channel is open";
    if (!gpadl || !gpadl->complete)
        return "the GPADL does not exist";
    if (gpadl->relid != channel->relid)
        return "the GPADL is another channel's";
    if (gpadl->byte_offset != 0 || gpadl->byte_count % GUEST_PAGE)
        return "the GPADL is not of whole pages";
    if (offset < PAGES_MIN || gpadl->page_count < PAGES_MIN ||
        offset > gpadl->page_count - PAGES_MIN)
        return "the ring offset leaves no place for two rings";
    if (kd_get32(open->target_vp) != 0 && kd_get32(open->target_vp) != KD_VMBUS_NO_VP)
        return "there is no such processor";
    return NULL;
}

static bool open_rings(struct host *host, struct channel *channel, const struct gpadl *gpadl,
                       uint32_t offset)
{
    return hostring_open(host, &channel->from_guest, gpadl, 0, offset, false) &&
           hostring_open(host, &channel->to_guest, gpadl, offset, gpadl->page_count - offset, true);
}

static void open_answer(struct host *host, const struct connection *connection,
                        const struct kd_vmbus_open *open, uint32_t status)
{
    struct kd_vmbus_open_result reply = {
        .message = kd_put32(KD_VMBUS_OPEN_RESULT),
        .relid = open->relid,
        .openid = open->openid,
        .status = kd_put32(status),
    };

    vmbus_send(host, connection, &reply, sizeof reply,
               connection->firmware ? 0 : host->options.faults.delay_open);
}

void channel_open(struct host *host, struct connection *connection, const uint8_t *message)
{
    const struct kd_vmbus_open *open = (const void *)message;
    struct channel *channel = channel_find(host, connection, kd_get32(open->relid));
    const char *fault;

    /* The rescind may have been on its way. */
    if (channel && channel->state == CHANNEL_RESCINDED) {
        open_answer(host, connection, open, STATUS_FAILED);
        return;
    }
    fault = open_fault(host, connection, open, channel);
    if (fault) {
        VMBUS_BAD(host, connection, "open of channel %u: %s", kd_get32(open->relid), fault);
        open_answer(host, connection, open, STATUS_FAILED);
        return;
    }
    if (!connection->firmware &&
        fault_strikes(&host->log, &host->options.faults.nack_open, "open refused")) {
        open_answer(host, connection, open, STATUS_FAILED);
        return;
    }
    channel->gpadl = kd_get32(open->gpadl);
    channel->target_vp = kd_get32(open->target_vp);
    if (!open_rings(host, channel, gpadl_find(host, connection, channel->gpadl),
                    kd_get32(open->ring_page_offset))) {
        open_answer(host, connection, open, STATUS_FAILED);
        return;
    }
    channel->state = CHANNEL_OPEN;
    channel->signalled = false;
    channel->open_time = log_now(&host->log);
    log_line(&host->log, LOG_INFO, "sint %u: channel %u (%s) opened, rings of %u and %u bytes",
             (uint32_t)connection->sint, channel->relid, channel->device->name,
             channel->from_guest.size, channel->to_guest.size);
    open_answer(host, connection, open, 0);
    if (channel->device->opened)
        channel->device->opened(host, channel);
}

static void shut(struct host *host, struct channel *channel)
{
    if (channel->state != CHANNEL_OPEN)
        return;
    channel->signalled = false;
    channel->signal_due = 0;
    if (channel->device->closed)
        channel->device->closed(host, channel);
}

void channel_close(struct host *host, struct connection *connection, const uint8_t *message)
{
    const struct kd_vmbus_relid *close = (const void *)message;
    struct channel *channel = channel_find(host, connection, kd_get32(close->relid));

    if (channel && channel->state == CHANNEL_RESCINDED && channel->was_open) {
        channel->was_open = false;
        return;
    }
    if (!channel || channel->state != CHANNEL_OPEN) {
        VMBUS_BAD(host, connection, "close of channel %u, which is not open",
                  kd_get32(close->relid));
        return;
    }
    log_line(&host->log, LOG_INFO, "sint %u: channel %u (%s) closed", (uint32_t)connection->sint,
             channel->relid, channel->device->name);
    shut(host, channel);
    channel->state = CHANNEL_OFFERED;
}

void channel_release(struct host *host, struct connection *connection, const uint8_t *message)
{
    const struct kd_vmbus_relid *release = (const void *)message;
    struct channel *channel = channel_find(host, connection, kd_get32(release->relid));

    if (!channel || channel->state != CHANNEL_RESCINDED) {
        VMBUS_BAD(host, connection, "release of channel %u, which was not rescinded",
                  kd_get32(release->relid));
        return;
    }
    if (channel->was_open)
        VMBUS_BAD(host, connection, "release of channel %u, which was not closed", channel->relid);
    channel->state = CHANNEL_FREE;
}

void channel_modify(struct host *host, struct connection *connection, const uint8_t *message)
{
    const struct kd_vmbus_modify_channel *modify = (const void *)message;
    struct channel *channel = channel_find(host, connection, kd_get32(modify->relid));
    struct kd_vmbus_modify_channel_response reply = {
        .message = kd_put32(KD_VMBUS_MODIFY_CHANNEL_RESPONSE),
        .relid = modify->relid,
    };

    if (!channel || channel->state != CHANNEL_OPEN || kd_get32(modify->target_vp) != 0) {
        VMBUS_BAD(host, connection, "modify of channel %u: not open, or no such processor",
                  kd_get32(modify->relid));
        reply.status = kd_put32(STATUS_FAILED);
    }
    if (connection->version >= KD_VMBUS_VERSION_5_3)
        vmbus_send(host, connection, &reply, sizeof reply, 0);
}

void channel_rescind(struct host *host, struct channel *channel)
{
    struct kd_vmbus_relid message = {
        .message = kd_put32(KD_VMBUS_RESCIND_OFFER),
        .relid = kd_put32(channel->relid),
    };

    log_line(&host->log, LOG_INFO, "channel %u (%s) rescinded", channel->relid,
             channel->device->name);
    channel->was_open = channel->state == CHANNEL_OPEN;
    shut(host, channel);
    channel->state = CHANNEL_RESCINDED;
    vmbus_send(host, channel_connection(host, channel), &message, sizeof message, 0);
}

void channel_forget(struct host *host, const struct connection *connection)
{
    for (unsigned i = 0; i < VMBUS_CHANNELS; i++) {
        struct channel *channel = &host->vmbus.channels[i];

        if (channel->state == CHANNEL_FREE || channel_connection(host, channel) != connection)
            continue;
        if (channel->state == CHANNEL_OPEN)
            log_line(&host->log, LOG_WARN, "channel %u (%s) is open when its connection ends",
                     channel->relid, channel->device->name);
        shut(host, channel);
        channel->state = CHANNEL_FREE;
    }
}

/* --- signals to the guest --- */

static void signal_now(struct host *host, struct channel *channel)
{
    const struct connection *connection = channel_connection(host, channel);
    uint8_t *page;

    if (connection->version >= KD_VMBUS_VERSION_WIN8) {
        synic_signal(host, connection->sint, channel->relid);
        return;
    }
    page = guest_memory(&host->guest, connection->interrupt_page, GUEST_PAGE);
    if (page) {
        __atomic_fetch_or(page + channel->relid / 8, (uint8_t)(1u << channel->relid % 8),
                          __ATOMIC_SEQ_CST);
        synic_signal(host, connection->sint, 0);
    }
}

static void signal_guest(struct host *host, struct channel *channel)
{
    const struct faults *faults = &host->options.faults;

    channel->signals_out++;
    if (channel->target_vp == KD_VMBUS_NO_VP)
        return;
    if (!strikes(host, channel)) {
        signal_now(host, channel);
        return;
    }
    if (faults->drop_signal && channel->signals_out % faults->drop_signal == 0) {
        log_line(&host->log, LOG_FAULT, "channel %u: signal to the guest dropped", channel->relid);
        return;
    }
    if (faults->delay_signal) {
        if (!channel->signal_due)
            channel->signal_due = log_now(&host->log) + faults->delay_signal * MS;
        return;
    }
    signal_now(host, channel);
    if (faults->double_signal)
        signal_now(host, channel);
}

/* --- packets --- */

bool channel_write(struct host *host, struct channel *channel, uint16_t type, uint16_t flags,
                   uint64_t transaction, const struct host_part parts[2])
{
    uint32_t corrupt = next_corruption(host, channel);
    const struct host_write write = {type, flags, transaction, parts, corrupt};
    bool signal;

    if (channel->state != CHANNEL_OPEN)
        return false;
    if (corrupt)
        channel->to_guest.spoiled = true;
    if (!hostring_write(host, channel, &write, &signal))
        return false;
    if (corrupt) {
        log_line(&host->log, LOG_FAULT, "channel %u: packet %u to the guest is corrupt",
                 channel->relid, channel->packets_out + 1);
        host->options.faults.corrupt = CORRUPT_NOTHING;
    }
    channel->packets_out++;
    channel->bytes_out += parts[0].size + parts[1].size;
    if (signal)
        signal_guest(host, channel);
    return true;
}

bool channel_write_pipe(struct host *host, struct channel *channel, const void *bytes,
                        uint32_t size)
{
    uint32_t corrupt = next_corruption(host, channel);
    struct kd_vmbus_pipe header = {
        .type = kd_put32(corrupt == CORRUPT_PIPE_TYPE ? 77 : KD_VMBUS_PIPE_DATA),
        .size = kd_put32(corrupt == CORRUPT_PIPE_LENGTH ? size + 1000 : size),
    };
    const struct host_part parts[2] = {{&header, sizeof header}, {bytes, size}};

    return channel_write(host, channel, KD_VMBUS_PACKET_IN_BAND, 0, 0, parts);
}

/* Reads what the device takes. The ring is the guest's again after each packet. */
static void read_packets(struct host *host, struct channel *channel)
{
    struct host_packet *packet = &host->vmbus.packet;

    for (unsigned i = 0; i < PACKETS_AT_ONCE; i++) {
        uint32_t before = channel->from_guest.position;

        if (!channel->device->ready(host, channel))
            return;
        if (!hostring_read(host, channel, packet)) {
            channel->signalled = false;
            return;
        }
        channel->packets_in++;
        channel->bytes_in += packet->length;
        if (hostring_release(host, channel, before))
            signal_guest(host, channel);
        channel->device->packet(host, channel, packet);
        if (channel->state != CHANNEL_OPEN)
            return;
    }
}

/* Data without a signal: the guest would wait for ever for a host that sleeps. */
static void check_unsignalled(struct host *host, struct channel *channel, uint64_t now)
{
    struct host_ring *ring = &channel->from_guest;

    if (channel->signalled || !hostring_pending(ring)) {
        ring->waiting_time = 0;
        ring->complained = false;
    } else if (!ring->waiting_time) {
        ring->waiting_time = now;
    } else if (now - ring->waiting_time > LOST_SIGNAL_US && !ring->complained) {
        ring->complained = true;
        log_line(&host->log, LOG_BAD, "channel %u (%s): a packet was written without a signal",
                 channel->relid, channel->device->name);
    }
}

void channel_work(struct host *host, struct channel *channel)
{
    const struct faults *faults = &host->options.faults;
    uint64_t now = log_now(&host->log);

    if (channel->state != CHANNEL_OPEN)
        return;
    if (channel->signal_due && channel->signal_due <= now) {
        channel->signal_due = 0;
        signal_now(host, channel);
    }
    if (strikes(host, channel) && faults->stall && now - channel->open_time < faults->stall * MS)
        return;
    if (channel->signalled)
        read_packets(host, channel);
    if (channel->state == CHANNEL_OPEN)
        check_unsignalled(host, channel, now);
    if (channel->state == CHANNEL_OPEN && channel->device->work)
        channel->device->work(host, channel);
}
