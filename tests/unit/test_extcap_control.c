/* test_extcap_control.c - messages of Wireshark's toolbar, whole and in pieces.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "check.h"

#include <string.h>

#include "extcap_control.h"

/* "Set control 1 to abc", as Wireshark sends it. */
static const uint8_t set_text[] = {'T', 0, 0, 5, 1, EXTCAP_SET, 'a', 'b', 'c'};

static void test_encode(void)
{
    const struct extcap_message message = {1, EXTCAP_SET, "abc", 3};
    uint8_t out[16];

    CHECK_EQ_U64(extcap_encode(out, sizeof out, &message), sizeof set_text);
    CHECK_EQ_MEM(out, set_text, sizeof set_text);
    memset(out, 0xee, sizeof out);
    CHECK_EQ_U64(extcap_encode(out, sizeof set_text - 1, &message), sizeof set_text);
    CHECK_EQ_U64(out[0], 0xee);
}

static void test_encode_cuts_a_long_payload(void)
{
    static char text[EXTCAP_PAYLOAD_MAX + 100];
    static uint8_t out[sizeof text];
    const struct extcap_message message = {EXTCAP_NO_CONTROL, EXTCAP_STATUS_BAR, text, sizeof text};

    CHECK_EQ_U64(extcap_encode(out, sizeof out, &message), EXTCAP_HEAD_SIZE + EXTCAP_PAYLOAD_MAX);
    CHECK_EQ_U64(out[2] << 8 | out[3], EXTCAP_PAYLOAD_MAX + 2);
}

/* Messages in these bytes, given in pieces of this size. */
static unsigned count(struct extcap_parser *parser, const uint8_t *bytes, size_t size, size_t piece,
                      struct extcap_message *last)
{
    unsigned found = 0;

    for (size_t at = 0; at < size; at += piece) {
        const uint8_t *rest = bytes + at;
        size_t left = size - at < piece ? size - at : piece;

        while (extcap_decode(parser, &rest, &left, last))
            found++;
    }
    return found;
}

static void test_decode_in_pieces(void)
{
    static const uint8_t stream[] = {
        'T', 0, 0, 2, 0, EXTCAP_INITIALIZED, 'T', 0, 0, 5, 1, EXTCAP_SET, 'a', 'b', 'c',
        'T', 0, 0, 2, 2, EXTCAP_SET};

    for (size_t piece = 1; piece <= sizeof stream; piece++) {
        struct extcap_parser parser = {0};
        struct extcap_message message;

        CHECK_EQ_U64(count(&parser, stream, 15, piece, &message), 2);
        CHECK_EQ_U64(message.control, 1);
        CHECK_EQ_U64(message.size, 3);
        CHECK_EQ_STR(message.payload, "abc");
        CHECK_EQ_U64(count(&parser, stream + 15, 6, piece, &message), 1);
        CHECK_EQ_U64(message.control, 2);
        CHECK_EQ_U64(message.size, 0);
        CHECK(!parser.damaged);
    }
}

static void test_decode_keeps_the_start_of_a_long_payload(void)
{
    static uint8_t stream[EXTCAP_HEAD_SIZE + 5000 + sizeof set_text];
    const size_t length = 5002;

    memset(stream, 'x', sizeof stream);
    memcpy(stream, (const uint8_t[]){'T', 0, (uint8_t)(length >> 8), (uint8_t)length, 1, 1}, 6);
    memcpy(stream + sizeof stream - sizeof set_text, set_text, sizeof set_text);
    for (size_t piece = 1; piece < sizeof stream; piece += 97) {
        struct extcap_parser parser = {0};
        struct extcap_message message;

        CHECK_EQ_U64(count(&parser, stream, EXTCAP_HEAD_SIZE + 5000, piece, &message), 1);
        CHECK_EQ_U64(message.size, EXTCAP_PAYLOAD_MAX);
        CHECK_EQ_U64(
            count(&parser, stream + EXTCAP_HEAD_SIZE + 5000, sizeof set_text, piece, &message), 1);
        CHECK_EQ_STR(message.payload, "abc");
    }
}

static void test_decode_stops_at_what_is_no_message(void)
{
    static const uint8_t wrong[][8] = {{'t', 0, 0, 2, 0, 0}, {'T', 0, 0, 1, 0, 0}, {'T'}};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct extcap_parser parser = {0};
        struct extcap_message message;

        CHECK_EQ_U64(count(&parser, wrong[i], sizeof wrong[i], 3, &message), 0);
        CHECK(parser.damaged);
        CHECK_EQ_U64(count(&parser, set_text, sizeof set_text, 1, &message), 0);
    }
}

KD_TEST_MAIN({"encode", test_encode}, {"a long payload is cut", test_encode_cuts_a_long_payload},
             {"decode in pieces", test_decode_in_pieces},
             {"the start of a long payload", test_decode_keeps_the_start_of_a_long_payload},
             {"what is no message", test_decode_stops_at_what_is_no_message})
