/* pcapng.c - encoders of pcapng blocks, and walking through a block's options. See pcapng.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A block is built twice by the same function: first only its size is counted, then, when there is
 * room, its bytes are written.
 */
#include "capture/pcapng.h"

#include "block.h"
#include "bytes.h"

struct sink {
    uint8_t *out; /* NULL: count only */
    size_t size;
    size_t total; /* of the block, once counted */
    bool big_endian;
};

typedef void (*build_function)(struct sink *sink, const void *what);

/* Sizes above the largest block are all the same: too large. */
static bool grow(struct sink *sink, size_t size)
{
    if (size > CAP_BLOCK_MAX || sink->size > CAP_BLOCK_MAX) {
        sink->size = CAP_BLOCK_MAX + 1;
        return false;
    }
    sink->size += size;
    return sink->out != NULL;
}

static void put(struct sink *sink, size_t size, uint64_t value)
{
    if (grow(sink, size))
        cap_put(sink->out + sink->size - size, size, value, sink->big_endian);
}

static void put_bytes(struct sink *sink, const void *bytes, size_t size)
{
    if (grow(sink, size) && size)
        memcpy(sink->out + sink->size - size, bytes, size);
}

static void put_padding(struct sink *sink, size_t size)
{
    put(sink, cap_padding(size), 0);
}

static void put_time(struct sink *sink, uint64_t time)
{
    put(sink, 4, time >> 32);
    put(sink, 4, time & UINT32_MAX);
}

static void put_option_head(struct sink *sink, uint16_t code, size_t size)
{
    put(sink, 2, code);
    put(sink, 2, size);
}

static void put_number_option(struct sink *sink, uint16_t code, size_t size, uint64_t value)
{
    put_option_head(sink, code, size);
    put(sink, size, value);
    put_padding(sink, size);
}

static void put_time_option(struct sink *sink, uint16_t code, uint64_t time)
{
    if (time == CAP_NOT_SAID)
        return;
    put_option_head(sink, code, 8);
    put_time(sink, time);
}

static void put_bytes_option(struct sink *sink, uint16_t code, const void *bytes, size_t size)
{
    put_option_head(sink, code, size);
    put_bytes(sink, bytes, size);
    put_padding(sink, size);
}

/* The longest start of a text that an option can hold, in whole characters. */
static size_t text_size(struct cap_text text, size_t limit)
{
    size_t size = limit;

    if (text.size <= limit)
        return text.size;
    while (size && ((uint8_t)text.bytes[size] & 0xc0) == 0x80)
        size--;
    return size;
}

static void put_text(struct sink *sink, uint16_t code, struct cap_text text)
{
    if (text.size)
        put_bytes_option(sink, code, text.bytes, text_size(text, UINT16_MAX));
}

static void put_comments(struct sink *sink, const struct cap_comments *comments)
{
    for (size_t i = 0; i < comments->count; i++)
        put_text(sink, OPTION_COMMENT, comments->list[i]);
}

static void put_block_head(struct sink *sink, enum cap_block_type type)
{
    put(sink, 4, (uint64_t)type);
    put(sink, 4, sink->total);
}

/* The list of options that began at `options` gets its end mark, unless there are none. */
static void put_block_end(struct sink *sink, size_t options)
{
    if (sink->size != options)
        put_option_head(sink, OPTION_END, 0);
    put(sink, 4, sink->total);
}

static size_t encode(uint8_t *out, size_t room, bool big_endian, build_function build,
                     const void *what)
{
    struct sink count = {.big_endian = big_endian};
    struct sink write = {.out = out, .big_endian = big_endian};

    build(&count, what);
    if (count.size > CAP_BLOCK_MAX)
        return 0;
    if (out && count.size <= room) {
        write.total = count.size;
        build(&write, what);
    }
    return count.size;
}

static void build_section(struct sink *sink, const void *what)
{
    const struct cap_section *section = what;
    size_t options;

    put_block_head(sink, CAP_BLOCK_SECTION);
    put(sink, 4, BYTE_ORDER_MAGIC);
    put(sink, 2, VERSION_MAJOR);
    put(sink, 2, 0);
    put(sink, 8, UINT64_MAX); /* the section's length is not known */
    options = sink->size;
    put_comments(sink, &section->comments);
    put_text(sink, SECTION_HARDWARE, section->hardware);
    put_text(sink, SECTION_OS, section->os);
    put_text(sink, SECTION_APPLICATION, section->application);
    put_block_end(sink, options);
}

size_t cap_encode_section(uint8_t *out, size_t room, const struct cap_section *section)
{
    return encode(out, room, false, build_section, section);
}

/* if_filter: a byte says what kind of filter follows, 0 a libpcap expression. */
static void put_filter(struct sink *sink, struct cap_text filter)
{
    size_t size = text_size(filter, UINT16_MAX - 1);

    if (!size)
        return;
    put_option_head(sink, INTERFACE_FILTER, 1 + size);
    put(sink, 1, 0);
    put_bytes(sink, filter.bytes, size);
    put_padding(sink, 1 + size);
}

static void build_interface(struct sink *sink, const void *what)
{
    const struct cap_interface *interface = what;
    size_t options;

    put_block_head(sink, CAP_BLOCK_INTERFACE);
    put(sink, 2, interface->linktype);
    put(sink, 2, 0);
    put(sink, 4, interface->snaplen);
    options = sink->size;
    put_comments(sink, &interface->comments);
    put_text(sink, INTERFACE_NAME, interface->name);
    put_text(sink, INTERFACE_DESCRIPTION, interface->description);
    if (interface->speed)
        put_number_option(sink, INTERFACE_SPEED, 8, interface->speed);
    put_number_option(sink, INTERFACE_RESOLUTION, 1, RESOLUTION_NANOSECONDS);
    put_filter(sink, interface->filter);
    put_text(sink, INTERFACE_OS, interface->os);
    put_text(sink, INTERFACE_HARDWARE, interface->hardware);
    put_block_end(sink, options);
}

size_t cap_encode_interface(uint8_t *out, size_t room, const struct cap_interface *interface)
{
    return encode(out, room, false, build_interface, interface);
}

static void build_packet(struct sink *sink, const void *what)
{
    const struct cap_packet *packet = what;
    size_t size = packet->head.size + packet->data.size, options;

    put_block_head(sink, CAP_BLOCK_PACKET);
    put(sink, 4, packet->interface);
    put_time(sink, packet->time == CAP_NOT_SAID ? 0 : packet->time);
    put(sink, 4, size);
    put(sink, 4, packet->original_size ? packet->original_size : size);
    put_bytes(sink, packet->head.bytes, packet->head.size);
    put_bytes(sink, packet->data.bytes, packet->data.size);
    put_padding(sink, size);
    options = sink->size;
    put_comments(sink, &packet->comments);
    if (packet->flags)
        put_number_option(sink, PACKET_FLAGS, 4, packet->flags);
    if (packet->dropped)
        put_number_option(sink, PACKET_DROPPED, 8, packet->dropped);
    put_block_end(sink, options);
}

size_t cap_encode_packet(uint8_t *out, size_t room, const struct cap_packet *packet)
{
    return encode(out, room, false, build_packet, packet);
}

static void build_statistics(struct sink *sink, const void *what)
{
    const struct cap_statistics *statistics = what;
    size_t options;

    put_block_head(sink, CAP_BLOCK_STATISTICS);
    put(sink, 4, statistics->interface);
    put_time(sink, statistics->time);
    options = sink->size;
    put_comments(sink, &statistics->comments);
    put_time_option(sink, STATISTICS_START, statistics->start);
    put_time_option(sink, STATISTICS_END, statistics->end);
    if (statistics->received != CAP_NOT_SAID)
        put_number_option(sink, STATISTICS_RECEIVED, 8, statistics->received);
    if (statistics->dropped != CAP_NOT_SAID)
        put_number_option(sink, STATISTICS_DROPPED, 8, statistics->dropped);
    put_block_end(sink, options);
}

size_t cap_encode_statistics(uint8_t *out, size_t room, const struct cap_statistics *statistics)
{
    return encode(out, room, false, build_statistics, statistics);
}

static void build_secrets(struct sink *sink, const void *what)
{
    const struct cap_secrets *secrets = what;

    put_block_head(sink, CAP_BLOCK_SECRETS);
    put(sink, 4, secrets->type);
    put(sink, 4, secrets->data.size);
    put_bytes(sink, secrets->data.bytes, secrets->data.size);
    put_padding(sink, secrets->data.size);
    put_block_end(sink, sink->size);
}

size_t cap_encode_secrets(uint8_t *out, size_t room, const struct cap_secrets *secrets)
{
    return encode(out, room, secrets->big_endian, build_secrets, secrets);
}

/* --- Options */

bool cap_option_next(struct cap_options *options, uint16_t *code, struct cap_bytes *value)
{
    size_t left = (size_t)(options->end - options->at), size;

    if (left < OPTION_HEAD_SIZE) {
        options->damaged |= left > 0;
        return false;
    }
    *code = cap_get16(options->at, options->big_endian);
    size = cap_get16(options->at + 2, options->big_endian);
    if (*code == OPTION_END)
        return false;
    left -= OPTION_HEAD_SIZE;
    if (size > left) {
        options->damaged = true;
        options->at = options->end;
        return false;
    }
    *value = (struct cap_bytes){options->at + OPTION_HEAD_SIZE, size};
    size += cap_padding(size);
    options->at += OPTION_HEAD_SIZE + (size < left ? size : left);
    return true;
}

bool cap_block_options(struct cap_bytes block, bool big_endian, struct cap_options *options)
{
    size_t fixed, captured = 0;

    if (block.size < BLOCK_MIN || block.size % 4 || block.size > CAP_BLOCK_MAX)
        return false;
    switch (cap_get32(block.bytes, big_endian)) {
    case CAP_BLOCK_SECTION:
        fixed = SECTION_FIXED;
        break;
    case CAP_BLOCK_INTERFACE:
        fixed = INTERFACE_FIXED;
        break;
    case CAP_BLOCK_STATISTICS:
        fixed = STATISTICS_FIXED;
        break;
    case CAP_BLOCK_PACKET:
    case CAP_BLOCK_OLD_PACKET:
        fixed = PACKET_FIXED;
        if (block.size >= BLOCK_MIN + fixed)
            captured = cap_get32(block.bytes + BLOCK_HEAD + PACKET_CAPTURED, big_endian);
        break;
    case CAP_BLOCK_SECRETS:
        fixed = SECRETS_FIXED;
        if (block.size >= BLOCK_MIN + fixed)
            captured = cap_get32(block.bytes + BLOCK_HEAD + SECRETS_SIZE, big_endian);
        break;
    default:
        return false;
    }
    if (block.size < BLOCK_MIN + fixed || captured > block.size - BLOCK_MIN - fixed)
        return false;
    options->at = block.bytes + BLOCK_HEAD + fixed + captured + cap_padding(captured);
    options->end = block.bytes + block.size - BLOCK_TAIL;
    options->big_endian = big_endian;
    options->damaged = false;
    return true;
}

struct recommented {
    struct cap_bytes block;
    struct cap_options options;
    const struct cap_comments *comments;
};

static void build_recommented(struct sink *sink, const void *what)
{
    const struct recommented *copy = what;
    struct cap_options options = copy->options;
    const uint8_t *body = copy->block.bytes + BLOCK_HEAD;
    struct cap_bytes value;
    size_t start;
    uint16_t code;

    put_bytes(sink, copy->block.bytes, 4);
    put(sink, 4, sink->total);
    put_bytes(sink, body, (size_t)(options.at - body));
    start = sink->size;
    put_comments(sink, copy->comments);
    while (cap_option_next(&options, &code, &value)) {
        if (code != OPTION_COMMENT)
            put_bytes_option(sink, code, value.bytes, value.size);
    }
    put_block_end(sink, start);
}

size_t cap_encode_with_comments(uint8_t *out, size_t room, struct cap_bytes block, bool big_endian,
                                const struct cap_comments *comments)
{
    struct recommented copy = {.block = block, .comments = comments};

    if (!cap_block_options(block, big_endian, &copy.options))
        return 0;
    return encode(out, room, big_endian, build_recommented, &copy);
}
