/* messages.c - what the program says: prints, prompts, images, commands.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "bytes.h"
#include "state.h"

/* Text of one message. Half of what a packet may hold, since radare2 takes no payload above 2048
 * bytes. */
#define TEXT_PIECE 1024u

#define DR7_NONE UINT64_C(0x400) /* bit 10 is always 1 */

/* A policy decision: WinDbg that waits, or still calls the machine that was there before, heeds a
 * RESET when it next does something, every 0.35 to 0.45 s. */
#define CALLED_US 1000000u

uint32_t kda_message_patience(const struct kda_engine *engine)
{
    uint32_t patience = engine->config.message_us;

    if (engine->wire.attached)
        return 0;
    return engine->called && patience < CALLED_US ? CALLED_US : patience;
}

bool kda_send_message(struct kda_engine *engine, enum kd_packet_type type, size_t size)
{
    uint32_t patience = kda_message_patience(engine);

    engine->called = false;
    return kda_wire_send(&engine->wire, type, engine->message, size, patience);
}

/* Returns the size of the message. */
static size_t put_debug_io(struct kda_engine *engine, enum kd_debug_io_api api, const char *text,
                           size_t size)
{
    struct kd_debug_io_header *header = (struct kd_debug_io_header *)engine->message;
    struct kd_print_string *print = (void *)(engine->message + KD_DEBUG_IO_UNION);

    memset(engine->message, 0, KD_DEBUG_IO_TEXT);
    header->api_number = kd_put32((uint32_t)api);
    print->length_of_string = kd_put32((uint32_t)size);
    memcpy(engine->message + KD_DEBUG_IO_TEXT, text, size);
    return KD_DEBUG_IO_TEXT + size;
}

bool kda_print(struct kda_engine *engine, const char *text, size_t size)
{
    bool arrived = true;

    if (engine->busy)
        return false;
    engine->busy = true;
    for (size_t at = 0; at < size && arrived; at += TEXT_PIECE)
        arrived = kda_send_message(
            engine, KD_PACKET_DEBUG_IO,
            put_debug_io(engine, KD_API_PRINT_STRING, text + at, kda_min(size - at, TEXT_PIECE)));
    engine->busy = false;
    return arrived;
}

/* The answer in the inbox, without the NUL that WinDbg counts; SIZE_MAX when it is none. */
static size_t take_answer(struct kda_inbox *inbox, char *out, size_t room)
{
    const struct kd_debug_io_header *header = (const struct kd_debug_io_header *)inbox->payload;
    const struct kd_get_string *answer = (const void *)(inbox->payload + KD_DEBUG_IO_UNION);
    const char *text = (const char *)inbox->payload + KD_DEBUG_IO_TEXT;
    size_t size, length = 0;

    inbox->full = false;
    if (inbox->type != KD_PACKET_DEBUG_IO || inbox->size < KD_DEBUG_IO_TEXT ||
        kd_get32(header->api_number) != KD_API_GET_STRING)
        return SIZE_MAX;
    size = kda_min(kd_get32(answer->length_of_string_read), inbox->size - KD_DEBUG_IO_TEXT);
    size = kda_min(size, room);
    while (length < size && text[length])
        length++;
    memcpy(out, text, length);
    return length;
}

/* Waits as long as the user thinks; a debugger that began anew is asked again. */
static size_t await_answer(struct kda_engine *engine, size_t prompt, char *out, size_t room)
{
    struct kda_wire *wire = &engine->wire;

    for (;;) {
        if (wire->inbox.full) {
            size_t size = take_answer(&wire->inbox, out, room);

            if (size != SIZE_MAX)
                return size;
        } else if (wire->renewed || wire->reset) {
            wire->renewed = false;
            wire->reset = false;
            if (!kda_wire_send(wire, KD_PACKET_DEBUG_IO, engine->message, prompt, 0))
                return SIZE_MAX;
        } else {
            kda_wire_wait(wire);
        }
    }
}

size_t kda_prompt(struct kda_engine *engine, const char *text, size_t size, char *out, size_t room)
{
    struct kd_get_string *get = (void *)(engine->message + KD_DEBUG_IO_UNION);
    size_t prompt, answer = SIZE_MAX;

    if (engine->busy)
        return SIZE_MAX;
    engine->busy = true;
    prompt = put_debug_io(engine, KD_API_GET_STRING, text, kda_min(size, TEXT_PIECE));
    get->length_of_string_read = kd_put32((uint32_t)kda_min(room, TEXT_PIECE));
    engine->wire.renewed = false;
    engine->wire.reset = false;
    kd_link_accept(&engine->wire.link, UINT32_C(1) << KD_PACKET_DEBUG_IO);
    if (kda_send_message(engine, KD_PACKET_DEBUG_IO, prompt))
        answer = await_answer(engine, prompt, out, room);
    kd_link_accept(&engine->wire.link, UINT32_C(1) << KD_PACKET_STATE_MANIPULATE);
    engine->busy = false;
    return answer;
}

/* A conversation about an event that is no exception. */
static bool tell(struct kda_engine *engine, const struct kda_event *event)
{
    bool told;

    if (engine->busy)
        return false;
    engine->busy = true;
    told = kda_converse(engine, event);
    engine->busy = false;
    return told;
}

bool kda_image_loaded(struct kda_engine *engine, const struct kda_image *image, bool notify)
{
    const struct kda_event event = {.state = KD_STATE_LOAD_SYMBOLS, .image = image};

    if (!kda_images_add(&engine->images, image))
        return false;
    if (notify)
        (void)tell(engine, &event);
    return true;
}

/* Breakpoints in the image go with it: the memory is about to be somebody else's. */
void kda_image_unloaded(struct kda_engine *engine, uint64_t base, bool notify)
{
    const struct kda_event event = {.state = KD_STATE_LOAD_SYMBOLS, .unloaded = base};
    uint32_t size = kda_images_remove(&engine->images, base);

    if (size)
        kda_breakpoints_drop(&engine->breakpoints, &engine->target, base, size);
    if (notify)
        (void)tell(engine, &event);
}

bool kda_command(struct kda_engine *engine, const char *text, size_t size)
{
    const struct kda_event event = {
        .state = KD_STATE_COMMAND_STRING, .command = text, .command_size = size};

    return tell(engine, &event);
}

/* An unload event of base -1 is how Windows' boot debugger ends its session (seen). */
void kda_leave(struct kda_engine *engine)
{
    const struct kda_event event = {.state = KD_STATE_LOAD_SYMBOLS, .unloaded = KD_REBOOT};

    if (engine->busy)
        return;
    kda_breakpoints_drop(&engine->breakpoints, &engine->target, 0, 0);
    kda_images_init(&engine->images);
    (void)tell(engine, &event);
    /* What the debugger left behind in that last conversation. */
    kda_halt(engine);
    kda_breakpoints_drop(&engine->breakpoints, &engine->target, 0, 0);
    kda_get_special(engine);
    engine->special.dr7 = kd_put64(DR7_NONE);
    (void)engine->target.ops->set_special(engine->target.self, &engine->special);
}
