/* vmbus-message.c - channel messages as the session sees them: states, requests and their answers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "registry.h"
#include "vmbus-state.h"

/* What an answer shares with its request. */
struct request_key {
    uint32_t answer; /* type of the answering message */
    uint32_t a, b;
};

static guint key_hash(gconstpointer key)
{
    const struct request_key *k = key;

    return k->answer * 31 + k->a * 17 + k->b;
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, sizeof(struct request_key)) == 0;
}

static uint32_t word_at(const struct vmbus_seeing *seeing, uint32_t offset)
{
    kd_u32 word;

    if (offset + sizeof word > seeing->size)
        return 0;
    memcpy(&word, seeing->bytes + offset, sizeof word);
    return kd_get32(word);
}

/* The key of a message that is answered by, or is, the message of type `answer`. */
static struct request_key key_of(const struct vmbus_seeing *seeing, uint32_t answer)
{
    struct request_key key = {.answer = answer};

    switch (answer) {
    case KD_VMBUS_OPEN_RESULT:
    case KD_VMBUS_GPADL_CREATED:
        key.a = word_at(seeing, 8);
        key.b = word_at(seeing, 12);
        break;
    case KD_VMBUS_GPADL_TORNDOWN: /* which does not name the channel */
        key.a = word_at(seeing, seeing->event->message == answer ? 8 : 12);
        break;
    case KD_VMBUS_CLOSE_RESERVED_RESPONSE:
    case KD_VMBUS_MODIFY_CHANNEL_RESPONSE:
        key.a = word_at(seeing, 8);
        break;
    case KD_VMBUS_TL_CONNECT_RESULT: /* of two GUIDs, parts that differ */
        key.a = word_at(seeing, 8) ^ word_at(seeing, 20);
        key.b = word_at(seeing, 24) ^ word_at(seeing, 36);
        break;
    }
    return key;
}

/* Whether a host of this version may be silent. */
static bool may_be_silent(uint32_t version, uint32_t answer)
{
    if (!version)
        return false;
    return (answer == KD_VMBUS_MODIFY_CHANNEL_RESPONSE && version < KD_VMBUS_VERSION_5_3) ||
           (answer == KD_VMBUS_UNLOAD_RESPONSE && version < KD_VMBUS_VERSION_WIN8_1);
}

static void remember_request(struct vmbus_seeing *seeing, uint32_t answer)
{
    struct vmbus_connection *connection = seeing->connection;
    struct request_key key = key_of(seeing, answer);

    if (!connection->pending)
        connection->pending = wmem_map_new(wmem_file_scope(), key_hash, key_equal);
    seeing->event->wants_peer = !may_be_silent(connection->version, answer);
    wmem_map_insert(connection->pending, wmem_memdup(wmem_file_scope(), &key, sizeof key),
                    seeing->event);
}

static bool is_answer(uint32_t message)
{
    const struct kd_vmbus_message_info *info;

    for (uint32_t number = 1; (info = kd_vmbus_message_find(number)); number++)
        if (info->answer == message)
            return true;
    return false;
}

/* False when nobody waits for it. */
static bool answer_request(struct vmbus_seeing *seeing, const struct request_key *key)
{
    struct vmbus_event *request =
        seeing->connection->pending ? wmem_map_remove(seeing->connection->pending, key) : NULL;

    if (!request)
        return false;
    request->peer = seeing->event;
    seeing->event->peer = request;
    seeing->event->answers = true;
    return true;
}

static void find_request(struct vmbus_seeing *seeing)
{
    struct request_key key = key_of(seeing, seeing->event->message);

    if (!answer_request(seeing, &key) && seeing->connection->whole)
        vmbus_remark(&seeing->event->remarks, VMBUS_STRAY);
}

/* A transport connection that succeeds is an offer: of the service, with the endpoint as instance.
 */
static void find_connect_request(struct vmbus_seeing *seeing)
{
    struct request_key key = {.answer = KD_VMBUS_TL_CONNECT_RESULT,
                              .a = word_at(seeing, 24) ^ word_at(seeing, 36),
                              .b = word_at(seeing, 8) ^ word_at(seeing, 20)};

    answer_request(seeing, &key);
}

static void see_status(struct vmbus_seeing *seeing, uint32_t status)
{
    const char *name = kd_ntstatus_name(status);

    if (status)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_STATUS,
                          "The host refuses: status 0x%08x%s%s", status, name ? " " : "",
                          name ? name : "");
}

/* --- connection */

static void end_channel(gpointer key _U_, gpointer value, gpointer data _U_)
{
    struct vmbus_channel *channel = value;

    channel->state = VMBUS_CHANNEL_GONE;
}

static void disconnect(struct vmbus_connection *connection)
{
    wmem_map_foreach(connection->channels, end_channel, NULL);
    connection->gpadls = wmem_map_new(wmem_file_scope(), g_direct_hash, g_direct_equal);
    connection->connected = false;
    connection->offers_requested = false;
}

static void see_contact(struct vmbus_seeing *seeing)
{
    struct vmbus_connection *connection = seeing->connection;
    const struct kd_vmbus_initiate_contact5 *contact = (const void *)seeing->bytes;

    if (connection->connected && !connection->unloaded)
        vmbus_remark(&seeing->event->remarks, VMBUS_RECONNECT);
    disconnect(connection);
    connection->whole = true;
    connection->unloaded = false;
    connection->message_id = 0;
    connection->contact_version = kd_get32(contact->version);
    if (connection->contact_version >= KD_VMBUS_VERSION_5_0 &&
        connection->sint != KD_VMBUS_RECORD_NO_SINT &&
        seeing->record->connection_id != KD_VMBUS_CONNECTION_MESSAGE &&
        kd_get8(contact->sint) != connection->sint)
        vmbus_remark(&seeing->event->remarks, VMBUS_SINT);
}

/* Of a response whose request is not in the capture: before 5.0 the version stands in it. */
static uint32_t guess_version(uint32_t word)
{
    return kd_value_name(KD_SET_ID_vmbus_version, word) ? word : KD_VMBUS_VERSION_5_0;
}

static void see_version_response(struct vmbus_seeing *seeing)
{
    struct vmbus_connection *connection = seeing->connection;
    const struct kd_vmbus_version_response5 *response = (const void *)seeing->bytes;
    uint32_t word = kd_get32(response->connection_id);

    seeing->event->version =
        connection->contact_version ? connection->contact_version : guess_version(word);
    if (!kd_get8(response->supported)) {
        vmbus_remark(&seeing->event->remarks, VMBUS_REFUSED);
        return;
    }
    if (kd_get8(response->state) != KD_VMBUS_STATE_SUCCESSFUL) {
        vmbus_remark(&seeing->event->remarks, VMBUS_FAILED);
        return;
    }
    connection->connected = true;
    connection->version = seeing->event->version;
    connection->message_id =
        connection->version >= KD_VMBUS_VERSION_5_0 ? word : KD_VMBUS_CONNECTION_MESSAGE;
}

static void see_request_offers(struct vmbus_seeing *seeing)
{
    if (seeing->connection->offers_requested)
        vmbus_remark(&seeing->event->remarks, VMBUS_REPEATED);
    seeing->connection->offers_requested = true;
}

static void see_unload(struct vmbus_seeing *seeing)
{
    seeing->connection->unloaded = true;
}

static void see_unload_response(struct vmbus_seeing *seeing)
{
    disconnect(seeing->connection);
    seeing->connection->unloaded = true;
}

/* --- channels */

static enum vmbus_content content_of(const struct kd_vmbus_offer *offer)
{
    static const enum kd_vmbus_guid components[] = {
        KD_VMBUS_GUID_SHUTDOWN, KD_VMBUS_GUID_TIME_SYNC, KD_VMBUS_GUID_HEARTBEAT,
        KD_VMBUS_GUID_KVP,      KD_VMBUS_GUID_VSS,       KD_VMBUS_GUID_FILE_COPY};
    uint16_t flags = kd_get16(offer->flags);

    for (size_t i = 0; i < array_length(components); i++)
        if (kd_vmbus_is_guid(offer->interface_type, components[i]))
            return VMBUS_CONTENT_INTEGRATION;
    if (flags & KD_VMBUS_OFFER_TRANSPORT)
        return VMBUS_CONTENT_SOCKET;
    return flags & KD_VMBUS_OFFER_NAMED_PIPE ? VMBUS_CONTENT_PIPE : VMBUS_CONTENT_OTHER;
}

static const char *name_of(const struct kd_vmbus_offer *offer)
{
    const char *label = kd_vmbus_guid_label((const uint8_t *)offer->interface_type);
    const uint8_t *g = (const uint8_t *)offer->interface_type;

    if (label)
        return label;
    return wmem_strdup_printf(
        wmem_file_scope(), "%s%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
        kd_get16(offer->flags) & KD_VMBUS_OFFER_TRANSPORT ? "hv_sock " : "", g[3], g[2], g[1], g[0],
        g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]);
}

static void see_offer(struct vmbus_seeing *seeing)
{
    struct vmbus_connection *connection = seeing->connection;
    const struct kd_vmbus_offer *offer = (const void *)seeing->bytes;
    uint32_t relid = kd_get32(offer->relid);
    const struct vmbus_channel *before =
        wmem_map_lookup(connection->channels, GUINT_TO_POINTER(relid));
    struct vmbus_channel *channel = wmem_new0(wmem_file_scope(), struct vmbus_channel);

    if (!relid || relid >= KD_VMBUS_RELID_END)
        vmbus_remark(&seeing->event->remarks, VMBUS_BAD_RELID);
    if (before && before->offered && before->state != VMBUS_CHANNEL_GONE)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_RELID_IN_USE,
                          "Channel %u was offered in frame %u and not released", relid,
                          before->offered_in);
    channel->relid = relid;
    channel->sint = connection->sint;
    channel->offered = true;
    channel->offered_in = seeing->event->frame;
    channel->offer_flags = kd_get16(offer->flags);
    channel->connection_id = kd_get32(offer->connection_id);
    channel->name = name_of(offer);
    channel->content = content_of(offer);
    channel->kd = kd_vmbus_is_guid(offer->interface_type, KD_VMBUS_GUID_KD_PIPE);
    wmem_map_insert(connection->channels, GUINT_TO_POINTER(relid), channel);
    seeing->event->channel = channel;
    vmbus_enter(seeing, channel, VMBUS_CHANNEL_OFFERED);
    if (channel->content == VMBUS_CONTENT_SOCKET)
        find_connect_request(seeing);
}

static struct vmbus_channel *channel_of(struct vmbus_seeing *seeing)
{
    return vmbus_find_channel(seeing, word_at(seeing, 8));
}

static void see_rescind(struct vmbus_seeing *seeing)
{
    struct vmbus_channel *channel = channel_of(seeing);

    if (channel->state == VMBUS_CHANNEL_RESCINDED)
        vmbus_remark(&seeing->event->remarks, VMBUS_REPEATED);
    vmbus_enter(seeing, channel, VMBUS_CHANNEL_RESCINDED);
}

static void check_open(struct vmbus_seeing *seeing, const struct vmbus_channel *channel)
{
    if (channel->state == VMBUS_CHANNEL_OPEN || channel->state == VMBUS_CHANNEL_OPENING)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_DOUBLE_OPEN,
                          "Channel %u was opened in frame %u", channel->relid, channel->opened_in);
    if (channel->state == VMBUS_CHANNEL_RESCINDED)
        vmbus_remark(&seeing->event->remarks, VMBUS_RESCINDED);
}

static void see_open(struct vmbus_seeing *seeing)
{
    const struct kd_vmbus_open *open = (const void *)seeing->bytes;
    struct vmbus_channel *channel = channel_of(seeing);
    struct vmbus_gpadl *gpadl = vmbus_find_gpadl(seeing, kd_get32(open->gpadl));
    uint32_t split = kd_get32(open->ring_page_offset);

    check_open(seeing, channel);
    channel->opened_in = seeing->event->opened_in = seeing->event->frame;
    channel->opening_id = kd_get32(open->openid);
    vmbus_enter(seeing, channel, VMBUS_CHANNEL_OPENING);
    vmbus_ring_opened(channel, gpadl, split);
    if (!gpadl)
        return;
    if (gpadl->pages && (split < 2 || split > gpadl->pages - 2 || gpadl->pages < 4))
        vmbus_remark_text(&seeing->event->remarks, VMBUS_RING_PAGES,
                          "%u pages are no two rings of which the second begins at page %u",
                          gpadl->pages, split);
    if (gpadl->used_by && gpadl->used_by != channel)
        vmbus_remark(&seeing->event->remarks, VMBUS_GPADL_IN_USE);
    gpadl->used_by = channel;
}

static void see_open_result(struct vmbus_seeing *seeing)
{
    const struct kd_vmbus_open_result *result = (const void *)seeing->bytes;
    struct vmbus_channel *channel = channel_of(seeing);
    uint32_t status = kd_get32(result->status);

    see_status(seeing, status);
    if (channel->state == VMBUS_CHANNEL_OPENING || channel->state == VMBUS_CHANNEL_UNKNOWN)
        vmbus_enter(seeing, channel, status ? VMBUS_CHANNEL_CLOSED : VMBUS_CHANNEL_OPEN);
    channel->was_open = channel->was_open || !status;
}

static void forget_user(gpointer key _U_, gpointer value, gpointer data)
{
    struct vmbus_gpadl *gpadl = value;

    if (gpadl->used_by == data)
        gpadl->used_by = NULL;
}

static void see_close(struct vmbus_seeing *seeing)
{
    struct vmbus_channel *channel = channel_of(seeing);

    if (channel->state == VMBUS_CHANNEL_OFFERED || channel->state == VMBUS_CHANNEL_CLOSED)
        vmbus_remark(&seeing->event->remarks, VMBUS_NOT_OPEN);
    wmem_map_foreach(seeing->connection->gpadls, forget_user, channel);
    if (channel->state != VMBUS_CHANNEL_RESCINDED && channel->state != VMBUS_CHANNEL_GONE)
        vmbus_enter(seeing, channel, VMBUS_CHANNEL_CLOSED);
}

static void see_released(struct vmbus_seeing *seeing)
{
    struct vmbus_channel *channel = channel_of(seeing);

    if (channel->offered && channel->state != VMBUS_CHANNEL_RESCINDED &&
        channel->state != VMBUS_CHANNEL_GONE && !seeing->connection->unloaded)
        vmbus_remark(&seeing->event->remarks, VMBUS_NOT_RESCINDED);
    vmbus_enter(seeing, channel, VMBUS_CHANNEL_GONE);
}

static void see_modify(struct vmbus_seeing *seeing)
{
    const struct vmbus_channel *channel = channel_of(seeing);

    if (channel->state == VMBUS_CHANNEL_OFFERED || channel->state == VMBUS_CHANNEL_CLOSED)
        vmbus_remark(&seeing->event->remarks, VMBUS_NOT_OPEN);
}

static void see_modified(struct vmbus_seeing *seeing)
{
    channel_of(seeing);
    see_status(seeing, word_at(seeing, 12));
}

static void see_tl_result(struct vmbus_seeing *seeing)
{
    see_status(seeing, word_at(seeing, 40));
}

/* --- any message */

static void check_size(struct vmbus_seeing *seeing, const struct kd_vmbus_message_info *info)
{
    uint32_t longest =
        (uint32_t)kd_layouts[kd_vmbus_message_layout(info, seeing->event->version)].size;

    if (info->number != KD_VMBUS_GPADL_HEADER && info->number != KD_VMBUS_GPADL_BODY &&
        seeing->size > longest)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_LONG, "%u bytes, its form has %u",
                          seeing->size, longest);
}

/* INITIATE_CONTACT has connections of its own; before 5.0 there is but one. */
static void check_connection(struct vmbus_seeing *seeing)
{
    uint32_t id = seeing->record->connection_id;

    if (seeing->event->to_guest || seeing->event->message == KD_VMBUS_INITIATE_CONTACT || !id)
        return;
    if (seeing->connection->message_id && seeing->connection->message_id != id)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_MESSAGE_CONNECTION,
                          "Posted on connection 0x%x, agreed on was 0x%x", id,
                          seeing->connection->message_id);
    if (seeing->connection->whole && !seeing->connection->connected &&
        !seeing->connection->unloaded)
        vmbus_remark(&seeing->event->remarks, VMBUS_DISCONNECTED);
}

static void (*const handlers[])(struct vmbus_seeing *) = {
    [KD_VMBUS_OFFER_CHANNEL] = see_offer,
    [KD_VMBUS_RESCIND_OFFER] = see_rescind,
    [KD_VMBUS_REQUEST_OFFERS] = see_request_offers,
    [KD_VMBUS_OPEN_CHANNEL] = see_open,
    [KD_VMBUS_OPEN_RESULT] = see_open_result,
    [KD_VMBUS_CLOSE_CHANNEL] = see_close,
    [KD_VMBUS_GPADL_HEADER] = vmbus_see_gpadl_header,
    [KD_VMBUS_GPADL_BODY] = vmbus_see_gpadl_body,
    [KD_VMBUS_GPADL_CREATED] = vmbus_see_gpadl_created,
    [KD_VMBUS_GPADL_TEARDOWN] = vmbus_see_gpadl_teardown,
    [KD_VMBUS_GPADL_TORNDOWN] = vmbus_see_gpadl_torndown,
    [KD_VMBUS_RELID_RELEASED] = see_released,
    [KD_VMBUS_INITIATE_CONTACT] = see_contact,
    [KD_VMBUS_VERSION_RESPONSE] = see_version_response,
    [KD_VMBUS_UNLOAD] = see_unload,
    [KD_VMBUS_UNLOAD_RESPONSE] = see_unload_response,
    [KD_VMBUS_TL_CONNECT_RESULT] = see_tl_result,
    [KD_VMBUS_MODIFY_CHANNEL] = see_modify,
    [KD_VMBUS_MODIFY_CHANNEL_RESPONSE] = see_modified,
    [KD_VMBUS_RESUME] = NULL, /* the last one */
};

static void see_channel_message(struct vmbus_seeing *seeing)
{
    const struct kd_vmbus_message_info *info = kd_vmbus_message_find(word_at(seeing, 0));
    struct vmbus_event *event = seeing->event;

    event->message = word_at(seeing, 0);
    event->version = event->message == KD_VMBUS_INITIATE_CONTACT ? word_at(seeing, 8)
                                                                 : seeing->connection->version;
    if (!info) {
        vmbus_remark(&event->remarks, VMBUS_UNKNOWN_MESSAGE);
        return;
    }
    if (info->from_guest == event->to_guest)
        vmbus_remark(&event->remarks, VMBUS_DIRECTION);
    if (seeing->size < info->size) {
        if (!seeing->record->cut)
            vmbus_remark_text(&event->remarks, VMBUS_SHORT, "%u bytes, its form has %u",
                              seeing->size, info->size);
        return;
    }
    check_connection(seeing);
    if (info->answer)
        remember_request(seeing, info->answer);
    if (is_answer(info->number))
        find_request(seeing);
    if (handlers[info->number])
        handlers[info->number](seeing);
    check_size(seeing, info);
}

/* The size that the head states, and whether there is a VMBus message behind it. */
static bool read_head(struct vmbus_seeing *seeing, uint32_t *stated)
{
    const struct kd_hv_message *message = (const void *)seeing->record->data;
    const struct kd_hv_post_message *post = (const void *)seeing->record->data;

    if (seeing->record->size < sizeof *message)
        return false;
    *stated =
        seeing->event->to_guest ? kd_get8(message->payload_size) : kd_get32(post->payload_size);
    return kd_get32(seeing->event->to_guest ? message->type : post->type) == KD_HV_MESSAGE_VMBUS;
}

void vmbus_see_message(struct vmbus_seeing *seeing)
{
    const struct vmbus_record *record = seeing->record;
    uint32_t stated = 0;
    bool is_vmbus = read_head(seeing, &stated);

    if (stated > KD_HV_MESSAGE_MAX)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_OVERSIZE, "A message of %u bytes", stated);
    if (record->size < sizeof(struct kd_hv_message)) {
        vmbus_remark(&seeing->event->remarks, VMBUS_SHORT);
        return;
    }
    seeing->bytes = record->data + sizeof(struct kd_hv_message);
    seeing->size = MIN(stated, record->size - (uint32_t)sizeof(struct kd_hv_message));
    if (!seeing->event->to_guest && record->status) {
        vmbus_remark_text(&seeing->event->remarks, VMBUS_CALL_FAILED, "PostMessage failed: %s",
                          val_to_str_const(record->status, kd_value_strings(KD_SET_ID_hv_status),
                                           "status that is not known"));
        seeing->event->message = is_vmbus ? word_at(seeing, 0) : 0;
        return;
    }
    if (!is_vmbus)
        return;
    if (seeing->size < sizeof(struct kd_vmbus_message))
        vmbus_remark(&seeing->event->remarks, VMBUS_SHORT);
    else
        see_channel_message(seeing);
}
