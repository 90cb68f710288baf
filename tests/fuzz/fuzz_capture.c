/* fuzz_capture.c - libFuzzer target: any bytes as a capture file.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Whatever the reader delivers lies within its block, and encoding it again gives a block that
 * reads the same. Every input is read twice, in one piece and in pieces, with the same result.
 */
#include <stdlib.h>
#include <string.h>

#include "capture/reader.h"
#include "capture/upper_pdu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left, step;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static ptrdiff_t read_input(void *context, void *buffer, size_t size, char *error,
                            size_t error_size)
{
    struct input *input = context;

    require(size > 0 && error_size > 0 && error);
    if (size > input->left)
        size = input->left;
    if (size > input->step)
        size = input->step;
    if (size)
        memcpy(buffer, input->at, size);
    input->at += size;
    input->left -= size;
    return (ptrdiff_t)size;
}

/* Reads all of it, so that the sanitizers see it. */
static uint32_t sum(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint32_t total = 0;

    while (size--)
        total = total * 31 + *at++;
    return total;
}

static uint32_t sum_comments(const struct cap_comments *comments)
{
    uint32_t total = (uint32_t)comments->count;

    for (size_t i = 0; i < comments->count; i++)
        total += sum(comments->list[i].bytes, comments->list[i].size);
    return total;
}

static uint32_t sum_options(const struct cap_item *item)
{
    struct cap_options options = item->options;
    struct cap_bytes value;
    uint32_t total = 0;
    uint16_t code;

    if (options.at)
        require(options.at >= item->block.bytes &&
                options.end <= item->block.bytes + item->block.size);
    while (cap_option_next(&options, &code, &value))
        total += code + sum(value.bytes, value.size);
    require(options.damaged == item->damaged_options);
    return total;
}

/* Replacing the comments of a block by themselves keeps its options and data. */
static void check_comments(const struct cap_item *item, const struct cap_comments *comments)
{
    size_t size = cap_encode_with_comments(NULL, 0, item->block, item->big_endian, comments);
    uint8_t *copy;

    if (item->block.size == 0 || item->type == CAP_BLOCK_SIMPLE_PACKET ||
        item->block.size > CAP_BLOCK_MAX / 2)
        return;
    require(size >= 12 && size % 4 == 0 && size <= item->block.size + 4);
    copy = malloc(size);
    require(copy &&
            cap_encode_with_comments(copy, size, item->block, item->big_endian, comments) == size);
    free(copy);
}

/* A packet that was encoded reads as it did before. */
static void check_packet(const struct cap_packet *packet)
{
    static const struct cap_section section = {.os = {NULL, 0}};
    static const struct cap_interface interface = {.linktype = 1};
    size_t room = 256 + cap_encode_packet(NULL, 0, packet), size;
    uint8_t *file = malloc(room);
    struct cap_packet copy = *packet;
    struct cap_failure failure;
    struct cap_reader *reader;
    struct input input;
    struct cap_item item;

    require(file != NULL);
    copy.interface = 0;
    size = cap_encode_section(file, room, &section);
    size += cap_encode_interface(file + size, room - size, &interface);
    size += cap_encode_packet(file + size, room - size, &copy);
    input = (struct input){file, size, SIZE_MAX};
    reader = cap_reader_open_function(read_input, &input, &failure);
    require(reader && cap_reader_next(reader, &item) && cap_reader_next(reader, &item) &&
            cap_reader_next(reader, &item));
    require(item.packet.time == (packet->time == CAP_NOT_SAID ? 0 : packet->time));
    require(item.packet.data.size == packet->data.size && item.packet.flags == packet->flags &&
            item.packet.dropped == packet->dropped);
    require(sum(item.packet.data.bytes, item.packet.data.size) ==
            sum(packet->data.bytes, packet->data.size));
    require(!cap_reader_next(reader, &item) &&
            cap_reader_failure(reader)->kind == CAP_FAILURE_NONE);
    cap_reader_close(reader);
    free(file);
}

static uint32_t use_packet(const struct cap_item *item)
{
    const struct cap_packet *packet = &item->packet;
    uint32_t total = sum(packet->data.bytes, packet->data.size) + (uint32_t)packet->time;
    struct cap_upper_pdu pdu;

    if (item->block.size)
        require(packet->data.bytes >= item->block.bytes &&
                packet->data.bytes + packet->data.size <= item->block.bytes + item->block.size);
    if (cap_upper_pdu_decode(packet->data.bytes, packet->data.size, &pdu))
        total += sum(pdu.dissector.bytes, pdu.dissector.size) + sum(pdu.data.bytes, pdu.data.size) +
                 (uint32_t)pdu.direction;
    if (packet->data.size < 65536)
        check_packet(packet);
    check_comments(item, &packet->comments);
    return total + sum_comments(&packet->comments);
}

static uint32_t use_item(const struct cap_item *item)
{
    const struct cap_interface *interface = &item->interface;
    uint32_t total = (uint32_t)item->kind + sum_options(item);

    total += sum(item->block.bytes, item->block.size);
    switch (item->kind) {
    case CAP_ITEM_SECTION:
        check_comments(item, &item->section.comments);
        total += sum(item->section.os.bytes, item->section.os.size);
        return total + sum(item->section.application.bytes, item->section.application.size);
    case CAP_ITEM_INTERFACE:
        check_comments(item, &interface->comments);
        total += sum(interface->name.bytes, interface->name.size);
        total += sum(interface->filter.bytes, interface->filter.size);
        return total + sum(interface->description.bytes, interface->description.size);
    case CAP_ITEM_PACKET:
        return total + use_packet(item);
    case CAP_ITEM_STATISTICS:
        check_comments(item, &item->statistics.comments);
        return total + (uint32_t)item->statistics.end;
    case CAP_ITEM_SECRETS:
        return total + sum(item->secrets.data.bytes, item->secrets.data.size);
    default:
        return total;
    }
}

static uint32_t read_all(const uint8_t *data, size_t size, size_t step)
{
    struct input input = {data, size, step};
    struct cap_failure failure;
    struct cap_reader *reader = cap_reader_open_function(read_input, &input, &failure);
    struct cap_item item;
    uint32_t total = 0;

    require(reader != NULL);
    cap_reader_want_others(reader);
    while (cap_reader_next(reader, &item))
        total = total * 31 + use_item(&item);
    failure = *cap_reader_failure(reader);
    require((failure.kind == CAP_FAILURE_NONE) == (failure.text[0] == '\0'));
    require(failure.kind != CAP_FAILURE_SYSTEM && failure.kind != CAP_FAILURE_MEMORY);
    cap_reader_close(reader);
    return total + (uint32_t)failure.kind + (uint32_t)failure.offset;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    require(read_all(data, size, SIZE_MAX) == read_all(data, size, 1 + size % 7));
    return 0;
}
