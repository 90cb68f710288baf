/* test_capture.c - pcapng encoders, upper-PDU heads, and the reader on what encoders wrote.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "capture/reader.h"
#include "capture/upper_pdu.h"

#include "capture_bytes.h"
#include "check.h"

static void check_block(const char *expected, const uint8_t *block, size_t size)
{
    static struct bytes bytes;

    bytes.size = 0;
    add_hex(&bytes, expected);
    if (CHECK_EQ_U64(size, bytes.size))
        CHECK_EQ_MEM(block, bytes.data, size);
}

static void section_bytes(void)
{
    struct cap_section section = {
        .hardware = cap_text("x86"),
        .os = cap_text("Linux 6"),
        .application = cap_text("kdlens 1"),
    };
    uint8_t out[256];

    check_block("0a0d0d0a 40000000 4d3c2b1a 01000000 ffffffffffffffff"
                "02000300 78383600"
                "03000700 4c696e7578203600"
                "04000800 6b646c656e732031"
                "00000000 40000000",
                out, cap_encode_section(out, sizeof out, &section));
    section = (struct cap_section){.os = {NULL, 0}};
    check_block("0a0d0d0a 1c000000 4d3c2b1a 01000000 ffffffffffffffff 1c000000", out,
                cap_encode_section(out, sizeof out, &section));
}

static void interface_bytes(void)
{
    struct cap_text comment = cap_text("hi");
    struct cap_interface interface = {
        .linktype = 252,
        .snaplen = 0x10000,
        .name = cap_text("tap"),
        .description = cap_text("unix:a"),
        .speed = 115200,
        .filter = cap_text("udp"),
        .os = cap_text("X"),
        .hardware = cap_text("Y"),
        .comments = {&comment, 1},
    };
    uint8_t out[256];

    check_block("01000000 60000000 fc00 0000 00000100"
                "01000200 68690000"
                "02000300 74617000"
                "03000600 756e69783a610000"
                "08000800 00c2010000000000"
                "09000100 09000000"
                "0b000400 00756470"
                "0c000100 58000000"
                "0f000100 59000000"
                "00000000 60000000",
                out, cap_encode_interface(out, sizeof out, &interface));
}

static void packet_bytes(void)
{
    struct cap_text comments[] = {cap_text("one"), cap_text("second")};
    struct cap_packet packet = {
        .interface = 1,
        .time = 0x0102030405060708,
        .head = {(const uint8_t *)"he", 2},
        .data = {(const uint8_t *)"abc", 3},
        .original_size = 9,
        .flags = CAP_FLAG_OUTBOUND,
        .dropped = 7,
        .comments = {comments, 2},
    };
    uint8_t out[256];

    check_block("06000000 54000000 01000000 04030201 08070605 05000000 09000000"
                "6865616263 000000"
                "01000300 6f6e6500"
                "01000600 7365636f6e640000"
                "02000400 02000000"
                "04000800 0700000000000000"
                "00000000 54000000",
                out, cap_encode_packet(out, sizeof out, &packet));
    packet = (struct cap_packet){.data = {(const uint8_t *)"abcd", 4}};
    check_block("06000000 24000000 00000000 00000000 00000000 04000000 04000000"
                "61626364 24000000",
                out, cap_encode_packet(out, sizeof out, &packet));
}

static void statistics_bytes(void)
{
    struct cap_statistics statistics = {
        .interface = 0,
        .time = 0x100000002,
        .start = 0x300000004,
        .end = 0x500000006,
        .received = 8,
        .dropped = 0,
    };
    uint8_t out[256];

    check_block("05000000 4c000000 00000000 01000000 02000000"
                "02000800 03000000 04000000"
                "03000800 05000000 06000000"
                "04000800 0800000000000000"
                "05000800 0000000000000000"
                "00000000 4c000000",
                out, cap_encode_statistics(out, sizeof out, &statistics));
    statistics.start = statistics.end = CAP_NOT_SAID;
    statistics.received = statistics.dropped = CAP_NOT_SAID;
    check_block("05000000 18000000 00000000 01000000 02000000 18000000", out,
                cap_encode_statistics(out, sizeof out, &statistics));
}

static void secrets_bytes(void)
{
    struct cap_secrets secrets = {
        .type = CAP_SECRET_KDNK,
        .data = {(const uint8_t *)"1.2.3", 5},
    };
    uint8_t out[64];

    check_block("0a000000 1c000000 4b4e444b 05000000 312e322e33 000000 1c000000", out,
                cap_encode_secrets(out, sizeof out, &secrets));
    secrets.big_endian = true;
    check_block("0000000a 0000001c 4b444e4b 00000005 312e322e33 000000 0000001c", out,
                cap_encode_secrets(out, sizeof out, &secrets));
}

static void room(void)
{
    struct cap_packet packet = {.data = {(const uint8_t *)"abcd", 4}};
    uint8_t out[64];

    memset(out, 0xee, sizeof out);
    CHECK_EQ_U64(cap_encode_packet(NULL, 0, &packet), 36);
    CHECK_EQ_U64(cap_encode_packet(out, 35, &packet), 36);
    for (size_t i = 0; i < sizeof out; i++)
        CHECK_EQ_U64(out[i], 0xee);
    CHECK_EQ_U64(cap_encode_packet(out, 36, &packet), 36);
    CHECK_EQ_U64(out[35], 0);
    CHECK_EQ_U64(out[36], 0xee);
    packet.data.size = CAP_BLOCK_MAX - 31;
    CHECK_EQ_U64(cap_encode_packet(NULL, 0, &packet), 0);
    packet.data.size = CAP_BLOCK_MAX - 32;
    CHECK_EQ_U64(cap_encode_packet(NULL, 0, &packet), CAP_BLOCK_MAX);
    packet.data.size = SIZE_MAX / 2;
    CHECK_EQ_U64(cap_encode_packet(NULL, 0, &packet), 0);
}

/* U+20AC has three bytes; 65535 is a multiple of three, so one byte before it moves the cut. */
static void long_text(void)
{
    static char text[3 * 30000 + 2] = "x";
    static uint8_t out[70000];
    struct cap_text comment = {text, 1 + 3 * 30000};
    struct cap_packet packet = {.comments = {&comment, 1}};

    for (size_t i = 0; i < 30000; i++)
        memcpy(text + 1 + 3 * i, "\xe2\x82\xac", 3);
    CHECK_EQ_U64(cap_encode_packet(out, sizeof out, &packet), 32 + 4 + 65536 + 4);
    CHECK_EQ_U64(out[28 + 2] | out[28 + 3] << 8, 1 + 3 * 21844);
    CHECK_EQ_MEM(out + 32 + 65533 - 3, "\xe2\x82\xac\0\0\0", 6);
}

static void other_comments(void)
{
    struct cap_text comments[] = {cap_text("new"), cap_text("er")};
    struct cap_comments two = {comments, 2}, none = {NULL, 0};
    static struct bytes bytes;
    uint8_t out[128];

    for (int big = 0; big < 2; big++) {
        bytes.size = 0;
        bytes.big = big;
        begin_packet(&bytes, 0, 0, "abc");
        add_number_option(&bytes, 2, 4, 1);
        add_option(&bytes, 1, "old", 3);
        add_option(&bytes, 3, "hash", 4);
        add_option(&bytes, 0, "", 0);
        end_block(&bytes);
        struct cap_bytes block = {bytes.data, bytes.size};

        check_block(big ? "00000006 00000048 00000000 00000000 00000000 00000003 00000003"
                          "61626300 00010003 6e657700 00010002 65720000 00020004 00000001"
                          "00030004 68617368 00000000 00000048"
                        : "06000000 48000000 00000000 00000000 00000000 03000000 03000000"
                          "61626300 01000300 6e657700 01000200 65720000 02000400 01000000"
                          "03000400 68617368 00000000 48000000",
                    out, cap_encode_with_comments(out, sizeof out, block, big, &two));
        CHECK_EQ_U64(cap_encode_with_comments(out, sizeof out, block, big, &none), 56);
        block.size -= 4;
        set_number(&bytes, 20, 4, 40);
        CHECK_EQ_U64(cap_encode_with_comments(out, sizeof out, block, big, &none), 0);
    }
}

static void upper_pdu_bytes(void)
{
    uint8_t out[CAP_UPPER_PDU_HEAD_MAX];

    check_block("000c000c 6b645f73747265616d000000 00230004 00000001 00000000", out,
                cap_upper_pdu_encode(out, sizeof out, "kd_stream", CAP_RECEIVED));
    check_block("000c000c 6b645f73747265616d000000 00230004 00000000 00000000", out,
                cap_upper_pdu_encode(out, sizeof out, "kd_stream", CAP_SENT));
    check_block("000c0004 68747470 00000000", out,
                cap_upper_pdu_encode(out, sizeof out, "http", CAP_DIRECTION_UNKNOWN));
    CHECK_EQ_U64(cap_upper_pdu_encode(NULL, 0, "kd_stream", CAP_SENT), 28);
    CHECK_EQ_U64(
        cap_upper_pdu_encode(out, sizeof out, "a dissector with 32 characters..", CAP_SENT),
        CAP_UPPER_PDU_HEAD_MAX);
}

static bool decode(const char *hex, struct cap_upper_pdu *pdu)
{
    static struct bytes bytes;

    bytes.size = 0;
    add_hex(&bytes, hex);
    return cap_upper_pdu_decode(bytes.data, bytes.size, pdu);
}

static void upper_pdu_decoded(void)
{
    struct cap_upper_pdu pdu;

    CHECK(decode("000c000c 6b645f73747265616d000000 00230004 00000001 00000000 62", &pdu));
    CHECK_EQ_U64(pdu.dissector.size, 9);
    CHECK_EQ_MEM(pdu.dissector.bytes, "kd_stream", 9);
    CHECK_EQ_U64(pdu.name_tag, 12);
    CHECK_EQ_U64(pdu.direction, CAP_RECEIVED);
    CHECK_EQ_U64(pdu.data.size, 1);
    CHECK_EQ_U64(pdu.data.bytes[0], 0x62);
    /* another writer: a name of odd length, addresses, no direction, no data */
    CHECK(decode("00140004 7f000001 000d0005 6b645f6865 00000000", &pdu));
    CHECK_EQ_U64(pdu.dissector.size, 5);
    CHECK_EQ_U64(pdu.name_tag, 13);
    CHECK_EQ_U64(pdu.direction, CAP_DIRECTION_UNKNOWN);
    CHECK_EQ_U64(pdu.data.size, 0);
    CHECK(decode("00230004 ffffffff 00000000", &pdu));
    CHECK_EQ_U64(pdu.direction, CAP_DIRECTION_UNKNOWN);
    CHECK_EQ_U64(pdu.dissector.size, 0);
    CHECK(!decode("", &pdu));
    CHECK(!decode("000c", &pdu));
    CHECK(!decode("000c0008 6b64", &pdu));
    CHECK(!decode("000c0004 68747470", &pdu));
}

/* --- Round trip */

struct memory {
    const uint8_t *at;
    size_t left;
    size_t step; /* bytes a call */
};

static ptrdiff_t read_memory(void *context, void *buffer, size_t size, char *error,
                             size_t error_size)
{
    struct memory *memory = context;

    (void)error;
    (void)error_size;
    if (size > memory->left)
        size = memory->left;
    if (size > memory->step)
        size = memory->step;
    if (size)
        memcpy(buffer, memory->at, size);
    memory->at += size;
    memory->left -= size;
    return (ptrdiff_t)size;
}

static void check_text(struct cap_text text, const char *expected)
{
    if (CHECK_EQ_U64(text.size, strlen(expected)) && text.size)
        CHECK_EQ_MEM(text.bytes, expected, text.size);
}

static size_t written(uint8_t *out, size_t size)
{
    struct cap_text comments[] = {cap_text("stored"), cap_text("twice")};
    struct cap_section section = {.application = cap_text("test"), .comments = {comments, 1}};
    struct cap_interface interface = {
        .linktype = 252,
        .name = cap_text("n"),
        .description = cap_text("d"),
        .filter = cap_text("f"),
        .hardware = cap_text("h"),
        .os = cap_text("o"),
        .speed = 9600,
    };
    struct cap_secrets secrets = {CAP_SECRET_KDNK, {(const uint8_t *)"k", 1}, false};
    struct cap_packet packet = {
        .time = 1700000000123456789,
        .head = {(const uint8_t *)"ab", 2},
        .data = {(const uint8_t *)"cde", 3},
        .original_size = 70,
        .flags = CAP_FLAG_INBOUND,
        .dropped = 3,
        .comments = {comments, 2},
    };
    struct cap_statistics statistics = {
        .time = 5, .start = 1, .end = 4, .received = 2, .dropped = CAP_NOT_SAID};
    size_t at = cap_encode_section(out, size, &section);

    at += cap_encode_interface(out + at, size - at, &interface);
    at += cap_encode_secrets(out + at, size - at, &secrets);
    at += cap_encode_packet(out + at, size - at, &packet);
    return at + cap_encode_statistics(out + at, size - at, &statistics);
}

static void check_packet(const struct cap_item *item)
{
    const struct cap_packet *packet = &item->packet;

    CHECK_EQ_U64(item->kind, CAP_ITEM_PACKET);
    CHECK_EQ_U64(item->linktype, 252);
    CHECK_EQ_U64(packet->time, 1700000000123456789);
    CHECK_EQ_U64(packet->head.size, 0);
    if (CHECK_EQ_U64(packet->data.size, 5))
        CHECK_EQ_MEM(packet->data.bytes, "abcde", 5);
    CHECK_EQ_U64(packet->original_size, 70);
    CHECK_EQ_U64(packet->flags, CAP_FLAG_INBOUND);
    CHECK_EQ_U64(packet->dropped, 3);
    if (CHECK_EQ_U64(packet->comments.count, 2)) {
        check_text(packet->comments.list[0], "stored");
        check_text(packet->comments.list[1], "twice");
    }
}

static void check_interface(const struct cap_item *item)
{
    CHECK_EQ_U64(item->kind, CAP_ITEM_INTERFACE);
    CHECK_EQ_U64(item->interface.linktype, 252);
    check_text(item->interface.name, "n");
    check_text(item->interface.description, "d");
    check_text(item->interface.filter, "f");
    check_text(item->interface.hardware, "h");
    check_text(item->interface.os, "o");
    CHECK_EQ_U64(item->interface.speed, 9600);
    CHECK_EQ_U64(item->interface.resolution, 9);
}

static void round_trip(void)
{
    uint8_t file[512];
    size_t size = written(file, sizeof file);

    for (size_t step = 1; step < sizeof file; step *= 7) {
        struct memory memory = {file, size, step};
        struct cap_failure failure;
        struct cap_reader *reader = cap_reader_open_function(read_memory, &memory, &failure);
        struct cap_item item;

        CHECK(cap_reader_next(reader, &item));
        CHECK_EQ_U64(item.kind, CAP_ITEM_SECTION);
        check_text(item.section.application, "test");
        CHECK_EQ_U64(item.section.comments.count, 1);
        CHECK(cap_reader_next(reader, &item));
        check_interface(&item);
        CHECK(cap_reader_next(reader, &item));
        CHECK_EQ_U64(item.kind, CAP_ITEM_SECRETS);
        CHECK_EQ_U64(item.secrets.type, 0x4b444e4b);
        CHECK_EQ_U64(item.secrets.data.size, 1);
        CHECK(cap_reader_next(reader, &item));
        check_packet(&item);
        CHECK(cap_reader_next(reader, &item));
        CHECK_EQ_U64(item.kind, CAP_ITEM_STATISTICS);
        CHECK_EQ_U64(item.statistics.time, 5);
        CHECK_EQ_U64(item.statistics.start, 1);
        CHECK_EQ_U64(item.statistics.end, 4);
        CHECK_EQ_U64(item.statistics.received, 2);
        CHECK_EQ_U64(item.statistics.dropped, CAP_NOT_SAID);
        CHECK(!cap_reader_next(reader, &item));
        CHECK_EQ_U64(cap_reader_failure(reader)->kind, CAP_FAILURE_NONE);
        CHECK(cap_reader_is_pcapng(reader));
        CHECK(!cap_reader_is_gzip(reader));
        cap_reader_close(reader);
    }
}

KD_TEST_MAIN({"section header bytes", section_bytes}, {"interface bytes", interface_bytes},
             {"packet bytes", packet_bytes}, {"statistics bytes", statistics_bytes},
             {"secrets bytes", secrets_bytes}, {"room for a block", room},
             {"text longer than an option", long_text}, {"comments replaced", other_comments},
             {"upper-PDU head bytes", upper_pdu_bytes}, {"upper-PDU heads read", upper_pdu_decoded},
             {"written, then read", round_trip})
