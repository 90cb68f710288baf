/* capture_file.c - lib/capture as a program, for tests: writes what it is told, shows what it
 * reads.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   capture_file write FILE [SIZE [FILES]]   as the lines of standard input say; SIZE and FILES: a
 *                                            new file after SIZE bytes, the newest FILES are kept
 *   capture_file read FILE                   a line for each item, then the failure, if any
 *
 * Fields are separated by tabs, `-` is an empty one, data are hex digits. Lines of `write`:
 *   section HARDWARE OS APPLICATION
 *   interface LINKTYPE SNAPLEN SPEED NAME DESCRIPTION
 *   secrets TYPE DATA
 *   packet INTERFACE TIME FLAGS DROPPED DATA [COMMENT...]
 *   upper INTERFACE TIME sent|received DATA [COMMENT...]
 *   statistics INTERFACE TIME START END RECEIVED DROPPED [COMMENT...]
 *   flush                                    also says "flushed" on standard output
 * The first lines, up to a packet, are what every file begins with.
 */
#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/output.h"
#include "capture/reader.h"
#include "capture/upper_pdu.h"

#define LINE_MAX_SIZE 300000
#define FIELDS_MAX    64
#define COMMENTS_MAX  (FIELDS_MAX - 7)
#define NOW           1

static char line[LINE_MAX_SIZE];
static char *fields[FIELDS_MAX];
static size_t field_count;
static uint8_t data[LINE_MAX_SIZE / 2], block[LINE_MAX_SIZE];
static struct cap_text comments[COMMENTS_MAX];

static struct {
    uint8_t bytes[65536];
    size_t size;
} head;

static size_t write_head(void *context, uint8_t *out, size_t room)
{
    (void)context;
    if (head.size <= room)
        memcpy(out, head.bytes, head.size);
    return head.size;
}

static void fail(const char *what)
{
    fprintf(stderr, "capture_file: %s\n", what);
    exit(1);
}

/* --- write */

static bool next_line(void)
{
    if (!fgets(line, sizeof line, stdin))
        return false;
    line[strcspn(line, "\n")] = '\0';
    field_count = 0;
    for (char *at = line; at && field_count < FIELDS_MAX; field_count++) {
        char *tab = strchr(at, '\t');

        fields[field_count] = at;
        at = tab ? tab + 1 : NULL;
        if (tab)
            *tab = '\0';
    }
    return true;
}

static const char *field(size_t number)
{
    if (number >= field_count)
        fail("a line has too few fields");
    return fields[number];
}

static struct cap_text text(size_t number)
{
    return cap_text(strcmp(field(number), "-") == 0 ? NULL : field(number));
}

static uint64_t number(size_t at)
{
    return strcmp(field(at), "-") == 0 ? CAP_NOT_SAID : strtoull(field(at), NULL, 0);
}

static struct cap_bytes hex(size_t at)
{
    const char *digits = field(at);
    size_t size = strcmp(digits, "-") == 0 ? 0 : strlen(digits) / 2;

    for (size_t i = 0; i < size; i++) {
        char byte[3] = {digits[2 * i], digits[2 * i + 1], '\0'};

        data[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
    return (struct cap_bytes){data, size};
}

static struct cap_comments comments_from(size_t first)
{
    size_t count = 0;

    for (size_t i = first; i < field_count && count < COMMENTS_MAX; i++)
        comments[count++] = cap_text(fields[i]);
    return (struct cap_comments){comments, count};
}

static size_t encode_packet(bool upper)
{
    uint8_t pdu[CAP_UPPER_PDU_HEAD_MAX];
    struct cap_packet packet = {.interface = (uint32_t)number(1), .time = number(2)};
    bool received = upper && strcmp(field(3), "received") == 0;

    if (upper) {
        packet.head.bytes = pdu;
        packet.head.size =
            cap_upper_pdu_encode(pdu, sizeof pdu, "kd_stream", received ? CAP_RECEIVED : CAP_SENT);
        packet.flags = received ? CAP_FLAG_INBOUND : CAP_FLAG_OUTBOUND;
    } else {
        packet.flags = (uint32_t)number(3);
        packet.dropped = number(4);
    }
    packet.data = hex(upper ? 4 : 5);
    packet.comments = comments_from(upper ? 5 : 6);
    return cap_encode_packet(block, sizeof block, &packet);
}

static size_t encode_statistics(void)
{
    struct cap_statistics statistics = {
        .interface = (uint32_t)number(1),
        .time = number(2),
        .start = number(3),
        .end = number(4),
        .received = number(5),
        .dropped = number(6),
        .comments = comments_from(7),
    };

    return cap_encode_statistics(block, sizeof block, &statistics);
}

/* The block of a line: in `block`. */
static size_t encode_line(void)
{
    const char *kind = field(0);

    if (strcmp(kind, "section") == 0) {
        struct cap_section section = {text(1), text(2), text(3), comments_from(4)};

        return cap_encode_section(block, sizeof block, &section);
    }
    if (strcmp(kind, "interface") == 0) {
        struct cap_interface interface = {
            .linktype = (uint16_t)number(1),
            .snaplen = (uint32_t)number(2),
            .speed = number(3),
            .name = text(4),
            .description = text(5),
        };

        return cap_encode_interface(block, sizeof block, &interface);
    }
    if (strcmp(kind, "secrets") == 0) {
        struct cap_secrets secrets = {(uint32_t)number(1), hex(2), false};

        return cap_encode_secrets(block, sizeof block, &secrets);
    }
    if (strcmp(kind, "statistics") == 0)
        return encode_statistics();
    if (strcmp(kind, "packet") == 0 || strcmp(kind, "upper") == 0)
        return encode_packet(strcmp(kind, "upper") == 0);
    fail("a line of no known kind");
    return 0;
}

static struct cap_output *open_output(const char *path, uint64_t size, uint32_t files)
{
    struct cap_output_options options = {
        .path = path, .header = write_head, .rotate_size = size, .ring_files = files};
    char error[400];
    struct cap_output *output = cap_output_open(&options, NOW, error, sizeof error);

    if (!output)
        fail(error);
    return output;
}

static bool is_head(void)
{
    return strcmp(field(0), "section") == 0 || strcmp(field(0), "interface") == 0 ||
           strcmp(field(0), "secrets") == 0;
}

static int write_file(const char *path, uint64_t size, uint32_t files)
{
    struct cap_output *output = NULL;
    char error[400];

    while (next_line()) {
        if (strcmp(field(0), "flush") == 0) {
            if (!output || !cap_output_flush(output, NOW))
                fail("cannot flush");
            puts("flushed");
            fflush(stdout);
            continue;
        }
        size_t encoded = encode_line();

        if (is_head()) {
            memcpy(head.bytes + head.size, block, encoded);
            head.size += encoded;
            continue;
        }
        if (!output)
            output = open_output(path, size, files);
        if (!cap_output_write(output, block, encoded, NOW))
            fail("a block was dropped");
    }
    if (!output)
        output = open_output(path, size, files);
    if (!cap_output_close(output, NOW, NULL, error, sizeof error))
        fail(error);
    return 0;
}

/* --- read */

static void print_bytes(struct cap_bytes bytes)
{
    putchar('\t');
    for (size_t i = 0; i < bytes.size; i++)
        printf("%02x", bytes.bytes[i]);
    if (!bytes.size)
        putchar('-');
}

static void print_text(struct cap_text shown)
{
    printf("\t%.*s", shown.size ? (int)shown.size : 1, shown.size ? shown.bytes : "-");
}

static void print_number(uint64_t shown)
{
    if (shown == CAP_NOT_SAID)
        printf("\t-");
    else
        printf("\t%" PRIu64, shown);
}

static void print_comments(const struct cap_comments *shown)
{
    for (size_t i = 0; i < shown->count; i++)
        print_text(shown->list[i]);
}

static void print_packet(const struct cap_packet *packet)
{
    printf("packet\t%" PRIu32, packet->interface);
    print_number(packet->time);
    printf("\t%" PRIu32 "\t%" PRIu64, packet->flags, packet->dropped);
    print_bytes(packet->data);
    printf("\t%" PRIu32, packet->original_size);
    print_comments(&packet->comments);
}

static void print_statistics(const struct cap_statistics *statistics)
{
    printf("statistics\t%" PRIu32, statistics->interface);
    print_number(statistics->time);
    print_number(statistics->start);
    print_number(statistics->end);
    print_number(statistics->received);
    print_number(statistics->dropped);
    print_comments(&statistics->comments);
}

static void print_item(const struct cap_item *item)
{
    switch (item->kind) {
    case CAP_ITEM_SECTION:
        printf("section");
        print_text(item->section.hardware);
        print_text(item->section.os);
        print_text(item->section.application);
        break;
    case CAP_ITEM_INTERFACE:
        printf("interface\t%u\t%" PRIu32 "\t%" PRIu64, item->interface.linktype,
               item->interface.snaplen, item->interface.speed);
        print_text(item->interface.name);
        print_text(item->interface.description);
        break;
    case CAP_ITEM_PACKET:
        print_packet(&item->packet);
        break;
    case CAP_ITEM_STATISTICS:
        print_statistics(&item->statistics);
        break;
    case CAP_ITEM_SECRETS:
        printf("secrets\t%" PRIu32, item->secrets.type);
        print_bytes(item->secrets.data);
        break;
    case CAP_ITEM_OTHER:
        break;
    }
    putchar('\n');
}

static int read_file(const char *path)
{
    struct cap_failure failure;
    struct cap_reader *reader = cap_reader_open(path, &failure);
    struct cap_item item;

    if (!reader)
        fail(failure.text);
    while (cap_reader_next(reader, &item))
        print_item(&item);
    failure = *cap_reader_failure(reader);
    if (failure.kind != CAP_FAILURE_NONE)
        printf("failure\t%d\t%" PRIu64 "\t%s\n", (int)failure.kind, failure.offset, failure.text);
    cap_reader_close(reader);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t size = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
    uint32_t files = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 0) : 0;

    if (argc >= 3 && strcmp(argv[1], "write") == 0)
        return write_file(argv[2], size, files);
    if (argc == 3 && strcmp(argv[1], "read") == 0)
        return read_file(argv[2]);
    fail("usage: capture_file write FILE [SIZE [FILES]] | read FILE");
    return 2;
}
