/* vmbus-session.c - machines, their connections, channels; signals. See vmbus-session.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "vmbus-state.h"

#include <epan/charsets.h>

#include "registry.h"

const value_string vmbus_channel_states[] = {
    {VMBUS_CHANNEL_UNKNOWN, "not known"}, {VMBUS_CHANNEL_OFFERED, "offered"},
    {VMBUS_CHANNEL_OPENING, "opening"},   {VMBUS_CHANNEL_OPEN, "open"},
    {VMBUS_CHANNEL_CLOSED, "closed"},     {VMBUS_CHANNEL_RESCINDED, "rescinded"},
    {VMBUS_CHANNEL_GONE, "gone"},         {0, NULL},
};

/* One machine, or rather one interface of the capture: what all its connections share. */
struct machine {
    uint32_t number;                                     /* of the last event that was counted */
    uint32_t losses;                                     /* how often events were missing */
    struct vmbus_connection *connections[UINT8_MAX + 1]; /* by SINT */
    struct vmbus_connection *only; /* with a SINT that is known; null: none, or several */
    bool several;
};

static wmem_map_t *machines; /* kd_interface_key -> struct machine, in file scope */

static struct machine *find_machine(const packet_info *pinfo)
{
    uint64_t key = kd_interface_key(pinfo);
    struct machine *machine = wmem_map_lookup(machines, &key);

    if (!machine) {
        machine = wmem_new0(wmem_file_scope(), struct machine);
        wmem_map_insert(machines, wmem_memdup(wmem_file_scope(), &key, sizeof key), machine);
    }
    return machine;
}

/* A SINT that the recorder does not know is that of the only connection there is. */
static struct vmbus_connection *find_connection(struct machine *machine, uint8_t sint)
{
    struct vmbus_connection *connection = machine->connections[sint];

    if (sint == KD_VMBUS_RECORD_NO_SINT && machine->only)
        return machine->only;
    if (!connection) {
        connection = wmem_new0(wmem_file_scope(), struct vmbus_connection);
        connection->sint = sint;
        connection->channels = wmem_map_new(wmem_file_scope(), g_direct_hash, g_direct_equal);
        connection->gpadls = wmem_map_new(wmem_file_scope(), g_direct_hash, g_direct_equal);
        machine->connections[sint] = connection;
        machine->several = machine->several || machine->only;
        machine->only = machine->several || sint == KD_VMBUS_RECORD_NO_SINT ? NULL : connection;
    }
    return connection;
}

static struct vmbus_channel *new_channel(struct vmbus_connection *connection, uint32_t relid)
{
    struct vmbus_channel *channel = wmem_new0(wmem_file_scope(), struct vmbus_channel);

    channel->relid = relid;
    channel->sint = connection->sint;
    channel->name = "not offered";
    wmem_map_insert(connection->channels, GUINT_TO_POINTER(relid), channel);
    return channel;
}

struct vmbus_channel *vmbus_find_channel(struct vmbus_seeing *seeing, uint32_t relid)
{
    struct vmbus_connection *connection = seeing->connection;
    struct vmbus_channel *channel = wmem_map_lookup(connection->channels, GUINT_TO_POINTER(relid));

    if (connection->whole && !connection->unloaded &&
        (!channel || !channel->offered || channel->state == VMBUS_CHANNEL_GONE))
        vmbus_remark_text(&seeing->event->remarks, VMBUS_UNKNOWN_RELID, "No channel %u is offered",
                          relid);
    if (!channel)
        channel = new_channel(connection, relid);
    seeing->event->channel = channel;
    seeing->event->state = (uint8_t)channel->state;
    seeing->event->opened_in = channel->opened_in;
    return channel;
}

void vmbus_enter(struct vmbus_seeing *seeing, struct vmbus_channel *channel,
                 enum vmbus_channel_state state)
{
    channel->state = state;
    seeing->event->state = (uint8_t)state;
}

/* A signal names its channel by the connection id of the offer, or (to the guest) by an event flag,
 * which is the relid. Before version 2.4 there is one of each for all channels. */
static void see_signal(struct vmbus_seeing *seeing)
{
    const struct vmbus_record *record = seeing->record;
    uint32_t relid = record->relid;
    struct vmbus_channel *channel;

    if (!relid && seeing->event->to_guest)
        relid = record->event_flag;
    if (record->status && !seeing->event->to_guest)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_CALL_FAILED, "SignalEvent failed: %s",
                          val_to_str_const(record->status, kd_value_strings(KD_SET_ID_hv_status),
                                           "status that is not known"));
    if (!relid)
        return;
    channel = vmbus_find_channel(seeing, relid);
    if (!seeing->event->to_guest && channel->connection_id && record->connection_id &&
        seeing->connection->version >= KD_VMBUS_VERSION_WIN8 &&
        !(record->flags & KD_VMBUS_RECORD_BY_MONITOR) &&
        record->connection_id != channel->connection_id)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_SIGNAL_CONNECTION,
                          "Signals connection 0x%x; the offer says 0x%x", record->connection_id,
                          channel->connection_id);
}

static void see_hypercall(struct vmbus_seeing *seeing)
{
    const struct kd_vmbus_record_hypercall *call = (const void *)seeing->record->data;
    uint32_t status;

    if (seeing->record->size < sizeof *call)
        return;
    status = (uint32_t)(kd_get64(call->result) & KD_HV_RESULT_STATUS);
    if (status)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_CALL_FAILED, "The hypercall failed: %s",
                          val_to_str_const(status, kd_value_strings(KD_SET_ID_hv_status),
                                           "status that is not known"));
}

static void see_note(struct vmbus_seeing *seeing)
{
    static const enum vmbus_finding findings[] = {
        [KD_VMBUS_NOTE_WARNING] = VMBUS_NOTE_WARNING,
        [KD_VMBUS_NOTE_VIOLATION] = VMBUS_NOTE_VIOLATION,
    };
    const struct vmbus_record *record = seeing->record;

    if (record->status == KD_VMBUS_NOTE_WARNING || record->status == KD_VMBUS_NOTE_VIOLATION)
        vmbus_remark_text(&seeing->event->remarks, findings[record->status], "%s",
                          get_utf_8_string(wmem_file_scope(), record->data, (int)record->size));
}

/* Numbers of events that are left out were not recorded. */
static void see_number(struct vmbus_seeing *seeing, struct machine *machine)
{
    uint32_t number = seeing->record->number;

    if (machine->number && number > machine->number + 1) {
        machine->losses++;
        vmbus_remark_text(&seeing->event->remarks, VMBUS_LOST, "%u events are missing here",
                          number - machine->number - 1);
    }
    seeing->losses = machine->losses;
    if (number)
        machine->number = number;
}

/* A recorder that does not know the SINT of a contact finds it in the message; connections before
 * 5.0 have one SINT. */
static uint8_t sint_of(const struct vmbus_record *record)
{
    const uint8_t *message = record->data + sizeof(struct kd_hv_post_message);
    const struct kd_vmbus_initiate_contact5 *contact = (const void *)message;

    if (record->sint != KD_VMBUS_RECORD_NO_SINT || record->kind != KD_VMBUS_RECORD_MESSAGE ||
        record->direction != KD_VMBUS_TO_HOST ||
        record->size < sizeof(struct kd_hv_post_message) + KD_VMBUS_INITIATE_CONTACT_SIZE ||
        kd_get32(contact->message) != KD_VMBUS_INITIATE_CONTACT)
        return record->sint;
    return kd_get32(contact->version) < KD_VMBUS_VERSION_5_0 ? KD_VMBUS_SINT
                                                             : kd_get8(contact->sint);
}

struct vmbus_event *vmbus_session_see(const packet_info *pinfo, const struct vmbus_record *record)
{
    struct machine *machine = find_machine(pinfo);
    struct vmbus_seeing seeing = {
        .pinfo = pinfo,
        .record = record,
        .connection = find_connection(machine, sint_of(record)),
        .event = wmem_new0(wmem_file_scope(), struct vmbus_event),
    };

    seeing.event->frame = pinfo->num;
    seeing.event->time = pinfo->abs_ts;
    seeing.event->kind = record->kind;
    seeing.event->to_guest = record->direction == KD_VMBUS_TO_GUEST;
    if (record->flags & KD_VMBUS_RECORD_FAULT)
        vmbus_remark(&seeing.event->remarks, VMBUS_FAULT);
    if (record->cut)
        vmbus_remark(&seeing.event->remarks, VMBUS_CUT);
    see_number(&seeing, machine);
    switch (record->kind) {
    case KD_VMBUS_RECORD_MESSAGE:
        vmbus_see_message(&seeing);
        break;
    case KD_VMBUS_RECORD_PACKET:
        vmbus_see_packet(&seeing);
        break;
    case KD_VMBUS_RECORD_SIGNAL:
        see_signal(&seeing);
        break;
    case KD_VMBUS_RECORD_HYPERCALL:
        see_hypercall(&seeing);
        break;
    case KD_VMBUS_RECORD_NOTE:
        see_note(&seeing);
        break;
    }
    return seeing.event;
}

static void open_capture(void)
{
    machines = wmem_map_new(wmem_file_scope(), wmem_int64_hash, g_int64_equal);
}

void vmbus_session_register(void)
{
    register_init_routine(open_capture);
}
