/* parse.c - from the bytes of a pcapng block to an item. See parse.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "parse.h"

#include <stdio.h>
#include <stdlib.h>

#include "block.h"
#include "bytes.h"

#define SECOND UINT64_C(1000000000)

struct parse {
    struct cap_parser *parser;
    struct cap_item *item;
    const uint8_t *body; /* of the block: without its head and tail */
    size_t size;
    char *text;
    size_t text_size;
};

static enum cap_failure_kind fail(struct parse *parse, enum cap_failure_kind kind, const char *text)
{
    snprintf(parse->text, parse->text_size, "%s", text);
    return kind;
}

static uint16_t get16(const struct parse *parse, size_t at)
{
    return cap_get16(parse->body + at, parse->item->big_endian);
}

static uint32_t get32(const struct parse *parse, size_t at)
{
    return cap_get32(parse->body + at, parse->item->big_endian);
}

/* --- Times */

static uint64_t power_of_10(unsigned exponent)
{
    uint64_t power = 1;

    while (exponent--)
        power *= 10;
    return power;
}

/* Units of 10^-exponent seconds. 10^19 is the largest power that 64 bits hold. */
static void split_decimal(uint64_t units, unsigned exponent, uint64_t *seconds, uint64_t *rest)
{
    *seconds = 0;
    *rest = 0;
    if (exponent <= 19) {
        uint64_t second = power_of_10(exponent);

        *seconds = units / second;
        *rest = units % second;
        *rest =
            exponent <= 9 ? *rest * power_of_10(9 - exponent) : *rest / power_of_10(exponent - 9);
    } else if (exponent <= 28) {
        *rest = units / power_of_10(exponent - 9);
    }
}

/* Units of 2^-exponent seconds. What is finer than 2^-34 s is dropped: 34 bits times a billion fit
 * into 64. */
static void split_binary(uint64_t units, unsigned exponent, uint64_t *seconds, uint64_t *rest)
{
    uint64_t fraction = units;

    *seconds = 0;
    if (exponent < 64) {
        *seconds = units >> exponent;
        fraction = units - (*seconds << exponent);
    }
    if (exponent > 34) {
        fraction = exponent - 34 < 64 ? fraction >> (exponent - 34) : 0;
        exponent = 34;
    }
    *rest = fraction * SECOND >> exponent;
}

/* Saturates at both ends. */
static uint64_t to_nanoseconds(const struct cap_known_interface *interface, uint64_t units)
{
    unsigned exponent = interface->resolution & ~RESOLUTION_BINARY;
    uint64_t seconds, rest, offset = (uint64_t)interface->offset;

    if (interface->resolution & RESOLUTION_BINARY)
        split_binary(units, exponent, &seconds, &rest);
    else
        split_decimal(units, exponent, &seconds, &rest);
    if (interface->offset < 0) {
        if (seconds < 0 - offset)
            return 0;
        seconds += offset;
    } else {
        seconds = offset > UINT64_MAX - seconds ? UINT64_MAX : seconds + offset;
    }
    if (seconds >= UINT64_MAX / SECOND)
        return CAP_NOT_SAID - 1;
    return seconds * SECOND + rest;
}

static uint64_t time_at(const struct cap_known_interface *interface, const uint8_t *at,
                        bool big_endian)
{
    uint64_t high = cap_get32(at, big_endian), low = cap_get32(at + 4, big_endian);

    return to_nanoseconds(interface, high << 32 | low);
}

/* --- Options */

typedef void (*option_function)(struct cap_item *item, uint16_t code, struct cap_bytes value,
                                const struct cap_known_interface *interface);

/* Collects the comments; the block's other options go to `take`. */
static struct cap_comments take_options(struct parse *parse, option_function take,
                                        const struct cap_known_interface *interface)
{
    struct cap_item *item = parse->item;
    struct cap_comments comments = {.list = parse->parser->comments};
    struct cap_options options;
    struct cap_bytes value;
    uint16_t code;

    if (!cap_block_options(item->block, item->big_endian, &options))
        return comments;
    item->options = options;
    while (cap_option_next(&options, &code, &value)) {
        if (code == OPTION_COMMENT && comments.count < CAP_COMMENTS_MAX)
            parse->parser->comments[comments.count++] =
                (struct cap_text){(const char *)value.bytes, value.size};
        else if (code != OPTION_COMMENT && take)
            take(item, code, value, interface);
    }
    item->damaged_options = options.damaged;
    return comments;
}

/* Some writers count a NUL at the end. */
static struct cap_text text_of(struct cap_bytes value)
{
    while (value.size && value.bytes[value.size - 1] == 0)
        value.size--;
    return (struct cap_text){(const char *)value.bytes, value.size};
}

static uint64_t number_of(const struct cap_item *item, struct cap_bytes value, uint64_t otherwise)
{
    return value.size == 8 ? cap_get64(value.bytes, item->big_endian) : otherwise;
}

static void take_section_option(struct cap_item *item, uint16_t code, struct cap_bytes value,
                                const struct cap_known_interface *interface)
{
    (void)interface;
    if (code == SECTION_HARDWARE)
        item->section.hardware = text_of(value);
    else if (code == SECTION_OS)
        item->section.os = text_of(value);
    else if (code == SECTION_APPLICATION)
        item->section.application = text_of(value);
}

static void take_interface_option(struct cap_item *item, uint16_t code, struct cap_bytes value,
                                  const struct cap_known_interface *interface)
{
    struct cap_interface *out = &item->interface;

    (void)interface;
    switch (code) {
    case INTERFACE_NAME:
        out->name = text_of(value);
        break;
    case INTERFACE_DESCRIPTION:
        out->description = text_of(value);
        break;
    case INTERFACE_SPEED:
        out->speed = number_of(item, value, 0);
        break;
    case INTERFACE_RESOLUTION:
        if (value.size)
            out->resolution = value.bytes[0];
        break;
    case INTERFACE_FILTER:
        if (value.size && value.bytes[0] == 0)
            out->filter = text_of((struct cap_bytes){value.bytes + 1, value.size - 1});
        break;
    case INTERFACE_OS:
        out->os = text_of(value);
        break;
    case INTERFACE_OFFSET:
        out->offset = (int64_t)number_of(item, value, 0);
        break;
    case INTERFACE_HARDWARE:
        out->hardware = text_of(value);
        break;
    }
}

static void take_packet_option(struct cap_item *item, uint16_t code, struct cap_bytes value,
                               const struct cap_known_interface *interface)
{
    (void)interface;
    if (code == PACKET_FLAGS && value.size == 4)
        item->packet.flags = cap_get32(value.bytes, item->big_endian);
    else if (code == PACKET_DROPPED && item->type == CAP_BLOCK_PACKET)
        item->packet.dropped = number_of(item, value, 0);
}

static void take_statistics_option(struct cap_item *item, uint16_t code, struct cap_bytes value,
                                   const struct cap_known_interface *interface)
{
    struct cap_statistics *out = &item->statistics;

    if (value.size != 8)
        return;
    switch (code) {
    case STATISTICS_START:
        out->start = time_at(interface, value.bytes, item->big_endian);
        break;
    case STATISTICS_END:
        out->end = time_at(interface, value.bytes, item->big_endian);
        break;
    case STATISTICS_RECEIVED:
        out->received = number_of(item, value, CAP_NOT_SAID);
        break;
    case STATISTICS_DROPPED:
        out->dropped = number_of(item, value, CAP_NOT_SAID);
        break;
    }
}

/* --- Blocks */

static enum cap_failure_kind parse_section(struct parse *parse)
{
    if (parse->size < SECTION_FIXED)
        return fail(parse, CAP_FAILURE_CORRUPT, "the section header is too short");
    if (get16(parse, 4) != VERSION_MAJOR) {
        snprintf(parse->text, parse->text_size, "this is pcapng version %u.%u; only 1 is known",
                 get16(parse, 4), get16(parse, 6));
        return CAP_FAILURE_FORMAT;
    }
    parse->parser->count = 0;
    parse->item->kind = CAP_ITEM_SECTION;
    parse->item->section = (struct cap_section){.comments = {NULL, 0}};
    parse->item->section.comments = take_options(parse, take_section_option, NULL);
    return CAP_FAILURE_NONE;
}

static enum cap_failure_kind remember(struct parse *parse, const struct cap_interface *interface)
{
    struct cap_parser *parser = parse->parser;

    if (parser->count == CAP_INTERFACES_MAX)
        return fail(parse, CAP_FAILURE_LIMIT, "the section has more than 65536 interfaces");
    if (parser->count == parser->room) {
        size_t room = parser->room ? 2 * parser->room : 8;
        struct cap_known_interface *larger =
            realloc(parser->interfaces, room * sizeof *parser->interfaces);

        if (!larger)
            return fail(parse, CAP_FAILURE_MEMORY, "there is not enough memory");
        parser->interfaces = larger;
        parser->room = room;
    }
    parser->interfaces[parser->count++] = (struct cap_known_interface){
        .linktype = interface->linktype,
        .resolution = interface->resolution,
        .snaplen = interface->snaplen,
        .offset = interface->offset,
    };
    return CAP_FAILURE_NONE;
}

static enum cap_failure_kind parse_interface(struct parse *parse)
{
    struct cap_interface *interface = &parse->item->interface;

    if (parse->size < INTERFACE_FIXED)
        return fail(parse, CAP_FAILURE_CORRUPT, "the interface description is too short");
    parse->item->kind = CAP_ITEM_INTERFACE;
    *interface = (struct cap_interface){
        .linktype = get16(parse, 0),
        .snaplen = get32(parse, 4),
        .resolution = RESOLUTION_DEFAULT,
    };
    interface->comments = take_options(parse, take_interface_option, NULL);
    return remember(parse, interface);
}

/* The interface a block speaks of; NULL with the reason in `text`. */
static const struct cap_known_interface *interface_of(struct parse *parse, uint32_t number)
{
    if (number < parse->parser->count)
        return &parse->parser->interfaces[number];
    snprintf(parse->text, parse->text_size,
             "the block belongs to interface %lu, but the section has %lu so far",
             (unsigned long)number, (unsigned long)parse->parser->count);
    return NULL;
}

static enum cap_failure_kind too_much_data(struct parse *parse, uint32_t captured)
{
    snprintf(parse->text, parse->text_size,
             "the block says it holds %lu bytes of data, but is %lu bytes long",
             (unsigned long)captured, (unsigned long)parse->item->block.size);
    return CAP_FAILURE_CORRUPT;
}

/* Enhanced packet blocks and the old packet blocks differ in their first four bytes. */
static enum cap_failure_kind parse_packet(struct parse *parse)
{
    struct cap_item *item = parse->item;
    bool old = item->type == CAP_BLOCK_OLD_PACKET;
    const struct cap_known_interface *interface;
    uint32_t captured, number;

    if (parse->size < PACKET_FIXED)
        return fail(parse, CAP_FAILURE_CORRUPT, "the packet block is too short");
    number = old ? get16(parse, 0) : get32(parse, 0);
    interface = interface_of(parse, number);
    if (!interface)
        return CAP_FAILURE_CORRUPT;
    captured = get32(parse, PACKET_CAPTURED);
    if (captured > parse->size - PACKET_FIXED)
        return too_much_data(parse, captured);
    item->kind = CAP_ITEM_PACKET;
    item->linktype = interface->linktype;
    item->packet = (struct cap_packet){
        .interface = number,
        .time = time_at(interface, parse->body + 4, item->big_endian),
        .data = {parse->body + PACKET_FIXED, captured},
        .original_size = get32(parse, 16),
    };
    if (old && get16(parse, 2) != UINT16_MAX)
        item->packet.dropped = get16(parse, 2);
    item->packet.comments = take_options(parse, take_packet_option, interface);
    return CAP_FAILURE_NONE;
}

static enum cap_failure_kind parse_simple_packet(struct parse *parse)
{
    struct cap_item *item = parse->item;
    const struct cap_known_interface *interface = interface_of(parse, 0);
    uint32_t captured;

    if (!interface)
        return CAP_FAILURE_CORRUPT;
    if (parse->size < SIMPLE_FIXED)
        return fail(parse, CAP_FAILURE_CORRUPT, "the simple packet block is too short");
    captured = get32(parse, 0);
    item->kind = CAP_ITEM_PACKET;
    item->linktype = interface->linktype;
    item->packet = (struct cap_packet){.time = CAP_NOT_SAID, .original_size = captured};
    if (interface->snaplen && captured > interface->snaplen)
        captured = interface->snaplen;
    if (captured > parse->size - SIMPLE_FIXED)
        return too_much_data(parse, captured);
    item->packet.data = (struct cap_bytes){parse->body + SIMPLE_FIXED, captured};
    return CAP_FAILURE_NONE;
}

static enum cap_failure_kind parse_statistics(struct parse *parse)
{
    struct cap_item *item = parse->item;
    const struct cap_known_interface *interface;

    if (parse->size < STATISTICS_FIXED)
        return fail(parse, CAP_FAILURE_CORRUPT, "the statistics block is too short");
    interface = interface_of(parse, get32(parse, 0));
    if (!interface)
        return CAP_FAILURE_CORRUPT;
    item->kind = CAP_ITEM_STATISTICS;
    item->linktype = interface->linktype;
    item->statistics = (struct cap_statistics){
        .interface = get32(parse, 0),
        .time = time_at(interface, parse->body + 4, item->big_endian),
        .start = CAP_NOT_SAID,
        .end = CAP_NOT_SAID,
        .received = CAP_NOT_SAID,
        .dropped = CAP_NOT_SAID,
    };
    item->statistics.comments = take_options(parse, take_statistics_option, interface);
    return CAP_FAILURE_NONE;
}

static enum cap_failure_kind parse_secrets(struct parse *parse)
{
    struct cap_item *item = parse->item;
    uint32_t size;

    if (parse->size < SECRETS_FIXED)
        return fail(parse, CAP_FAILURE_CORRUPT, "the secrets block is too short");
    size = get32(parse, SECRETS_SIZE);
    if (size > parse->size - SECRETS_FIXED)
        return too_much_data(parse, size);
    item->kind = CAP_ITEM_SECRETS;
    item->secrets = (struct cap_secrets){
        .type = get32(parse, 0),
        .data = {parse->body + SECRETS_FIXED, size},
        .big_endian = item->big_endian,
    };
    take_options(parse, NULL, NULL);
    return CAP_FAILURE_NONE;
}

enum cap_failure_kind cap_parse_block(struct cap_parser *parser, struct cap_item *item, char *text,
                                      size_t text_size)
{
    struct parse parse = {
        .parser = parser,
        .item = item,
        .body = item->block.bytes + BLOCK_HEAD,
        .size = item->block.size - BLOCK_MIN,
        .text = text,
        .text_size = text_size,
    };

    switch (item->type) {
    case CAP_BLOCK_SECTION:
        return parse_section(&parse);
    case CAP_BLOCK_INTERFACE:
        return parse_interface(&parse);
    case CAP_BLOCK_PACKET:
    case CAP_BLOCK_OLD_PACKET:
        return parse_packet(&parse);
    case CAP_BLOCK_SIMPLE_PACKET:
        return parse_simple_packet(&parse);
    case CAP_BLOCK_STATISTICS:
        return parse_statistics(&parse);
    case CAP_BLOCK_SECRETS:
        return parse_secrets(&parse);
    default:
        item->kind = CAP_ITEM_OTHER;
        return CAP_FAILURE_NONE;
    }
}

void cap_parser_free(struct cap_parser *parser)
{
    free(parser->interfaces);
}
