/* test_kdnet.c - KDNET keys, key-log lines, datagrams of all versions, against published values.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The expected bytes come from recordings of WinDbg and were computed by programs that share
 * nothing with the code under test; docs/protocol.md tells where each was seen. SHA-256 of whole
 * datagrams is GLib's.
 */
#include <glib.h>
#include <stdlib.h>

#include "analysis/kdnet.h"
#include "analysis/kdnet_key.h"
#include "check.h"

#define MAX_DATAGRAM    2048
#define POKE_PLAIN_SIZE 352

/* Lower-case hex to bytes; returns the number of bytes. */
static size_t unhex(const char *hex, uint8_t *out, size_t capacity)
{
    size_t size = strlen(hex) / 2;

    if (!CHECK(size <= capacity))
        return 0;
    for (size_t i = 0; i < size; i++)
        out[i] =
            (uint8_t)(g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));
    return size;
}

static void check_hex(const void *bytes, const char *hex, int line)
{
    uint8_t expected[MAX_DATAGRAM];
    size_t size = unhex(hex, expected, sizeof expected);

    check_mem(bytes, expected, size, __FILE__, line, hex);
}
#define CHECK_HEX(bytes, hex) check_hex((bytes), (hex), __LINE__)

static void check_sha256(const uint8_t *bytes, size_t size, const char *expected)
{
    char *digest = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, size);

    CHECK_EQ_STR(digest, expected);
    g_free(digest);
}

static void make_key(const char *text, uint8_t key[KDNET_KEY_SIZE])
{
    CHECK_EQ_U64(kdnet_key_parse(text, strlen(text), key, NULL), KDNET_KEY_OK);
}

/* A cipher for the control channel or version 1. */
static struct kdnet_cipher *control_cipher(const char *key_text)
{
    uint8_t key[KDNET_KEY_SIZE];
    struct kdnet_cipher *cipher;

    make_key(key_text, key);
    cipher = kdnet_cipher_new(key, key);
    if (!cipher)
        abort();
    return cipher;
}

static void key_vectors(void)
{
    static const struct {
        const char *text, *hex;
    } vectors[] = {
        {"8.8.8.8", "0800000000000000080000000000000008000000000000000800000000000000"},
        {"1.2.3.4", "0100000000000000020000000000000003000000000000000400000000000000"},
        {"3w5e11264sgsf.0.0.1", "ffffffffffffffff000000000000000000000000000000000100000000000000"},
        {"2steg4fzbj2sz.23418vzkd4ko3.1g34ou07z4pev.1sp3yo9yz874p",
         "f3dbceb8325327b8a32e9a5b5f793389a758a22d8f99245f19313cfbfe782d76"},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t key[KDNET_KEY_SIZE], lenient[KDNET_KEY_SIZE];
        char text[KDNET_KEY_TEXT_SIZE];

        make_key(vectors[i].text, key);
        CHECK_HEX(key, vectors[i].hex);
        kdnet_key_format(key, text);
        CHECK_EQ_STR(text, vectors[i].text);
        CHECK(kdnet_key_parse_lenient(vectors[i].text, strlen(vectors[i].text), lenient));
        CHECK_EQ_MEM(lenient, key, sizeof key);
    }
}

static void key_capitals_and_zeros(void)
{
    uint8_t key[KDNET_KEY_SIZE], same[KDNET_KEY_SIZE];
    char text[KDNET_KEY_TEXT_SIZE];

    make_key("3W5E11264SGSF.00Z.0000000000001.A", key);
    make_key("3w5e11264sgsf.z.1.a", same);
    CHECK_EQ_MEM(key, same, sizeof key);
    memset(key, 0xff, sizeof key);
    kdnet_key_format(key, text);
    CHECK_EQ_STR(text, "3w5e11264sgsf.3w5e11264sgsf.3w5e11264sgsf.3w5e11264sgsf");
}

static void key_errors(void)
{
    static const struct {
        const char *text;
        enum kdnet_key_status status;
        unsigned part;
        const char *says;
    } cases[] = {
        {"", KDNET_KEY_PARTS, 0, "key is empty"},
        {"abc", KDNET_KEY_PARTS, 0, "1 part, not four"},
        {"1.2.3", KDNET_KEY_PARTS, 0, "3 parts, not four"},
        {"1.2.3.4.5", KDNET_KEY_PARTS, 0, "5 parts, not four"},
        {"1..3.4", KDNET_KEY_EMPTY, 2, "part 2 of the key is empty"},
        {"1.2.3.", KDNET_KEY_EMPTY, 4, "part 4 of the key is empty"},
        {"1.2.3.4.", KDNET_KEY_EMPTY, 5, "part 5 of the key is empty"},
        {".2.3.4", KDNET_KEY_EMPTY, 1, "part 1 of the key is empty"},
        {"1.2.3.4!", KDNET_KEY_CHARACTER, 4, "'!'"},
        {" 1.2.3.4", KDNET_KEY_CHARACTER, 1, "a blank"},
        {"1.2.3.4\n", KDNET_KEY_CHARACTER, 4, "a blank"},
        {"1.-2.3.4", KDNET_KEY_CHARACTER, 2, "'-'"},
        {"1.2\xc3\xa4.3.4", KDNET_KEY_CHARACTER, 2, "0xc3"},
        {"3w5e11264sgsg.0.0.0", KDNET_KEY_RANGE, 1, "above 3w5e11264sgsf"},
        {"0.0.zzzzzzzzzzzzz.0", KDNET_KEY_RANGE, 3, "part 3"},
        {"1.12345678901234.3.4", KDNET_KEY_LENGTH, 2, "14 characters"},
        {"00000000000001.2.3.4", KDNET_KEY_LENGTH, 1, "at most 13"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t key[KDNET_KEY_SIZE], untouched[KDNET_KEY_SIZE];
        struct kdnet_key_error error;

        memset(key, 0xa5, sizeof key);
        memset(untouched, 0xa5, sizeof untouched);
        CHECK_EQ_U64(kdnet_key_parse(cases[i].text, strlen(cases[i].text), key, &error),
                     cases[i].status);
        CHECK_EQ_U64(error.status, cases[i].status);
        CHECK_EQ_U64(error.part, cases[i].part);
        if (!CHECK(strstr(error.text, cases[i].says)))
            fprintf(stderr, "%s: %s\n", cases[i].text, error.text);
        CHECK_EQ_MEM(key, untouched, sizeof key);
        CHECK_EQ_U64(kdnet_key_parse(cases[i].text, strlen(cases[i].text), key, NULL),
                     cases[i].status);
    }
}

/* Each text opens the same session in WinDbg as the key beside it. */
static void key_lenient(void)
{
    static const struct {
        const char *text, *key;
    } cases[] = {
        {"1..3.4x", "1.0.3.4x"},
        {"1.2.3", "1.2.3.0"},
        {"1.2.3.4!", "1.2.3.4"},
        {"1.2!.3.4", "1.2.0.0"},
        {"1.2.3.4.5", "1.2.3.4"},
        {"1 .2.3.4", "1.0.0.0"},
        {" 1.\t2. 3.  4", "1.2.3.4"},
        {"0000000000000000000001.ABC.3.4", "1.abc.3.4"},
        {"3yz0123456789.4zzzzzzzzzzzz.3w5e11264sgsg.3w5e11264sgsf",
         "3w5e11264sgsf.3w5e11264sgsf.3w5e11264sgsf.3w5e11264sgsf"},
        {"zzzzzzzzzzzzzzzzzzzzzzzzz.1.1.1", "3w5e11264sgsf.1.1.1"},
        {"...", "0.0.0.0"},
        {"?", "0.0.0.0"},
        {" ", "0.0.0.0"},
    };
    uint8_t key[KDNET_KEY_SIZE], expected[KDNET_KEY_SIZE];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_key(cases[i].key, expected);
        CHECK(kdnet_key_parse_lenient(cases[i].text, strlen(cases[i].text), key));
        if (!CHECK_EQ_MEM(key, expected, sizeof key))
            fprintf(stderr, "key %s\n", cases[i].text);
    }
    CHECK(!kdnet_key_parse_lenient("", 0, key));
}

static void keylog_entries(void)
{
    static const struct {
        const char *line;
        unsigned address_size;
        const char *address;
        unsigned port;
    } cases[] = {
        {"1.2.3.4", 0, "", 0},
        {"  1.2.3.4 \r\n", 0, "", 0},
        {"\xef\xbb\xbf* 1.2.3.4", 0, "", 0},
        {"*:50000 1.2.3.4", 0, "", 50000},
        {"*:* 1.2.3.4", 0, "", 0},
        {"192.168.2.72\t1.2.3.4 # the laptop", 4, "c0a80248", 0},
        {"192.168.2.72:1 1.2.3.4", 4, "c0a80248", 1},
        {"192.168.2.72:* 1.2.3.4", 4, "c0a80248", 0},
        {"0.0.0.0:65535 1.2.3.4", 4, "00000000", 65535},
        {"[fe80::1]:50001 1.2.3.4", 16, "fe800000000000000000000000000001", 50001},
        {"[fe80::1] 1.2.3.4", 16, "fe800000000000000000000000000001", 0},
        {"fe80::1%eth0 1.2.3.4", 16, "fe800000000000000000000000000001", 0},
        {":: 1.2.3.4", 16, "00000000000000000000000000000000", 0},
        {"::1 1.2.3.4", 16, "00000000000000000000000000000001", 0},
        {"1:: 1.2.3.4", 16, "00010000000000000000000000000000", 0},
        {"2001:DB8:0:1:2:3:4:abcd 1.2.3.4", 16, "20010db800000001000200030004abcd", 0},
        {"[2001:db8::a:b]:* 1.2.3.4", 16, "20010db80000000000000000000a000b", 0},
        {"1:2:3:4:5:6:7:: 1.2.3.4", 16, "00010002000300040005000600070000", 0},
        {"64:ff9b::1.2.3.4 1.2.3.4", 16, "0064ff9b000000000000000001020304", 0},
        {"[::ffff:192.168.2.72]:7 1.2.3.4", 4, "c0a80248", 7},
        {"::ffff:c0a8:248 1.2.3.4", 4, "c0a80248", 0},
    };
    uint8_t key[KDNET_KEY_SIZE];

    make_key("1.2.3.4", key);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kdnet_key_entry entry;
        struct kdnet_key_error error;

        if (!CHECK_EQ_U64(kdnet_keylog_parse(cases[i].line, strlen(cases[i].line), &entry, &error),
                          KDNET_KEY_OK)) {
            fprintf(stderr, "%s: %s\n", cases[i].line, error.text);
            continue;
        }
        CHECK_EQ_STR(error.text, "");
        CHECK_EQ_U64(entry.endpoint.address_size, cases[i].address_size);
        CHECK_HEX(entry.endpoint.address, cases[i].address);
        CHECK_EQ_U64(entry.endpoint.port, cases[i].port);
        CHECK_EQ_MEM(entry.key, key, sizeof key);
    }
}

static void keylog_blank_lines(void)
{
    static const char *const lines[] = {"", "\n", " \t\r\n", "# 1.2.3.4", "   #", "\xef\xbb\xbf"};

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct kdnet_key_entry entry;
        struct kdnet_key_error error;

        CHECK_EQ_U64(kdnet_keylog_parse(lines[i], strlen(lines[i]), &entry, &error),
                     KDNET_KEY_BLANK);
        CHECK_EQ_U64(kdnet_keylog_parse(lines[i], strlen(lines[i]), &entry, NULL), KDNET_KEY_BLANK);
    }
}

static void keylog_errors(void)
{
    static const struct {
        const char *line;
        enum kdnet_key_status status;
        const char *says;
    } cases[] = {
        {"1.2.3", KDNET_KEY_PARTS, "3 parts"},
        {"1.2.3.4#home", KDNET_KEY_CHARACTER, "'#'"},
        {"10.0.0.1:50000", KDNET_KEY_CHARACTER, "':'"},
        {"10.0.0.1 1.2..4", KDNET_KEY_EMPTY, "part 3"},
        {"10.0.0.1 50000 1.2.3.4", KDNET_KEY_LINE, "3 fields"},
        {"mypc:50000 1.2.3.4", KDNET_KEY_ADDRESS, "\"mypc:50000\" is no address"},
        {"10.0.0 1.2.3.4", KDNET_KEY_ADDRESS, "names are not looked up"},
        {"10.0.0.256 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"10.0.0.1.2 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"10.0.0.01 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"[10.0.0.1:3 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"[::1]3 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"::1:: 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"::: 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"1:2:3:4:5:6:7 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"1:2:3:4:5:6:7:8:9 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"1:2:3:4:5:6:7:8:: 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"1:2:3:4:5:6:7:8: 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"1::2: 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"1:2:3:4:5:6:7:1.2.3.4 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"::12345 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"::g 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"[] 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {": 1.2.3.4", KDNET_KEY_ADDRESS, "no address"},
        {"10.0.0.1: 1.2.3.4", KDNET_KEY_PORT, "1 to 65535"},
        {"10.0.0.1:0 1.2.3.4", KDNET_KEY_PORT, "\"0\" is no port"},
        {"*:65536 1.2.3.4", KDNET_KEY_PORT, "65536"},
        {"[::1]:http 1.2.3.4", KDNET_KEY_PORT, "http"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kdnet_key_entry entry;
        struct kdnet_key_error error;

        CHECK_EQ_U64(kdnet_keylog_parse(cases[i].line, strlen(cases[i].line), &entry, &error),
                     cases[i].status);
        if (!CHECK(strstr(error.text, cases[i].says)))
            fprintf(stderr, "%s: %s\n", cases[i].line, error.text);
    }
}

static void keylog_utf16_is_named(void)
{
    struct kdnet_key_entry entry;
    struct kdnet_key_error error;

    CHECK_EQ_U64(kdnet_keylog_parse("\xff\xfe\x38\0.\0", 6, &entry, &error), KDNET_KEY_LINE);
    CHECK(strstr(error.text, "UTF-8"));
}

/* A long field must not push the advice out of the message. */
static void keylog_long_field(void)
{
    char line[400];
    struct kdnet_key_entry entry;
    struct kdnet_key_error error;

    snprintf(line, sizeof line, "%0300d 1.2.3.4", 0);
    CHECK_EQ_U64(kdnet_keylog_parse(line, strlen(line), &entry, &error), KDNET_KEY_ADDRESS);
    CHECK(strstr(error.text, "names are not looked up"));
}

struct opened {
    struct kdnet_datagram datagram;
    struct kdnet_plaintext info;
    uint8_t plaintext[MAX_DATAGRAM];
};

static enum kdnet_verdict open_bytes(struct kdnet_cipher *cipher, const uint8_t *bytes, size_t size,
                                     struct opened *opened)
{
    kdnet_classify(bytes, size, &opened->datagram);
    return kdnet_open(cipher, &opened->datagram, opened->plaintext, &opened->info, true);
}

static void set_mapped(kd_u8 out[16], const char *ipv4_hex)
{
    memset(out, 0, 16);
    memset(out + 10, 0xff, 2);
    unhex(ipv4_hex, out[12].b, 4);
}

static void set_nonce(kd_u8 out[32], const char *hex)
{
    uint8_t bytes[32];

    CHECK_EQ_U64(unhex(hex, bytes, sizeof bytes), 32);
    memcpy(out, bytes, 32);
}

#define UNCUT_NONCE    "c19792dfac7aa1dfe007010018000b00240005000000070088f7570043a12600"
#define UNCUT_RANDOM   "41b4fa1b2ddd14ee3eeb8db987c0c7257ce62eef126ab74ef212136c100c540b"
#define UNCUT_DATA_KEY "6bd91c57bd6a551ad30b509c05c0c95b32cc5e47a0866907eaf0b1583384f660"

static void make_uncut_response(struct kd_kdnet_response *response)
{
    memset(response, 0, sizeof *response);
    response->message = kd_put_be16(KDNET_MESSAGE_RESPONSE);
    set_nonce(response->nonce, UNCUT_NONCE);
    set_nonce(response->random, UNCUT_RANDOM);
}

/* Seals a poke or response, compares the datagram with the published facts and opens it again. */
static void check_control(const char *key, const struct kdnet_message *message, const char *first22,
                          const char *tag, const char *sha256)
{
    struct kdnet_cipher *cipher = control_cipher(key);
    uint8_t bytes[MAX_DATAGRAM];
    struct opened opened;
    size_t size;

    CHECK_EQ_U64(kdnet_seal(cipher, message, bytes, sizeof bytes, &size), KDNET_OK);
    CHECK_EQ_U64(size, kdnet_sealed_size(message->version, message->body_size));
    CHECK_HEX(bytes, first22);
    CHECK_HEX(bytes + size - 16, tag);
    check_sha256(bytes, size, sha256);
    CHECK_EQ_U64(open_bytes(cipher, bytes, size, &opened), KDNET_OK);
    CHECK_EQ_U64(opened.datagram.kind, KDNET_KIND_CONTROL);
    CHECK_EQ_U64(opened.datagram.version, message->version);
    CHECK_EQ_U64(opened.info.sequence, message->sequence);
    CHECK_EQ_U64(opened.info.from_debugger, message->from_debugger);
    CHECK_EQ_U64(opened.info.body_size, message->body_size);
    CHECK_EQ_MEM(opened.plaintext + opened.info.body_offset, message->body, message->body_size);
    kdnet_cipher_free(cipher);
}

static void poke_version4(void)
{
    struct kd_kdnet_poke poke = {.message = kd_put_be16(KDNET_MESSAGE_POKE)};
    struct kdnet_message message = {
        .version = 4, .control = true, .sequence = 3, .body_size = sizeof poke};

    set_nonce(poke.nonce, UNCUT_NONCE);
    set_mapped(poke.target_address, "c0a80248");
    poke.target_port = kd_put_be16(51111);
    set_mapped(poke.debugger_address, "c0a80201");
    poke.debugger_port = kd_put_be16(51111);
    set_mapped(poke.connected_address, "00000000");
    message.body = (const uint8_t *)&poke;
    CHECK_EQ_U64(kdnet_sealed_size(4, sizeof poke), 374);
    check_control("8.8.8.8", &message, "4d4442470401ff98a9e80cf4f535b9b5f4aff6abe1df",
                  "8b8f6c8c48af63ad0a4db64e9e4f18e2",
                  "d9c4b0ebc334bba11e43816cb5f0cc77b983c738863d3b7c5986c7bc55a92c1a");
}

static void response_version4(void)
{
    struct kd_kdnet_response response;
    struct kdnet_message message = {.version = 4,
                                    .control = true,
                                    .from_debugger = true,
                                    .sequence = 3,
                                    .body = (const uint8_t *)&response,
                                    .body_size = sizeof response};

    make_uncut_response(&response);
    CHECK_EQ_U64(kdnet_sealed_size(4, sizeof response), 358);
    check_control("8.8.8.8", &message, "4d44424704018f7be1b1499dfa39eeb5bcbf4569fca3",
                  "1496556d614cc01df246bf79e6332aad",
                  "3480bc0ab88ca52a247823cdff6051feeb215100cc2779d37f27bdc58851d5c8");
}

static void poke_version5(void)
{
    struct kd_kdnet_poke poke = {.message = kd_put_be16(KDNET_MESSAGE_POKE)};
    struct kdnet_message message = {
        .version = 5, .control = true, .sequence = 2508, .body_size = sizeof poke};

    set_nonce(poke.nonce, "0b37ef66459557f6e6ca41ec51a89d371c80a4ace78402d98d75c096c9328254");
    set_mapped(poke.target_address, "c0a80169");
    set_mapped(poke.debugger_address, "c0a80165");
    set_mapped(poke.connected_address, "c0a80165");
    poke.target_port = poke.debugger_port = poke.connected_port = kd_put_be16(50000);
    message.body = (const uint8_t *)&poke;
    check_control("1.2.3.4", &message, "4d44424705019b163f168245b70bf8c9f5232bd7e2c7",
                  "1431fc42acf22408012e1b973ac06a43",
                  "7f5b6811b6606b381c54e6d30c006447117c4015af76c93c3048ed6a32f89210");
}

static struct kdnet_cipher *uncut_data_cipher(void)
{
    struct kd_kdnet_response response;
    uint8_t key[KDNET_KEY_SIZE], data_key[KDNET_KEY_SIZE];
    struct kdnet_cipher *cipher;

    make_key("8.8.8.8", key);
    make_uncut_response(&response);
    CHECK_EQ_U64(kdnet_data_key(key, &response, data_key), KDNET_OK);
    CHECK_HEX(data_key, UNCUT_DATA_KEY);
    cipher = kdnet_cipher_new(data_key, key);
    if (!cipher)
        abort();
    return cipher;
}

struct known_datagram {
    const char *hex;
    uint64_t sequence;
    bool from_debugger;
    size_t body_size;
    const char *plaintext; /* its begin */
};

/* Opens a datagram, compares the plaintext, and seals the same body to the same bytes. */
static void check_both_ways(struct kdnet_cipher *cipher, uint8_t version,
                            const struct known_datagram *known)
{
    uint8_t bytes[MAX_DATAGRAM], sealed[MAX_DATAGRAM];
    size_t size = unhex(known->hex, bytes, sizeof bytes), sealed_size;
    struct kdnet_message message = {.version = version};
    struct opened opened;

    CHECK_EQ_U64(open_bytes(cipher, bytes, size, &opened), KDNET_OK);
    CHECK_EQ_U64(opened.datagram.version, version);
    CHECK(!opened.datagram.control);
    CHECK_EQ_U64(opened.info.sequence, known->sequence);
    CHECK_EQ_U64(opened.info.from_debugger, known->from_debugger);
    CHECK_EQ_U64(opened.info.body_size, known->body_size);
    CHECK_HEX(opened.plaintext, known->plaintext);
    message.sequence = known->sequence;
    message.from_debugger = known->from_debugger;
    message.body = opened.plaintext + opened.info.body_offset;
    message.body_size = opened.info.body_size;
    CHECK_EQ_U64(kdnet_seal(cipher, &message, sealed, sizeof sealed, &sealed_size), KDNET_OK);
    if (CHECK_EQ_U64(sealed_size, size))
        CHECK_EQ_MEM(sealed, bytes, size);
}

static void data_version4(void)
{
    static const struct known_datagram known[] = {
        {"4d44424704002fa399cffa8f888c766d5e595a843c6dee47e25b8c9e098bd63242f627753eddfb5900eab024"
         "ca9c9c435055f1c8e7d2",
         1, false, 12, "000000000000010c00000000000000000102a8c0000000000000000000000000"},
        {"4d44424704000c3e6d1655f7c70b5d8a875f9032af003152b7f200de2491adb391c109d86f1e94bbfcb63ea4"
         "93ff1e588fdbaab8575f",
         1, true, 16, "0000000000000188696969690500000000000000000000000000000000000000"},
        {"4d444247040053856c8e1086002c3276a4841d89c8ddb68eb775bd0c46538bd0b7f597f3daf8a29c3f714570"
         "f104a02535febdf9efa6",
         2, true, 16, "0000000000000288696969690400000000000000"},
        {"4d4442470400d23945f428edccaf82c7d319b363212e6c67f1a0ff1d213264c3b685bdb90e8d055b93718a95"
         "3fe4435fa6c358f8f809",
         3, true, 16, "0000000000000388696969690400000002000000"},
        {"4d444247040083b8c51b15d585e4173b9a6e34cf7f8958384f0df39546106569f648bf2112f908968913b24b"
         "bef4a5e656c648a99441",
         99, true, 16, "0000000000006388696969690600000060000080000000000000000000000000"},
    };
    struct kdnet_cipher *cipher = uncut_data_cipher();

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        check_both_ways(cipher, 4, &known[i]);
    kdnet_cipher_free(cipher);
}

static void data_version1(void)
{
    static const struct known_datagram known[] = {
        {"4d44010000040000000000000001d0e2c4a501319926629ead9e7bd23587701b618357460319888c38acf87d"
         "fd6d",
         1, false, 12, "05000000000000800100007f00000000"},
        {"4d440100000080000000000000078937f507e11805bbf714a6705fa84c6d0944b51d7e9cccd69a2bec69c6c6"
         "3497",
         7, true, 16, "69696969050000000000000000000000"},
    };
    struct kdnet_cipher *cipher = control_cipher("2o.l.d.1");

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        check_both_ways(cipher, 1, &known[i]);
    kdnet_cipher_free(cipher);
}

/* The first print of a Windows 10 boot debugger, by the SHA-256 of its datagram. */
static void print_version4(void)
{
    static const char text[] = "BD: Boot Debugger Initialized\n";
    struct kdnet_cipher *cipher = uncut_data_cipher();
    uint8_t body[62], bytes[MAX_DATAGRAM];
    struct kdnet_message message = {
        .version = 4, .sequence = 2, .body = body, .body_size = sizeof body};
    size_t size;

    unhex("3030303003002e0000000000df0b000030320000000000001e000000ff070000", body, 32);
    memcpy(body + 32, text, sizeof text - 1);
    CHECK_EQ_U64(kdnet_seal(cipher, &message, bytes, sizeof bytes, &size), KDNET_OK);
    CHECK_EQ_U64(size, 6 + 80 + 16);
    check_sha256(bytes, size, "5ed9bc42fb7cca942aaee42cad1265ba4a5afea268370c5107863153ff5ac767");
    kdnet_cipher_free(cipher);
}

static void check_round_trip(struct kdnet_cipher *cipher, uint8_t version, size_t body_size)
{
    uint8_t body[200], bytes[MAX_DATAGRAM];
    struct kdnet_message message = {.version = version,
                                    .from_debugger = body_size & 1,
                                    .control = version != 1 && (body_size & 2),
                                    .sequence = UINT64_C(0xfedcba98765432) + body_size,
                                    .body = body,
                                    .body_size = body_size};
    struct opened opened;
    size_t size;

    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i * 7 + version);
    CHECK_EQ_U64(kdnet_seal(cipher, &message, bytes, sizeof bytes, &size), KDNET_OK);
    CHECK_EQ_U64(size, kdnet_sealed_size(version, body_size));
    CHECK_EQ_U64(open_bytes(cipher, bytes, size, &opened), KDNET_OK);
    CHECK_EQ_U64(opened.datagram.version, version);
    CHECK_EQ_U64(opened.datagram.control, message.control);
    CHECK_EQ_U64(opened.info.sequence, message.sequence);
    CHECK_EQ_U64(opened.info.from_debugger, message.from_debugger);
    if (CHECK_EQ_U64(opened.info.body_size, body_size))
        CHECK_EQ_MEM(opened.plaintext + opened.info.body_offset, body, body_size);
    CHECK_EQ_U64(kdnet_seal(cipher, &message, bytes, size - 1, &size), KDNET_NO_ROOM);
    CHECK_EQ_U64(size, 0);
}

static void round_trips(void)
{
    struct kdnet_cipher *cipher = control_cipher("k.d.n.et3");

    for (uint8_t version = 1; version <= 5; version++) {
        for (size_t size = version == 1 ? 1 : 0; size <= 200; size++)
            check_round_trip(cipher, version, size);
    }
    kdnet_cipher_free(cipher);
}

static void seal_limits(void)
{
    static const uint8_t body[1];
    static const struct {
        uint8_t version;
        bool control;
        uint64_t sequence;
        size_t size;
        enum kdnet_verdict verdict;
    } cases[] = {
        {5, false, (UINT64_C(1) << 56) - 1, 1, KDNET_OK},
        {5, false, UINT64_C(1) << 56, 1, KDNET_BAD_FIELD},
        {1, false, (UINT64_C(1) << 63) - 1, 1, KDNET_OK},
        {1, false, UINT64_C(1) << 63, 1, KDNET_BAD_FIELD},
        {1, true, 1, 1, KDNET_BAD_FIELD},
        {1, false, 1, 0, KDNET_BAD_SIZE},
        {5, false, 1, 65536, KDNET_BAD_SIZE},
        {5, false, 1, SIZE_MAX, KDNET_BAD_SIZE},
        {5, false, 1, 65535, KDNET_NO_ROOM},
    };
    struct kdnet_cipher *cipher = control_cipher("1.2.3.4");

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kdnet_message message = {.version = cases[i].version,
                                        .control = cases[i].control,
                                        .sequence = cases[i].sequence,
                                        .body = body,
                                        .body_size = cases[i].size};
        uint8_t bytes[64];
        size_t size;

        CHECK_EQ_U64(kdnet_seal(cipher, &message, bytes, sizeof bytes, &size), cases[i].verdict);
    }
    kdnet_cipher_free(cipher);
}

static void classify_kinds(void)
{
    static const struct {
        const char *head;
        size_t size;
        enum kdnet_datagram_kind kind;
        size_t cipher_size;
    } cases[] = {
        {"4d4442470500", 38, KDNET_KIND_DATA, 16},
        {"4d4442470201", 38, KDNET_KIND_CONTROL, 16},
        {"4d4442470502", 54, KDNET_KIND_DATA, 32}, /* bit 1 is ignored */
        {"4d4442470503", 374, KDNET_KIND_CONTROL, 352},
        {"4d4442470504", 38, KDNET_KIND_FLAGS, 16},
        {"4d4442470581", 39, KDNET_KIND_FLAGS, 0},
        {"4d4442470001", 374, KDNET_KIND_VERSION, 352},
        {"4d4442470101", 374, KDNET_KIND_VERSION, 352},
        {"4d4442470601", 374, KDNET_KIND_VERSION, 352},
        {"4d4442470604", 7, KDNET_KIND_VERSION, 0},
        {"4d4442470500", 37, KDNET_KIND_LENGTH, 0},
        {"4d4442470500", 39, KDNET_KIND_LENGTH, 0},
        {"4d4442470500", 22, KDNET_KIND_LENGTH, 0},
        {"4d4442470500", 6, KDNET_KIND_LENGTH, 0},
        {"4d4442470500", 5, KDNET_KIND_LENGTH, 0},
        {"4d4442470500", 4, KDNET_KIND_LENGTH, 0},
        {"4d4442470500", 3, KDNET_KIND_OTHER, 0},
        {"4d4442480500", 38, KDNET_KIND_OTHER, 0},
        {"4d4401000000", 46, KDNET_KIND_V1, 32},
        {"4d440100000f", 62, KDNET_KIND_V1, 48},
        {"4d4401010000", 46, KDNET_KIND_FLAGS, 32},
        {"4d4401000200", 46, KDNET_KIND_FLAGS, 32},
        {"4d4401000000", 45, KDNET_KIND_LENGTH, 0},
        {"4d4401000000", 47, KDNET_KIND_LENGTH, 0},
        {"4d4401000000", 30, KDNET_KIND_LENGTH, 0},
        {"4d4401000000", 13, KDNET_KIND_LENGTH, 0},
        {"4d4401000000", 3, KDNET_KIND_LENGTH, 0},
        {"4d4401000000", 2, KDNET_KIND_OTHER, 0},
        {"4d4402000000", 46, KDNET_KIND_OTHER, 0},
        {"303030300200", 62, KDNET_KIND_OTHER, 0},
        {"620000000000", 1, KDNET_KIND_OTHER, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t head[6], *bytes = calloc(1, cases[i].size); /* of the very size, for ASan */
        struct kdnet_datagram datagram;

        if (!bytes)
            abort();
        unhex(cases[i].head, head, sizeof head);
        memcpy(bytes, head, cases[i].size < 6 ? cases[i].size : 6);
        if (!CHECK_EQ_U64(kdnet_classify(bytes, cases[i].size, &datagram), cases[i].kind))
            fprintf(stderr, "%s, %zu bytes\n", cases[i].head, cases[i].size);
        CHECK_EQ_U64(datagram.kind, cases[i].kind);
        CHECK_EQ_U64(datagram.cipher_size, cases[i].cipher_size);
        free(bytes);
    }
    CHECK_EQ_U64(kdnet_classify(NULL, 0, &(struct kdnet_datagram){.size = 1}), KDNET_KIND_OTHER);
}

/* Every flipped bit is noticed, but those of version 1's header before the sequence number. */
static void check_flipped_bits(struct kdnet_cipher *cipher, uint8_t version)
{
    static const uint8_t body[20] = {1, 2, 3};
    struct kdnet_message message = {
        .version = version, .sequence = 77, .body = body, .body_size = sizeof body};
    uint8_t bytes[MAX_DATAGRAM];
    struct opened opened;
    size_t size;

    CHECK_EQ_U64(kdnet_seal(cipher, &message, bytes, sizeof bytes, &size), KDNET_OK);
    for (size_t bit = 0; bit < size * 8; bit++) {
        uint8_t mask = (uint8_t)(1 << bit % 8);
        bool unauthenticated = version == 1 && bit / 8 < 6;
        enum kdnet_verdict verdict;

        bytes[bit / 8] ^= mask;
        verdict = open_bytes(cipher, bytes, size, &opened);
        CHECK(unauthenticated || verdict == KDNET_BAD_TAG || verdict == KDNET_BAD_SIZE);
        CHECK(unauthenticated || opened.info.body_size == 0);
        bytes[bit / 8] ^= mask;
    }
    CHECK_EQ_U64(open_bytes(cipher, bytes, size, &opened), KDNET_OK);
}

static void flipped_bits(void)
{
    struct kdnet_cipher *cipher = control_cipher("1.2.3.4");

    for (uint8_t version = 1; version <= 5; version++)
        check_flipped_bits(cipher, version);
    kdnet_cipher_free(cipher);
}

static void every_length(void)
{
    struct kdnet_cipher *cipher = control_cipher("1.2.3.4");
    static const char *const heads[] = {"4d4442470500", "4d4401000007", "000000000000"};

    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        for (size_t size = 0; size < 130; size++) {
            uint8_t head[6], *bytes = calloc(1, size ? size : 1);
            uint8_t *plaintext = malloc(size ? size : 1);
            struct kdnet_datagram datagram;
            struct kdnet_plaintext out;
            bool openable;

            if (!bytes || !plaintext)
                abort();
            unhex(heads[i], head, sizeof head);
            memcpy(bytes, head, size < 6 ? size : 6);
            kdnet_classify(bytes, size, &datagram);
            openable = datagram.cipher_size != 0;
            CHECK_EQ_U64(kdnet_open(cipher, &datagram, plaintext, &out, true),
                         openable ? KDNET_BAD_TAG : KDNET_BAD_SIZE);
            kdnet_open(cipher, &datagram, plaintext, &out, false);
            CHECK(out.body_offset + out.body_size <= datagram.cipher_size);
            free(plaintext);
            free(bytes);
        }
    }
    kdnet_cipher_free(cipher);
}

/* Pads that cannot be: authentic in version 1, whose pad length no tag covers; in the others seen
 * only without verification. */
static void bad_pads(void)
{
    struct kdnet_cipher *cipher = control_cipher("1.2.3.4");
    static const uint8_t body[16] = {9};
    struct kdnet_message message = {
        .version = 1, .sequence = 1, .body = body, .body_size = sizeof body};
    uint8_t bytes[64];
    struct opened opened;
    size_t size;

    CHECK_EQ_U64(kdnet_seal(cipher, &message, bytes, sizeof bytes, &size), KDNET_OK);
    bytes[5] = 15;
    CHECK_EQ_U64(open_bytes(cipher, bytes, size, &opened), KDNET_OK);
    CHECK_EQ_U64(opened.info.body_size, 1);
    bytes[5] = 16;
    CHECK_EQ_U64(open_bytes(cipher, bytes, size, &opened), KDNET_BAD_PAD);
    CHECK_EQ_U64(opened.info.body_size, 0);
    bytes[5] = 255;
    CHECK_EQ_U64(open_bytes(cipher, bytes, size, &opened), KDNET_BAD_PAD);

    message = (struct kdnet_message){.version = 5, .sequence = 1};
    CHECK_EQ_U64(kdnet_seal(cipher, &message, bytes, sizeof bytes, &size), KDNET_OK);
    CHECK_EQ_U64(size, 38);
    bytes[size - 16 + 7] ^= 8 ^ 9; /* the IV's bits flip the plaintext's: pad 9 of a body of 8 */
    kdnet_classify(bytes, size, &opened.datagram);
    CHECK_EQ_U64(kdnet_open(cipher, &opened.datagram, opened.plaintext, &opened.info, false),
                 KDNET_BAD_PAD);
    CHECK_EQ_U64(kdnet_open(cipher, &opened.datagram, opened.plaintext, &opened.info, true),
                 KDNET_BAD_TAG);
    bytes[size - 16 + 7] ^= 0x40 ^ 9; /* 64, which leaves 0 when cut to four bits */
    CHECK_EQ_U64(kdnet_open(cipher, &opened.datagram, opened.plaintext, &opened.info, false),
                 KDNET_BAD_PAD);
    kdnet_cipher_free(cipher);
}

static void wrong_key(void)
{
    struct kdnet_cipher *cipher = control_cipher("1.2.3.4"), *other = control_cipher("1.2.3.5");
    static const uint8_t body[16];
    uint8_t bytes[64];
    struct opened opened;
    size_t size;

    for (uint8_t version = 1; version <= 5; version++) {
        struct kdnet_message message = {.version = version, .body = body, .body_size = 16};

        CHECK_EQ_U64(kdnet_seal(cipher, &message, bytes, sizeof bytes, &size), KDNET_OK);
        CHECK_EQ_U64(open_bytes(other, bytes, size, &opened), KDNET_BAD_TAG);
        CHECK_EQ_U64(open_bytes(cipher, bytes, size, &opened), KDNET_OK);
    }
    kdnet_cipher_free(other);
    kdnet_cipher_free(cipher);
    kdnet_cipher_free(NULL);
}

static void control_messages(void)
{
    uint8_t body[POKE_PLAIN_SIZE] = {1, 1};
    struct kdnet_control control;

    CHECK_EQ_U64(kdnet_control_parse(body, 0, &control), KDNET_CONTROL_EMPTY);
    CHECK_EQ_U64(kdnet_control_parse(body, 344, &control), KDNET_CONTROL_POKE);
    CHECK(control.poke == (const void *)body && !control.response);
    CHECK_EQ_U64(kdnet_control_parse(body, 343, &control), KDNET_CONTROL_OTHER);
    CHECK_EQ_U64(kdnet_control_parse(body, 345, &control), KDNET_CONTROL_OTHER);
    CHECK_EQ_U64(kdnet_control_parse(body, 322, &control), KDNET_CONTROL_OTHER);
    CHECK_EQ_U64(kdnet_control_parse(body, 1, &control), KDNET_CONTROL_OTHER);
    CHECK(!control.poke && !control.response);
    body[1] = 2;
    CHECK_EQ_U64(kdnet_control_parse(body, 322, &control), KDNET_CONTROL_RESPONSE);
    CHECK(control.response == (const void *)body && !control.poke);
    CHECK_EQ_U64(kdnet_control_parse(body, 344, &control), KDNET_CONTROL_OTHER);
}

static void same_boot(void)
{
    kd_u8 nonce[32], other[32];

    set_nonce(nonce, UNCUT_NONCE);
    memcpy(other, nonce, sizeof other);
    other[0] = kd_put8(0xc2); /* the counter went on */
    other[7] = kd_put8(0);
    CHECK(kdnet_same_boot(nonce, other));
    other[8] = kd_put8(0);
    CHECK(!kdnet_same_boot(nonce, other));
    memcpy(other, nonce, sizeof other);
    other[31] = kd_put8(1);
    CHECK(!kdnet_same_boot(nonce, other));
}

KD_TEST_MAIN({"key vectors", key_vectors}, {"key capitals and zeros", key_capitals_and_zeros},
             {"key errors", key_errors}, {"what WinDbg makes of a key", key_lenient},
             {"key-log entries", keylog_entries}, {"key-log blank lines", keylog_blank_lines},
             {"key-log errors", keylog_errors}, {"key-log in UTF-16", keylog_utf16_is_named},
             {"key-log long field", keylog_long_field}, {"poke, version 4", poke_version4},
             {"response, version 4", response_version4}, {"poke, version 5", poke_version5},
             {"data, version 4", data_version4}, {"print, version 4", print_version4},
             {"data, version 1", data_version1}, {"round trips", round_trips},
             {"seal limits", seal_limits}, {"classify", classify_kinds},
             {"flipped bits", flipped_bits}, {"every length", every_length}, {"bad pads", bad_pads},
             {"wrong key", wrong_key}, {"control messages", control_messages},
             {"same boot", same_boot})
