/* test_capture_reader.c - the reader on files written by hand: both byte orders, damage, gzip.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <zlib.h>

#include "capture/reader.h"

#include "capture_bytes.h"
#include "check.h"

struct memory {
    const uint8_t *at;
    size_t left;
    bool broken; /* the end is a read error */
    size_t step; /* bytes a call, 0: any number */
};

static ptrdiff_t read_memory(void *context, void *buffer, size_t size, char *error,
                             size_t error_size)
{
    struct memory *memory = context;

    if (memory->left == 0 && memory->broken) {
        snprintf(error, error_size, "the cable is out");
        return -1;
    }
    if (size > memory->left)
        size = memory->left;
    if (memory->step && size > memory->step)
        size = memory->step;
    if (size)
        memcpy(buffer, memory->at, size);
    memory->at += size;
    memory->left -= size;
    return (ptrdiff_t)size;
}

static struct memory memory;

static struct cap_reader *open_bytes(const void *data, size_t size)
{
    struct cap_failure failure;

    memory = (struct memory){.at = data, .left = size};
    return cap_reader_open_function(read_memory, &memory, &failure);
}

/* What a file gives, as text: s section, i interface, p packet, t statistics, k secrets, o other.
 */
struct outcome {
    char items[64];
    struct cap_failure failure;
};

static struct outcome read_all(const void *data, size_t size, bool others)
{
    struct cap_reader *reader = open_bytes(data, size);
    struct outcome outcome = {.items = ""};
    struct cap_item item;
    size_t count = 0;

    if (others)
        cap_reader_want_others(reader);
    while (cap_reader_next(reader, &item)) {
        if (count + 1 < sizeof outcome.items)
            outcome.items[count++] = "siptko"[item.kind];
    }
    CHECK(!cap_reader_next(reader, &item));
    outcome.failure = *cap_reader_failure(reader);
    CHECK((outcome.failure.kind == CAP_FAILURE_NONE) == (outcome.failure.text[0] == '\0'));
    cap_reader_close(reader);
    return outcome;
}

static struct bytes file;

static void new_file(bool big)
{
    file.size = 0;
    file.big = big;
}

/* --- Files as they should be */

/* Byte by byte as the format's description has it. */
static void literal_files(void)
{
    static const char *const files[] = {
        "0a0d0d0a 1c000000 4d3c2b1a 01000000 ffffffffffffffff 1c000000"
        "01000000 14000000 9300 0000 00010000 14000000"
        "06000000 34000000 00000000 5c1e0600 40a8c000 05000000 06000000 6b642121 62000000"
        "02000400 01000000 00000000 34000000",
        "0a0d0d0a 0000001c 1a2b3c4d 00010000 ffffffffffffffff 0000001c"
        "00000001 00000014 0093 0000 00000100 00000014"
        "00000006 00000034 00000000 00061e5c 00c0a840 00000005 00000006 6b642121 62000000"
        "00020004 00000001 00000000 00000034",
    };

    for (size_t i = 0; i < 2; i++) {
        struct cap_reader *reader;
        struct cap_item item;

        new_file(false);
        add_hex(&file, files[i]);
        reader = open_bytes(file.data, file.size);
        CHECK(cap_reader_next(reader, &item));
        CHECK(cap_reader_next(reader, &item));
        CHECK_EQ_U64(item.kind, CAP_ITEM_INTERFACE);
        CHECK_EQ_U64(item.offset, 28);
        CHECK_EQ_U64(item.interface.linktype, 147);
        CHECK_EQ_U64(item.interface.snaplen, 256);
        CHECK_EQ_U64(item.interface.resolution, 6);
        CHECK(cap_reader_next(reader, &item));
        CHECK_EQ_U64(item.kind, CAP_ITEM_PACKET);
        CHECK_EQ_U64(item.big_endian, i);
        CHECK_EQ_U64(item.offset, 48);
        CHECK_EQ_U64(item.block.size, 52);
        CHECK_EQ_U64(item.packet.time, UINT64_C(0x00061e5c00c0a840) * 1000);
        CHECK_EQ_U64(item.packet.original_size, 6);
        CHECK_EQ_U64(item.packet.flags, CAP_FLAG_INBOUND);
        if (CHECK_EQ_U64(item.packet.data.size, 5))
            CHECK_EQ_MEM(item.packet.data.bytes, "kd!!b", 5);
        CHECK(!cap_reader_next(reader, &item));
        CHECK_EQ_U64(cap_reader_failure(reader)->kind, CAP_FAILURE_NONE);
        cap_reader_close(reader);
    }
}

/* The second section has the other byte order and interfaces of its own. */
static void several_sections(void)
{
    struct cap_reader *reader;
    struct cap_item item;
    static const uint16_t linktypes[] = {1, 252, 252};
    size_t packets = 0;

    new_file(false);
    add_section(&file);
    add_interface(&file, 1, 6);
    add_interface(&file, 252, 9);
    add_packet(&file, 0, 5, "a");
    add_packet(&file, 1, 5, "b");
    file.big = true;
    add_section(&file);
    add_interface(&file, 252, 3);
    add_packet(&file, 0, 5, "c");
    reader = open_bytes(file.data, file.size);
    while (cap_reader_next(reader, &item)) {
        static const uint64_t times[] = {5000, 5, 5000000};

        if (item.kind != CAP_ITEM_PACKET)
            continue;
        CHECK_EQ_U64(item.linktype, linktypes[packets]);
        CHECK_EQ_U64(item.packet.time, times[packets]);
        packets++;
    }
    CHECK_EQ_U64(packets, 3);
    CHECK_EQ_U64(cap_reader_failure(reader)->kind, CAP_FAILURE_NONE);
    cap_reader_close(reader);
    add_packet(&file, 1, 5, "an interface of the first section");
    CHECK_EQ_STR(read_all(file.data, file.size, false).items, "siippsip");
    CHECK_EQ_U64(read_all(file.data, file.size, false).failure.kind, CAP_FAILURE_CORRUPT);
}

static void check_time(uint8_t resolution, int64_t offset, uint64_t units, uint64_t expected)
{
    struct cap_reader *reader;
    struct cap_item item;

    new_file(true);
    add_section(&file);
    begin_block(&file, 1);
    add_number(&file, 2, 252);
    add_number(&file, 6, 0);
    add_number_option(&file, 9, 1, resolution);
    add_number_option(&file, 14, 8, (uint64_t)offset);
    end_block(&file);
    add_packet(&file, 0, units, "");
    reader = open_bytes(file.data, file.size);
    for (int i = 0; i < 3; i++)
        CHECK(cap_reader_next(reader, &item));
    CHECK_EQ_U64(item.packet.time, expected);
    cap_reader_close(reader);
}

static void times(void)
{
    check_time(0, 0, 1700000000, UINT64_C(1700000000000000000));
    check_time(6, 0, 1700000000000001, UINT64_C(1700000000000001000));
    check_time(9, 0, 1700000000123456789, UINT64_C(1700000000123456789));
    check_time(12, 0, 1700000000123456789, UINT64_C(1700000000123456));
    check_time(19, 0, 12345678901234567890u, UINT64_C(1234567890));
    check_time(20, 0, 12345678901234567890u, UINT64_C(123456789));
    check_time(28, 0, 12345678901234567890u, UINT64_C(1));
    check_time(0x7f, 0, UINT64_MAX, 0);
    check_time(0x80, 0, 7, UINT64_C(7000000000));
    check_time(0x80 | 10, 0, 1025, UINT64_C(1000976562));
    check_time(0x80 | 32, 0, UINT64_C(0x180000000), UINT64_C(1500000000));
    check_time(0x80 | 63, 0, UINT64_C(0xc000000000000000), UINT64_C(1500000000));
    check_time(0x80 | 64, 0, UINT64_C(0x8000000000000000), UINT64_C(500000000));
    check_time(0xff, 0, UINT64_MAX, 0);
    check_time(6, 100, 1, UINT64_C(100000001000));
    check_time(6, -1, 2500000, UINT64_C(1500000000));
    check_time(6, -3, 2500000, 0);
    check_time(0, 0, UINT64_MAX, CAP_NOT_SAID - 1);
    check_time(0, INT64_MAX, UINT64_MAX, CAP_NOT_SAID - 1);
    check_time(9, INT64_MIN, UINT64_MAX, 0);
}

static void check_old_packet(const struct cap_item *item)
{
    CHECK_EQ_U64(item->kind, CAP_ITEM_PACKET);
    CHECK_EQ_U64(item->type, CAP_BLOCK_OLD_PACKET);
    CHECK_EQ_U64(item->packet.interface, 0);
    CHECK_EQ_U64(item->packet.dropped, 4);
    CHECK_EQ_U64(item->packet.time, 3000);
    CHECK_EQ_U64(item->packet.flags, CAP_FLAG_OUTBOUND);
    CHECK_EQ_MEM(item->packet.data.bytes, "old", 3);
}

/* Simple and old packet blocks, and blocks of types that are not read. */
static void other_blocks(void)
{
    for (int big = 0; big < 2; big++) {
        struct cap_reader *reader;
        struct cap_item item;

        new_file(big);
        add_section(&file);
        add_interface(&file, 252, 6);
        begin_block(&file, 0x0bad);
        add_hex(&file, "01020304");
        end_block(&file);
        begin_block(&file, 2);
        add_number(&file, 2, 0);
        add_number(&file, 2, 4);
        add_number(&file, 4, 0);
        add_number(&file, 4, 3);
        add_number(&file, 4, 3);
        add_number(&file, 4, 3);
        add_hex(&file, "6f6c6400");
        add_number_option(&file, 2, 4, 2);
        end_block(&file);
        begin_block(&file, 3);
        add_number(&file, 4, 2);
        add_hex(&file, "53500000");
        end_block(&file);
        reader = open_bytes(file.data, file.size);
        for (int i = 0; i < 3; i++)
            CHECK(cap_reader_next(reader, &item));
        check_old_packet(&item);
        CHECK(cap_reader_next(reader, &item));
        CHECK_EQ_U64(item.packet.time, CAP_NOT_SAID);
        CHECK_EQ_U64(item.packet.data.size, 2);
        CHECK_EQ_MEM(item.packet.data.bytes, "SP", 2);
        cap_reader_close(reader);
        CHECK_EQ_STR(read_all(file.data, file.size, false).items, "sipp");
        CHECK_EQ_STR(read_all(file.data, file.size, true).items, "siopp");
    }
}

/* A simple packet block does not say how much was captured: no more than the interface's limit. */
static void simple_packet_limit(void)
{
    struct cap_reader *reader;
    struct cap_item item;

    new_file(false);
    add_section(&file);
    add_interface(&file, 252, 6);
    set_number(&file, 28 + 12, 4, 5);
    begin_block(&file, 3);
    add_number(&file, 4, 100);
    add(&file, "12345", 5);
    end_block(&file);
    reader = open_bytes(file.data, file.size);
    for (int i = 0; i < 3; i++)
        CHECK(cap_reader_next(reader, &item));
    CHECK_EQ_U64(item.packet.data.size, 5);
    CHECK_EQ_U64(item.packet.original_size, 100);
    cap_reader_close(reader);
}

static void pcap_files(void)
{
    static const struct {
        const char *magic;
        bool big;
        uint32_t fraction;
    } kinds[] = {
        {"d4c3b2a1", false, 1000},
        {"a1b2c3d4", true, 1000},
        {"4d3cb2a1", false, 1},
        {"a1b23c4d", true, 1},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct cap_reader *reader;
        struct cap_item item;

        new_file(kinds[i].big);
        add_pcap_header(&file, 0, 0xf0000001); /* an Ethernet checksum's length above the type */
        add_pcap_record(&file, 4000000000, 7, "abc");
        add_pcap_record(&file, 1, 0, "");
        file.size = 0;
        add_hex(&file, kinds[i].magic);
        file.size = 24 + 16 + 3 + 16;
        reader = open_bytes(file.data, file.size);
        CHECK(cap_reader_next(reader, &item));
        CHECK_EQ_U64(item.kind, CAP_ITEM_SECTION);
        CHECK(cap_reader_next(reader, &item));
        CHECK_EQ_U64(item.kind, CAP_ITEM_INTERFACE);
        CHECK_EQ_U64(item.interface.linktype, 1);
        CHECK_EQ_U64(item.interface.snaplen, 65535);
        CHECK(cap_reader_next(reader, &item));
        CHECK_EQ_U64(item.packet.time, 4000000000000000000 + 7 * kinds[i].fraction);
        CHECK_EQ_U64(item.packet.original_size, 4);
        CHECK_EQ_MEM(item.packet.data.bytes, "abc", 3);
        CHECK(cap_reader_next(reader, &item));
        CHECK_EQ_U64(item.packet.data.size, 0);
        CHECK(!cap_reader_next(reader, &item));
        CHECK_EQ_U64(cap_reader_failure(reader)->kind, CAP_FAILURE_NONE);
        CHECK(!cap_reader_is_pcapng(reader));
        cap_reader_close(reader);
    }
}

/* --- Damage */

/* Three packets, whose blocks begin at 60, 104 and 140; the first has an option. */
static void good_file(void)
{
    new_file(false);
    add_section(&file);
    add_interface(&file, 252, 9);
    begin_packet(&file, 0, 1, "one");
    add_number_option(&file, 2, 4, 1);
    end_block(&file);
    add_packet(&file, 0, 2, "two");
    add_packet(&file, 0, 3, "three");
}

static void hostile(void)
{
    static const struct {
        const char *what;
        size_t at, size;
        uint64_t value;
        const char *items;
        enum cap_failure_kind kind;
        uint64_t offset;
    } cases[] = {
        {"no block", 0, 4, 0x21202020, "", CAP_FAILURE_FORMAT, 0},
        {"byte order", 8, 4, 0, "", CAP_FAILURE_CORRUPT, 0},
        {"section too short", 4, 4, 16, "", CAP_FAILURE_CORRUPT, 0},
        {"version", 12, 2, 2, "", CAP_FAILURE_FORMAT, 0},
        {"size 0", 108, 4, 0, "sip", CAP_FAILURE_CORRUPT, 104},
        {"size 8", 108, 4, 8, "sip", CAP_FAILURE_CORRUPT, 104},
        {"odd size", 108, 4, 37, "sip", CAP_FAILURE_CORRUPT, 104},
        {"size above the limit", 108, 4, CAP_BLOCK_MAX + 4, "sip", CAP_FAILURE_LIMIT, 104},
        {"size beyond the end", 108, 4, CAP_BLOCK_MAX, "sip", CAP_FAILURE_TRUNCATED, 104},
        {"largest size", 108, 4, 0xfffffffc, "sip", CAP_FAILURE_LIMIT, 104},
        {"sizes differ", 136, 4, 40, "sip", CAP_FAILURE_CORRUPT, 104},
        {"interface", 112, 4, 1, "sip", CAP_FAILURE_CORRUPT, 104},
        {"captured", 124, 4, 5, "sip", CAP_FAILURE_CORRUPT, 104},
        {"captured all", 124, 4, 0xffffffff, "sip", CAP_FAILURE_CORRUPT, 104},
        {"unknown type", 104, 4, 0x80000001, "sipp", CAP_FAILURE_NONE, 0},
        {"second section", 104, 4, 0x0a0d0d0a, "sip", CAP_FAILURE_CORRUPT, 104},
        {"option too long", 94, 2, 0xffff, "sippp", CAP_FAILURE_NONE, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome outcome;
        unsigned before = check_failures;

        good_file();
        set_number(&file, cases[i].at, cases[i].size, cases[i].value);
        outcome = read_all(file.data, file.size, false);
        CHECK_EQ_STR(outcome.items, cases[i].items);
        CHECK_EQ_U64(outcome.failure.kind, cases[i].kind);
        CHECK_EQ_U64(outcome.failure.offset, cases[i].offset);
        if (check_failures != before)
            fprintf(stderr, "  in case \"%s\": %s\n", cases[i].what, outcome.failure.text);
    }
}

/* A block of each type that is read, with nothing in it. */
static void empty_blocks(void)
{
    static const uint32_t types[] = {1, 2, 3, 5, 6, 10};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct outcome outcome;

        new_file(false);
        add_section(&file);
        add_interface(&file, 252, 9);
        begin_block(&file, types[i]);
        end_block(&file);
        outcome = read_all(file.data, file.size, false);
        CHECK_EQ_STR(outcome.items, "si");
        CHECK_EQ_U64(outcome.failure.kind, CAP_FAILURE_CORRUPT);
        CHECK_EQ_U64(outcome.failure.offset, 60);
    }
}

/* Wherever the file ends, whole blocks are delivered and the place is named. */
static void truncated(void)
{
    static const size_t ends[] = {28, 60, 104, 140};

    good_file();
    for (size_t size = 0; size < file.size; size++) {
        struct outcome outcome = read_all(file.data, size, false);
        size_t whole = 0;

        while (whole < 4 && ends[whole] <= size)
            whole++;
        CHECK_EQ_U64(strlen(outcome.items), whole);
        if (size == 0)
            CHECK_EQ_U64(outcome.failure.kind, CAP_FAILURE_FORMAT);
        else if (whole && ends[whole - 1] == size)
            CHECK_EQ_U64(outcome.failure.kind, CAP_FAILURE_NONE);
        else {
            CHECK_EQ_U64(outcome.failure.kind, CAP_FAILURE_TRUNCATED);
            CHECK_EQ_U64(outcome.failure.offset, whole ? ends[whole - 1] : 0);
        }
    }
}

static void truncated_pcap(void)
{
    struct outcome outcome;

    new_file(false);
    add_pcap_header(&file, 0xa1b2c3d4, 252);
    add_pcap_record(&file, 1, 2, "abc");
    add_pcap_record(&file, 1, 2, "abc");
    outcome = read_all(file.data, file.size - 1, false);
    CHECK_EQ_STR(outcome.items, "sip");
    CHECK_EQ_U64(outcome.failure.kind, CAP_FAILURE_TRUNCATED);
    CHECK_EQ_U64(outcome.failure.offset, 43);
    set_number(&file, 43 + 8, 4, 0x7fffffff);
    outcome = read_all(file.data, file.size, false);
    CHECK_EQ_U64(outcome.failure.kind, CAP_FAILURE_CORRUPT);
    CHECK_EQ_STR(read_all(file.data, 20, false).failure.text,
                 "the file ends in the middle of the file header");
    set_number(&file, 0, 4, 0xa1b2cd34);
    CHECK_EQ_U64(read_all(file.data, file.size, false).failure.kind, CAP_FAILURE_FORMAT);
}

/* What is damaged is the list of options; packets and the options before the damage are good. */
static void damaged_options(void)
{
    struct cap_reader *reader;
    struct cap_item item;

    good_file();
    set_number(&file, 94, 2, 9);
    reader = open_bytes(file.data, file.size);
    for (int i = 0; i < 3; i++)
        CHECK(cap_reader_next(reader, &item));
    CHECK(item.damaged_options);
    CHECK_EQ_U64(item.packet.flags, 0);
    CHECK(cap_reader_next(reader, &item));
    CHECK(!item.damaged_options);
    cap_reader_close(reader);
}

static void many_comments(void)
{
    size_t count = CAP_COMMENTS_MAX + 10, size = 28 + 20 + 32 + 4 * count;
    uint8_t *large = calloc(1, size);
    struct cap_reader *reader;
    struct cap_item item;

    new_file(false);
    add_section(&file);
    add_interface(&file, 252, 6);
    begin_packet(&file, 0, 0, "");
    set_number(&file, 52, 4, 32 + 4 * count);
    memcpy(large, file.data, file.size);
    for (size_t i = 0; i < count; i++)
        large[file.size + 4 * i] = 1;
    file.size = 0;
    add_number(&file, 4, 32 + 4 * count);
    memcpy(large + size - 4, file.data, 4);
    reader = open_bytes(large, size);
    for (int i = 0; i < 3; i++)
        CHECK(cap_reader_next(reader, &item));
    CHECK_EQ_U64(item.packet.comments.count, CAP_COMMENTS_MAX);
    CHECK_EQ_U64(item.packet.comments.list[CAP_COMMENTS_MAX - 1].size, 0);
    cap_reader_close(reader);
    free(large);
}

static void read_errors(void)
{
    struct cap_failure failure;
    struct cap_reader *reader;
    struct cap_item item;

    CHECK(!cap_reader_open("no such folder/file.pcapng", &failure));
    CHECK_EQ_U64(failure.kind, CAP_FAILURE_SYSTEM);
    CHECK_EQ_STR(failure.text, "No such file or directory");
    good_file();
    reader = open_bytes(file.data, file.size);
    memory.broken = true;
    for (int i = 0; i < 5; i++)
        CHECK(cap_reader_next(reader, &item));
    CHECK(!cap_reader_next(reader, &item));
    CHECK_EQ_U64(cap_reader_failure(reader)->kind, CAP_FAILURE_SYSTEM);
    CHECK_EQ_STR(cap_reader_failure(reader)->text, "the cable is out");
    cap_reader_close(reader);
}

/* --- gzip */

static size_t gzip(const uint8_t *data, size_t size, uint8_t *out, size_t room, bool finish)
{
    z_stream packer = {.next_in = (uint8_t *)data,
                       .avail_in = (uInt)size,
                       .next_out = out,
                       .avail_out = (uInt)room};

    deflateInit2(&packer, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    deflate(&packer, finish ? Z_FINISH : Z_SYNC_FLUSH);
    size = packer.total_out;
    deflateEnd(&packer);
    return size;
}

static void gzip_files(void)
{
    uint8_t packed[1024];
    struct outcome outcome;
    size_t size, first;

    good_file();
    size = gzip(file.data, file.size, packed, sizeof packed, true);
    CHECK_EQ_STR(read_all(packed, size, false).items, "sippp");
    CHECK_EQ_U64(read_all(packed, size, false).failure.kind, CAP_FAILURE_NONE);
    /* two members that meet in the middle of a block; then padding */
    first = gzip(file.data, 77, packed, sizeof packed, true);
    size =
        first + gzip(file.data + 77, file.size - 77, packed + first, sizeof packed - first, true);
    memset(packed + size, 0, 16);
    CHECK_EQ_STR(read_all(packed, size + 16, false).items, "sippp");
    CHECK_EQ_U64(read_all(packed, size + 16, false).failure.kind, CAP_FAILURE_NONE);
    outcome = read_all(packed, first, false);
    CHECK_EQ_STR(outcome.items, "si");
    CHECK_EQ_U64(outcome.failure.kind, CAP_FAILURE_TRUNCATED);
    CHECK_EQ_U64(outcome.failure.offset, 60);
}

static void damaged_gzip(void)
{
    uint8_t packed[1024];
    struct outcome outcome;
    size_t size;

    good_file();
    /* flushed, never finished: as after a kill */
    size = gzip(file.data, file.size, packed, sizeof packed, false);
    outcome = read_all(packed, size, false);
    CHECK_EQ_STR(outcome.items, "sippp");
    CHECK_EQ_U64(outcome.failure.kind, CAP_FAILURE_TRUNCATED);
    CHECK_EQ_U64(outcome.failure.offset, file.size);
    size = gzip(file.data, file.size, packed, sizeof packed, true);
    packed[size - 5] ^= 1; /* the checksum: noticed after all was delivered */
    outcome = read_all(packed, size, false);
    CHECK_EQ_U64(outcome.failure.kind, CAP_FAILURE_CORRUPT);
    CHECK_EQ_STR(outcome.failure.text, "the gzip data are damaged");
    packed[3] = 0xff;
    CHECK_EQ_U64(read_all(packed, size, false).failure.kind, CAP_FAILURE_CORRUPT);
    for (size_t end = 1; end < size; end++)
        CHECK(read_all(packed, end, false).failure.kind != CAP_FAILURE_NONE);
}

/* Much output of little input: zlib still has some when the input has come to its end. */
static void gzip_in_pieces(void)
{
    static uint8_t large[300000], packed[2000];

    new_file(false);
    add_section(&file);
    add_interface(&file, 252, 9);
    begin_packet(&file, 0, 0, "");
    set_number(&file, 64, 4, sizeof large - 60);
    set_number(&file, 80, 4, sizeof large - 92);
    memset(large, 'x', sizeof large);
    memcpy(large, file.data, file.size);
    file.size = 0;
    add_number(&file, 4, sizeof large - 60);
    memcpy(large + sizeof large - 4, file.data, 4);
    for (int finish = 0; finish < 2; finish++) {
        size_t size = gzip(large, sizeof large, packed, sizeof packed, finish);

        for (size_t step = 0; step < 3; step++) {
            struct cap_reader *reader = open_bytes(packed, size);
            struct cap_item item;

            memory.step = step;
            for (int i = 0; i < 3; i++)
                CHECK(cap_reader_next(reader, &item));
            CHECK_EQ_U64(item.packet.data.size, sizeof large - 92);
            CHECK(!cap_reader_next(reader, &item));
            CHECK_EQ_U64(cap_reader_failure(reader)->kind,
                         finish ? CAP_FAILURE_NONE : CAP_FAILURE_TRUNCATED);
            CHECK(cap_reader_is_gzip(reader));
            cap_reader_close(reader);
        }
    }
}

KD_TEST_MAIN({"literal files of both byte orders", literal_files},
             {"several sections", several_sections}, {"times", times},
             {"simple, old and unknown blocks", other_blocks},
             {"simple packets and the limit", simple_packet_limit}, {"pcap", pcap_files},
             {"hostile fields", hostile}, {"empty blocks", empty_blocks},
             {"cut at every byte", truncated}, {"cut pcap", truncated_pcap},
             {"damaged options", damaged_options}, {"more comments than are kept", many_comments},
             {"read errors", read_errors}, {"gzip", gzip_files}, {"damaged gzip", damaged_gzip},
             {"gzip in pieces", gzip_in_pieces})
