/* kd_client.c - the debugger's end of a KD conversation. See kd_client.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "kd_client.h"

#include <string.h>

#define NEVER          UINT64_MAX
#define AGAIN_US       1000000u /* after a RESET the target repeats its state change sooner */
#define FIRST_BREAK_US 300000u  /* a stopped target answers RESET sooner */
#define NUDGE_US       200000u  /* and then sends its state change */
#define ATTEMPTS       3u

/* --- output */

static void emit(struct kd_client *client, enum kd_client_event_kind kind, const uint8_t *bytes,
                 size_t size)
{
    struct kd_client_event event = {.kind = kind, .bytes = bytes, .size = size};

    client->config.event(client->config.context, &event);
}

static void emit_reason(struct kd_client *client, enum kd_client_event_kind kind,
                        const char *reason)
{
    struct kd_client_event event = {.kind = kind, .reason = reason};

    client->config.event(client->config.context, &event);
}

static void send_packet(struct kd_client *client, const struct kd_link_action *action)
{
    uint8_t packet[KD_HEADER_SIZE + KD_PACKET_MAX_SIZE + 1];
    size_t size = kd_frame_encode(packet, sizeof packet, action->type, action->id, action->payload,
                                  action->size, true);

    if (client->holding)
        return;
    if (action->type == KD_PACKET_RESET)
        client->resets++;
    client->config.write(client->config.context, packet, size);
}

/* --- the request */

static void end_request(struct kd_client *client)
{
    client->request.progress = KD_CLIENT_IDLE;
    client->again = false;
    client->again_at = NEVER;
    client->give_up_at = NEVER;
}

static void fail_request(struct kd_client *client, const char *reason)
{
    if (client->request.progress == KD_CLIENT_IDLE)
        return;
    client->late_likely = true;
    end_request(client);
    emit_reason(client, KD_CLIENT_FAILED, reason);
}

/* The link began anew under it: it waits for the target's repeated state change. */
static void request_again(struct kd_client *client, uint64_t now)
{
    if (client->request.progress == KD_CLIENT_IDLE)
        return;
    if (client->attempts >= ATTEMPTS) {
        fail_request(client, "the target does not acknowledge it, whatever is tried");
        return;
    }
    client->request.progress = KD_CLIENT_QUEUED;
    client->again = true;
    client->again_at = now + AGAIN_US;
}

static void begin_running(struct kd_client *client)
{
    client->state = KD_CLIENT_RUNNING;
    client->last_state_known = false;
    client->late_likely = false;
}

/* --- what the target says */

static const uint8_t *union_of(const uint8_t *bytes)
{
    return bytes + KD_MANIPULATE_UNION;
}

static void take_reply(struct kd_client *client, const uint8_t *bytes, size_t size)
{
    const struct kd_manipulate_header *header = (const struct kd_manipulate_header *)bytes;
    bool expected = client->request.progress == KD_CLIENT_ON_WAY ||
                    client->request.progress == KD_CLIENT_AWAITED;

    if (client->state == KD_CLIENT_UNKNOWN && !expected) {
        client->nudge_at = 0; /* it has stopped, and served the debugger before this one */
    } else if (size < KD_MANIPULATE_DATA) {
        emit_reason(client, KD_CLIENT_ODD, "a reply that is too short");
    } else if (!expected || client->silent) {
        emit_reason(client, KD_CLIENT_ODD, "a reply that nobody waits for");
    } else if (kd_get32(header->api_number) != client->api) {
        emit_reason(client, KD_CLIENT_ODD, "a reply to another request than the one under way");
    } else if (client->late_likely &&
               memcmp(union_of(bytes), union_of(client->request.bytes), client->match) != 0) {
        emit_reason(client, KD_CLIENT_ODD, "the late reply to an earlier request");
    } else {
        end_request(client);
        emit(client, KD_CLIENT_REPLY, bytes, size);
    }
}

/* The same stop as before: the exception or module is the same. What may have changed meanwhile,
 * as the program counter, is not compared. */
static bool same_stop(const struct kd_client *client, const uint8_t *bytes)
{
    return client->last_state_known && memcmp(bytes, client->last_state, 4) == 0 &&
           memcmp(bytes + KD_STATE_CHANGE_UNION, client->last_state + KD_STATE_CHANGE_UNION, 32) ==
               0;
}

static void take_state_change(struct kd_client *client, const uint8_t *bytes, size_t size)
{
    bool repeated =
        (client->state == KD_CLIENT_STOPPED || client->again) && same_stop(client, bytes);

    client->state = KD_CLIENT_STOPPED;
    client->break_at = NEVER;
    client->nudge_at = NEVER;
    memcpy(client->last_state, bytes, sizeof client->last_state);
    client->last_state_known = true;
    if (repeated) {
        if (client->again)
            client->again_at = 0;
        return;
    }
    fail_request(client, "the target has stopped for another reason meanwhile");
    emit(client, KD_CLIENT_STATE_CHANGE, bytes, size);
}

static void receive_state_change(struct kd_client *client, const uint8_t *bytes, size_t size)
{
    if (size < KD_STATE_CHANGE_TEXT) {
        emit_reason(client, KD_CLIENT_ODD, "a state change that is too short");
    } else if (client->resumes && client->request.progress == KD_CLIENT_ON_WAY) {
        memcpy(client->early, bytes, size);
        client->early_size = size;
    } else {
        take_state_change(client, bytes, size);
    }
}

/* The target goes on by itself, whatever was known of it. */
static void note_running(struct kd_client *client)
{
    if (client->state == KD_CLIENT_UNKNOWN || client->state == KD_CLIENT_PROMPTING)
        client->state = KD_CLIENT_RUNNING;
}

static void take_prompt(struct kd_client *client, const struct kd_debug_io_header *header,
                        const struct kd_get_string *fields, const uint8_t *text, size_t size)
{
    struct kd_client_event event = {.kind = KD_CLIENT_PROMPT, .bytes = text, .size = size};
    bool answered = client->answers_prompt && client->answer.progress == KD_CLIENT_QUEUED;

    client->prompt_level = kd_get16(header->processor_level);
    client->prompt_processor = kd_get16(header->processor);
    client->prompt_length = kd_get32(fields->length_of_prompt_string);
    client->prompt_room = kd_get32(fields->length_of_string_read);
    if (client->prompt_room > KD_CLIENT_TEXT_MAX)
        client->prompt_room = KD_CLIENT_TEXT_MAX;
    client->state = KD_CLIENT_PROMPTING;
    event.number = client->prompt_room;
    if (!answered)
        client->config.event(client->config.context, &event);
}

static void take_debug_io(struct kd_client *client, const uint8_t *bytes, size_t size)
{
    const struct kd_debug_io_header *header = (const struct kd_debug_io_header *)bytes;
    const struct kd_print_string *print =
        (const struct kd_print_string *)(bytes + KD_DEBUG_IO_UNION);
    size_t length;

    if (size < KD_DEBUG_IO_TEXT) {
        emit_reason(client, KD_CLIENT_ODD, "a print that is too short");
        return;
    }
    length = kd_get32(print->length_of_string);
    if (length > size - KD_DEBUG_IO_TEXT)
        length = size - KD_DEBUG_IO_TEXT;
    if (kd_get32(header->api_number) == KD_API_GET_STRING) {
        take_prompt(client, header, (const struct kd_get_string *)print, bytes + KD_DEBUG_IO_TEXT,
                    length);
    } else if (kd_get32(header->api_number) == KD_API_PRINT_STRING) {
        note_running(client);
        emit(client, KD_CLIENT_PRINT, bytes + KD_DEBUG_IO_TEXT, length);
    } else {
        emit_reason(client, KD_CLIENT_ODD, "debug I/O that is neither print nor prompt");
    }
}

/* There is no file service here: nothing can be opened, and so no handle is good. */
static void take_file_io(struct kd_client *client, const uint8_t *bytes, size_t size)
{
    struct kd_client_message *answer = &client->answer;
    struct kd_client_event event = {.kind = KD_CLIENT_FILE};
    struct kd_file_io_header *header = (struct kd_file_io_header *)answer->bytes;

    if (size < KD_FILE_IO_DATA) {
        emit_reason(client, KD_CLIENT_ODD, "a file request that is too short");
        return;
    }
    note_running(client);
    event.number = kd_get32(((const struct kd_file_io_header *)bytes)->api_number);
    if (event.number == KD_API_CREATE_FILE) {
        event.bytes = bytes + KD_FILE_IO_DATA;
        event.size = size - KD_FILE_IO_DATA;
    }
    if (answer->progress != KD_CLIENT_ON_WAY) {
        memcpy(answer->bytes, bytes, KD_FILE_IO_DATA);
        header->status =
            kd_put32(event.number == KD_API_CREATE_FILE ? KD_NT(STATUS_NO_SUCH_FILE)
                                                        : KD_NT(STATUS_INVALID_HANDLE));
        if (event.number == KD_API_READ_FILE || event.number == KD_API_WRITE_FILE)
            memset(answer->bytes + KD_FILE_IO_UNION + 16, 0, 4);
        answer->size = KD_FILE_IO_DATA;
        answer->type = KD_PACKET_FILE_IO;
        answer->progress = KD_CLIENT_QUEUED;
        client->answers_prompt = false;
    }
    client->config.event(client->config.context, &event);
}

static void take_trace_io(struct kd_client *client, const uint8_t *bytes, size_t size)
{
    size_t length;

    if (size < KD_TRACE_IO_DATA) {
        emit_reason(client, KD_CLIENT_ODD, "a trace message that is too short");
        return;
    }
    length = kd_get32(((const struct kd_trace_io *)bytes)->length_of_data);
    if (length > size - KD_TRACE_IO_DATA)
        length = size - KD_TRACE_IO_DATA;
    emit(client, KD_CLIENT_TRACE, bytes + KD_TRACE_IO_DATA, length);
}

static void deliver(struct kd_client *client, const struct kd_link_action *action)
{
    client->heard = true;
    switch (action->type) {
    case KD_PACKET_STATE_CHANGE64:
        receive_state_change(client, action->payload, action->size);
        break;
    case KD_PACKET_STATE_MANIPULATE:
        take_reply(client, action->payload, action->size);
        break;
    case KD_PACKET_DEBUG_IO:
        take_debug_io(client, action->payload, action->size);
        break;
    case KD_PACKET_FILE_IO:
        take_file_io(client, action->payload, action->size);
        break;
    case KD_PACKET_TRACE_IO:
        take_trace_io(client, action->payload, action->size);
        break;
    case KD_PACKET_STATE_CHANGE32:
        emit_reason(client, KD_CLIENT_ODD,
                    "a state change of the 32-bit protocol, which is not spoken here");
        break;
    default:
        emit_reason(client, KD_CLIENT_ODD, "a message of a kind that is not known");
        break;
    }
}

/* --- what becomes of our packets */

/* The target goes on because it was told to. It may ask for input already, when its
 * acknowledgement was lost and Continue had to be repeated. */
static void begin_continued(struct kd_client *client)
{
    bool prompts = client->state == KD_CLIENT_PROMPTING;

    begin_running(client);
    if (prompts)
        client->state = KD_CLIENT_PROMPTING;
}

/* Continue has arrived. A state change that came before its acknowledgement is the stop before,
 * repeated, unless the acknowledgement was lost and Continue had to be repeated. */
static void resumed(struct kd_client *client)
{
    bool repeated = client->link.retries > 0 || client->link.resends > 0;
    size_t early = client->early_size;

    client->early_size = 0;
    begin_continued(client);
    end_request(client);
    emit(client, KD_CLIENT_SENT, NULL, 0);
    if (early > 0 && repeated)
        take_state_change(client, client->early, early);
}

static void sent(struct kd_client *client, const uint8_t *payload)
{
    if (payload == client->answer.bytes) {
        client->answer.progress = KD_CLIENT_IDLE;
        if (client->answers_prompt && client->state == KD_CLIENT_PROMPTING)
            begin_running(client);
    } else if (client->request.progress == KD_CLIENT_IDLE) {
        if (client->resumes) /* it was waited for in vain, and arrived all the same */
            begin_continued(client);
    } else if (client->request.progress == KD_CLIENT_ON_WAY) {
        if (client->resumes) {
            resumed(client);
        } else if (client->silent) {
            end_request(client);
            emit(client, KD_CLIENT_SENT, NULL, 0);
        } else {
            client->request.progress = KD_CLIENT_AWAITED;
        }
    }
}

static void gave_up(struct kd_client *client, uint64_t now, const struct kd_link_action *action)
{
    if (action->type == KD_PACKET_RESET)
        return;
    if (action->payload == client->answer.bytes)
        client->answer.progress = client->answers_prompt ? KD_CLIENT_QUEUED : KD_CLIENT_IDLE;
    else
        request_again(client, now);
}

/* RESET came, or a packet that begins both streams. The answer to a RESET of our own comes here,
 * too, and says nothing of the target. */
static void began_anew(struct kd_client *client, uint64_t now, const struct kd_link_action *action,
                       bool asked)
{
    client->early_size = 0;
    request_again(client, now);
    if (asked && action->type == KD_PACKET_RESET) {
        if (client->state == KD_CLIENT_UNKNOWN)
            client->nudge_at = now + NUDGE_US;
        if (client->break_at != NEVER)
            client->break_at = now + AGAIN_US;
        return;
    }
    if (action->type != KD_PACKET_RESET && client->state == KD_CLIENT_UNKNOWN)
        return;
    if (client->state != KD_CLIENT_RUNNING)
        client->state = KD_CLIENT_UNKNOWN;
    emit(client, KD_CLIENT_BEGAN_ANEW, NULL, 0);
}

static void carry_out(struct kd_client *client, uint64_t now, const struct kd_link_actions *actions,
                      bool asked)
{
    for (size_t i = 0; i < actions->count; i++) {
        const struct kd_link_action *action = &actions->list[i];

        switch (action->kind) {
        case KD_LINK_SEND_CONTROL:
        case KD_LINK_SEND_DATA:
            send_packet(client, action);
            break;
        case KD_LINK_DELIVER:
            deliver(client, action);
            break;
        case KD_LINK_SENT_OK:
            sent(client, action->payload);
            break;
        case KD_LINK_GAVE_UP:
            gave_up(client, now, action);
            break;
        case KD_LINK_RESET_SEEN:
            began_anew(client, now, action, asked);
            break;
        default:
            break;
        }
    }
}

/* end: the line is silent in the middle of a frame, which so is none. */
static void take_frames(struct kd_client *client, uint64_t now, bool end)
{
    struct kd_link_actions actions;
    struct kd_frame frame;
    const uint8_t *bytes;

    do {
        bool asked = client->link.resetting;

        kd_framer_next(&client->framer, end, &frame, &bytes);
        if (frame.kind == KD_FRAME_NOISE)
            emit(client, KD_CLIENT_CONSOLE, bytes, frame.size);
        kd_link_receive(&client->link, now, &frame, bytes, &actions);
        carry_out(client, now, &actions, asked);
    } while (frame.kind != KD_FRAME_NEED_MORE);
}

static void transmit(struct kd_client *client, uint64_t now, struct kd_client_message *message)
{
    struct kd_link_actions actions;

    if (!kd_link_send(&client->link, now, message->type, message->bytes, message->size, &actions))
        return;
    message->progress = KD_CLIENT_ON_WAY;
    carry_out(client, now, &actions, false);
}

/* Sends what waits, when the link is free. */
static void flush(struct kd_client *client, uint64_t now)
{
    if (!client->attached || client->link.sending || client->link.resetting)
        return;
    if (client->answer.progress == KD_CLIENT_QUEUED) {
        transmit(client, now, &client->answer);
    } else if (client->request.progress == KD_CLIENT_QUEUED &&
               (!client->again || now >= client->again_at)) {
        client->again = false;
        client->again_at = NEVER;
        client->attempts++;
        transmit(client, now, &client->request);
    }
}

/* --- the interface */

void kd_client_init(struct kd_client *client, const struct kd_client_config *config)
{
    *client = (struct kd_client){.config = *config};
    client->break_at = NEVER;
    client->nudge_at = NEVER;
    client->again_at = NEVER;
    client->give_up_at = NEVER;
}

static void begin_streams(struct kd_client *client, uint64_t now)
{
    struct kd_link_actions actions;

    kd_link_reset(&client->link, now, &actions);
    carry_out(client, now, &actions, true);
    if (client->config.break_in)
        client->break_at = now + FIRST_BREAK_US;
}

void kd_client_attach(struct kd_client *client, uint64_t now)
{
    struct kd_link_config link;
    struct kd_framing framing = {.max_payload = KD_PACKET_MAX_SIZE, .flow = KD_FLOW_TO_DEBUGGER};

    kd_link_defaults(&link, KD_END_DEBUGGER, KD_IDS_SERIAL);
    kd_link_init(&client->link, &link);
    kd_framer_init(&client->framer, &framing, client->buffer, sizeof client->buffer);
    client->state = KD_CLIENT_UNKNOWN;
    client->attached = true;
    client->heard = false;
    client->resets = client->break_ins = 0;
    client->last_state_known = false;
    client->late_likely = false;
    client->early_size = 0;
    client->answer.progress = KD_CLIENT_IDLE;
    client->break_at = NEVER;
    client->nudge_at = NEVER;
    client->holding = client->config.hold;
    if (!client->holding)
        begin_streams(client, now);
}

void kd_client_detach(struct kd_client *client)
{
    client->attached = false;
    client->state = KD_CLIENT_UNKNOWN;
    client->break_at = NEVER;
    client->nudge_at = NEVER;
    client->answer.progress = KD_CLIENT_IDLE;
    fail_request(client, "the connection is gone");
}

/* With hold: the first packet. One that begins both streams is all a debugger needs; anything else
 * is the middle of a conversation, which only RESET can bring to order. */
static void end_hold(struct kd_client *client, uint64_t now)
{
    struct kd_framer peek = client->framer;
    struct kd_frame frame;
    const uint8_t *bytes;

    do {
        kd_framer_next(&peek, false, &frame, &bytes);
        if (frame.kind != KD_FRAME_PACKET)
            continue;
        client->holding = false;
        if (!(kd_get32(((const struct kd_packet_header *)bytes)->packet_id) & KD_SYNC_PACKET_ID))
            begin_streams(client, now);
        else if (client->config.break_in)
            client->break_at = now + AGAIN_US;
    } while (client->holding && frame.kind != KD_FRAME_NEED_MORE);
}

void kd_client_receive(struct kd_client *client, uint64_t now, const uint8_t *bytes, size_t size)
{
    while (client->attached && size > 0) {
        size_t taken = kd_framer_push(&client->framer, bytes, size);

        bytes += taken;
        size -= taken;
        if (client->holding)
            end_hold(client, now);
        take_frames(client, now, false);
    }
    flush(client, now);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t kd_client_deadline(const struct kd_client *client)
{
    uint64_t next = earlier(client->break_at, client->give_up_at);

    if (!client->attached)
        return client->give_up_at;
    if (!client->link.sending && !client->link.resetting)
        next = earlier(next, client->again_at);
    return earlier(earlier(next, client->nudge_at), kd_link_deadline(&client->link));
}

/* Before the target's first packet nothing is missing, so nothing is asked for again. */
static void tick_link(struct kd_client *client, uint64_t now)
{
    struct kd_link_actions actions;
    bool flushes = false;

    kd_link_tick(&client->link, now, &actions);
    for (size_t i = 0; i < actions.count; i++)
        flushes = flushes || actions.list[i].kind == KD_LINK_FLUSH;
    carry_out(client, now, &actions, false);
    if (flushes)
        take_frames(client, now, true);
}

static void nudge(struct kd_client *client)
{
    const struct kd_link_action resend = {.type = KD_PACKET_RESEND};

    client->nudge_at = NEVER;
    if (client->state == KD_CLIENT_UNKNOWN)
        send_packet(client, &resend);
}

void kd_client_tick(struct kd_client *client, uint64_t now)
{
    if (client->attached && now >= kd_link_deadline(&client->link))
        tick_link(client, now);
    if (now >= client->give_up_at)
        fail_request(client, client->request.progress == KD_CLIENT_AWAITED
                                 ? "it was acknowledged, but not answered"
                                 : "it was not even acknowledged");
    if (client->attached && now >= client->nudge_at)
        nudge(client);
    if (client->attached && now >= client->break_at) {
        kd_client_break_in(client);
        client->break_at = now + client->config.break_us;
    }
    flush(client, now);
}

bool kd_client_busy(const struct kd_client *client)
{
    return client->request.progress != KD_CLIENT_IDLE;
}

bool kd_client_request(struct kd_client *client, uint64_t now,
                       const struct kd_client_request *request)
{
    struct kd_client_message *message = &client->request;
    struct kd_manipulate_header header = {.api_number = kd_put32(request->api),
                                          .processor = kd_put16(request->processor),
                                          .return_status = kd_put32(KD_NT(STATUS_PENDING))};

    if (kd_client_busy(client) || client->state != KD_CLIENT_STOPPED ||
        request->size > KD_CLIENT_DATA_MAX)
        return false;
    /* The link may still have an earlier, cancelled request on its way: its bytes stay until then.
     */
    if (client->link.sending && client->link.payload == message->bytes)
        return false;
    memcpy(message->bytes, &header, sizeof header);
    memcpy(message->bytes + KD_MANIPULATE_UNION, request->fixed, KD_CLIENT_UNION);
    if (request->size > 0)
        memcpy(message->bytes + KD_MANIPULATE_DATA, request->data, request->size);
    message->size = KD_MANIPULATE_DATA + request->size;
    message->type = KD_PACKET_STATE_MANIPULATE;
    message->progress = KD_CLIENT_QUEUED;
    client->api = request->api;
    client->match = request->match < KD_CLIENT_UNION ? request->match : KD_CLIENT_UNION;
    client->silent = request->silent;
    client->resumes = request->resumes;
    client->again = false;
    client->attempts = 0;
    client->give_up_at = now + client->config.request_us;
    flush(client, now);
    return true;
}

void kd_client_cancel(struct kd_client *client)
{
    if (kd_client_busy(client))
        client->late_likely = true;
    end_request(client);
}

void kd_client_break_in(struct kd_client *client)
{
    static const uint8_t byte = KD_BREAKIN_BYTE;

    if (!client->attached || client->holding)
        return;
    client->break_ins++;
    client->config.write(client->config.context, &byte, 1);
}

bool kd_client_answer(struct kd_client *client, uint64_t now, const char *text, size_t size)
{
    struct kd_client_message *answer = &client->answer;
    struct kd_debug_io_header header = {.api_number = kd_put32(KD_API_GET_STRING),
                                        .processor_level = kd_put16(client->prompt_level),
                                        .processor = kd_put16(client->prompt_processor)};
    struct kd_get_string fields = {.length_of_prompt_string = kd_put32(client->prompt_length)};

    if (client->state != KD_CLIENT_PROMPTING || answer->progress == KD_CLIENT_ON_WAY)
        return false;
    /* The NUL behind the text counts; without room for it there is only the text. */
    if (size >= client->prompt_room)
        size = client->prompt_room ? client->prompt_room - 1 : 0;
    memset(answer->bytes, 0, KD_DEBUG_IO_TEXT + size + 1);
    fields.length_of_string_read = kd_put32((uint32_t)(client->prompt_room ? size + 1 : 0));
    memcpy(answer->bytes, &header, sizeof header);
    memcpy(answer->bytes + KD_DEBUG_IO_UNION, &fields, sizeof fields);
    memcpy(answer->bytes + KD_DEBUG_IO_TEXT, text, size);
    answer->size = KD_DEBUG_IO_TEXT + (client->prompt_room ? size + 1 : 0);
    answer->type = KD_PACKET_DEBUG_IO;
    answer->progress = KD_CLIENT_QUEUED;
    client->answers_prompt = true;
    flush(client, now);
    return true;
}
