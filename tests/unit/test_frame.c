/* test_frame.c - the framer, the encoder and sender.h against real sessions and bad lines.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A parse is written as text, one word a frame:
 *   P73    packet of 73 bytes    c: wrong checksum, t: no trailer
 *   N12    noise of 12 bytes in a row, however many frames    ~: truncated packet, ^: bad length
 *   B      break-in
 *   +6     the rest waits until 6 bytes are there
 */
#include "check.h"
#include "kd/frame.h"
#include "kd/sender.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Recorded: XP's kernel over a COM port (S), the Windows 10 boot loader over KDNET (N). */
#define ACK0  "69696969 0400 0000 00008080 00000000"
#define RESET "69696969 0600 0000 00000000 00000000"
#define S_READ_BODY                                                                    \
    "30310000feffffff38f67d073411bc77f48e6780ffffffff04000000d4f57d0718118d0738000000" \
    "5800000003000000e879e10003000000"
#define S_READ                                                                         \
    "30303030 0200 3800 01008080 b1130000"                                             \
    "30310000feffffff38f67d073411bc77f48e6780ffffffff04000000d4f57d0718118d0738000000" \
    "3800000003000000e879e10003000000 aa"
#define S_VERSION                                                                              \
    "30303030 0200 3800 01008080 3f170000"                                                     \
    "4631000080f67d0700000000f4f67d070f00280a060002004c010c032d00000000804d80ffffffffc04f5580" \
    "fffffffff48e6780ffffffff aa"
#define S_KDBG                                                                         \
    "30303030 0200 5000 01008080 40140000"                                             \
    "30310000ba02000000000000a074c177e06a5480ffffffff18000000180000002000000028000000" \
    "a802e1005cee7d075000000020000000f48e6780f48e678000000000000000004b44424790020000 aa"
#define N_CONTINUE2                                                                              \
    "30303030 0200 3800 6e000080 24050000"                                                       \
    "3c3100002500000002000100000000000200010000000000000400000000000001000000000000000000000000" \
    "000000c0b2fb9dfe7f0000"
#define N_VERSION                                                                                \
    "30303030 0200 3800 04000000 aa090000"                                                       \
    "46310000ffffffff00000000250000000f045a290602020064860c325900000000f0960000000000605ead0000" \
    "0000000000000000000000"
#define N_CREATE_REPLY                                                                         \
    "30303030 0b00 4000 70000080 020a0000"                                                     \
    "303400000f0000c0890012008000000001000000010000000000000000000000000000000000000000000000" \
    "00000000188bc57b01f8ffffc1bafe5f00000000"
/* Of the boot manager's console, in front of its first packet. */
#define CONSOLE "426f6f74303030312022554546492051454d5522 2c30303030"

enum { ROOM = 1 << 16 };

static size_t unhex(const char *text, uint8_t *out)
{
    size_t size = 0;
    unsigned value, digits = 0;

    for (value = 0; *text; text++) {
        if (*text == ' ')
            continue;
        value = value << 4 | (unsigned)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
        if (++digits % 2 == 0)
            out[size++] = (uint8_t)value;
    }
    return size;
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* A parse on its way to becoming text. */
struct story {
    char text[ROOM];
    size_t length;
    size_t noise;
    uint32_t noise_flags;
};

static void tell(struct story *story, const char *format, size_t value, const char *flags)
{
    const char *gap = story->length ? " " : "";

    story->length += (size_t)snprintf(story->text + story->length, ROOM - story->length, "%s", gap);
    story->length +=
        (size_t)snprintf(story->text + story->length, ROOM - story->length, format, value, flags);
}

static void tell_noise(struct story *story)
{
    bool truncated = story->noise_flags & KD_FRAME_TRUNCATED;
    bool length = story->noise_flags & KD_FRAME_BAD_LENGTH;

    if (story->noise)
        tell(story, "N%zu%s", story->noise, truncated ? length ? "~^" : "~" : length ? "^" : "");
    story->noise = 0;
    story->noise_flags = 0;
}

static void tell_frame(struct story *story, const struct kd_frame *frame)
{
    bool sum = !(frame->flags & KD_FRAME_BAD_CHECKSUM);
    bool trailer = !(frame->flags & KD_FRAME_NO_TRAILER);

    if (frame->kind == KD_FRAME_NOISE) {
        story->noise += frame->size;
        story->noise_flags |= frame->flags;
        return;
    }
    tell_noise(story);
    if (frame->kind == KD_FRAME_PACKET)
        tell(story, "P%zu%s", frame->size, sum ? trailer ? "" : "t" : trailer ? "c" : "ct");
    else if (frame->kind == KD_FRAME_BREAKIN)
        tell(story, "B%.0zu%s", 0, "");
    else if (frame->need > 1)
        tell(story, "+%zu%s", frame->need, "");
}

/* The parse of the whole stream by kd_frame_scan alone. */
static const char *parse(const struct kd_framing *framing, const uint8_t *bytes, size_t size,
                         bool end, struct story *story)
{
    struct kd_frame frame;
    size_t at = 0;
    bool after_noise = false;

    *story = (struct story){.length = 0};
    do {
        kd_frame_scan(framing, bytes + at, size - at, after_noise, end, &frame);
        if (frame.kind == KD_FRAME_NEED_MORE) {
            CHECK(frame.need > size - at);
            CHECK(!end || at == size);
        }
        CHECK(frame.size <= size - at);
        CHECK((frame.size == 0) == (frame.kind == KD_FRAME_NEED_MORE));
        after_noise = frame.kind == KD_FRAME_NOISE;
        at += frame.size;
        tell_frame(story, &frame);
    } while (frame.kind != KD_FRAME_NEED_MORE);
    tell_noise(story);
    return story->text;
}

struct cuts {
    const size_t *at; /* ascending */
    size_t count;
};

/* The parse of a stream that arrives in pieces, by a framer with no byte to spare. */
static const char *parse_pieces(const struct kd_framing *framing, const uint8_t *bytes, size_t size,
                                const struct cuts *cuts, bool end, struct story *story)
{
    static uint8_t buffer[KD_FRAMER_CAPACITY(UINT16_MAX)];
    struct kd_framer framer;
    struct kd_frame frame;
    const uint8_t *at;

    *story = (struct story){.length = 0};
    kd_framer_init(&framer, framing, buffer, KD_FRAMER_CAPACITY(framing->max_payload));
    for (size_t piece = 0, from = 0; piece <= cuts->count; piece++) {
        size_t to = piece < cuts->count ? cuts->at[piece] : size;
        bool last = piece == cuts->count;

        do {
            size_t taken = kd_framer_push(&framer, bytes + from, to - from);

            CHECK(taken > 0 || from == to);
            from += taken;
            while (kd_framer_next(&framer, end && last && from == to, &frame, &at) !=
                   KD_FRAME_NEED_MORE) {
                CHECK_EQ_MEM(at, bytes + from - (framer.end - framer.start) - frame.size,
                             frame.size);
                tell_frame(story, &frame);
            }
        } while (from < to);
    }
    tell_frame(story, &frame);
    tell_noise(story);
    return story->text;
}

struct stream_case {
    const char *name;
    enum kd_flow flow;
    const char *hex;
    const char *expected; /* with the end of the stream behind the bytes */
};

#define ANY  KD_FLOW_UNKNOWN
#define DOWN KD_FLOW_TO_TARGET
#define UP   KD_FLOW_TO_DEBUGGER

static const struct stream_case streams[] = {
    {"ACK", ANY, ACK0, "P16"},
    {"RESET", ANY, RESET, "P16"},
    {"read request", ANY, S_READ, "P73"},
    {"version reply", ANY, S_VERSION, "P73"},
    {"read reply", ANY, S_KDBG, "P97"},
    {"packets without a gap", ANY, ACK0 S_READ RESET S_KDBG ACK0, "P16 P73 P16 P97 P16"},
    {"no payload", ANY, "30303030 0200 0000 01008080 00000000 aa", "P17"},
    {"noise before a leader", ANY, "0001ff" S_READ, "N3 P73"},
    {"console text with 0000", ANY, CONSOLE S_READ, "N25 P73"},
    {"0000 and iiii as text", ANY, "303030303a69696969 30303030" ACK0 "69696969 30303030 0d0a",
     "N13 P16 N10"},
    {"five bytes of leader", ANY, "30" S_READ "69" ACK0, "N1 P73 N1 P16"},
    {"leaders mixed", ANY, "303069693030303069" ACK0, "N9 P16"},
    {"three bytes of leader", ANY, "303030 0200 3800 01008080 b1130000", "N15"},
    {"... then the packet again", ANY, "303030 0200 0000 01008080 00000000 aa" S_READ, "N16 P73"},
    {"wrong checksum", ANY, "30303030 0200 0200 01008080 03000000 0101 aa" ACK0, "P19c P16"},
    {"wrong trailer", ANY, "30303030 0200 0200 01008080 02000000 0101 55" ACK0, "P18t N1 P16"},
    {"no trailer", ANY, "30303030 0200 0200 01008080 02000000 0101" ACK0, "P18t P16"},
    {"no trailer at the end", ANY, "30303030 0200 0200 01008080 02000000 0101", "P18t"},
    {"trailer and checksum wrong", ANY, "30303030 0200 0200 01008080 03000000 0101 55", "N19~"},
    {"... and a packet", ANY, "30303030 0200 0200 01008080 03000000 0101 55" ACK0, "N19~ P16"},
    {"payload lost a byte", ANY, "30303030 0200 0300 01008080 06000000 0102 aa" ACK0, "N19~ P16"},
    {"payload lost all", ANY, "30303030 0200 3800 01008080 b1130000" S_KDBG, "N16~ P97"},
    {"lost the middle of two", ANY, "30303030 0200 3800 01008080 b1130000 3031 0000" ACK0 S_READ,
     "N20~ P16 P73"},
    {"ACK lost a byte", ANY, "69696969 0400 0000 00008080 000000" S_READ, "N15~ P73"},
    {"ACK lost its id", ANY, "69696969 0400 0000 0000" RESET S_READ, "N10~ P16 P73"},
    {"payload broken off", ANY, "30303030 0200 3800 01008080 b1130000 3031", "N18~"},
    {"header broken off", ANY, "30303030 0200", "N6~"},
    {"ACK broken off", ANY, "69696969 0400 0000 000080", "N11~"},
    {"leader broken off", ANY, "303030", "N3"},
    {"ByteCount 0xffff", ANY, "30303030 0200 ffff 01008080 b1130000" ACK0, "N16^ P16"},
    {"ByteCount 4001", ANY, "30303030 0200 a10f 01008080 b1130000" ACK0, "N16^ P16"},
    {"ByteCount 4000", ANY, "30303030 0200 a00f 01008080 b1130000" ACK0, "N16~ P16"},
    {"too large, behind noise", ANY, "ff 30303030 0200 a10f" ACK0, "N9^ P16"},
    {"too large, in what broke off", ANY, "30303030 0200 3800 30303030 0200 ffff" ACK0,
     "N16~^ P16"},
    {"control packet with ByteCount", ANY, "69696969 0400 0100 00008080 00000000", "N16"},
    {"type 0", ANY, "30303030 0000 0000 00008080 00000000 aa", "N17"},
    {"type 8", ANY, "30303030 0800 0000 00008080 00000000 aa", "N17"},
    {"type 99", ANY, "30303030 6300 0000 00008080 00000000 aa", "N17"},
    {"data leader, control type", ANY, "30303030 0400 0000 00008080 00000000", "N16"},
    {"control leader, data type", ANY, "69696969 0200 0000 00008080 00000000 aa", "N17"},
    {"break-in before a packet", DOWN, "62" RESET, "B P16"},
    {"break-ins after a packet", DOWN, RESET "6262" ACK0 "62", "P16 B B P16 B"},
    {"break-in alone", DOWN, "62", "B"},
    {"break-in, end unknown", ANY, "62", "B"},
    {"no break-in to the debugger", UP, "62" ACK0 "62", "N1 P16 N1"},
    {"0x62 in noise", DOWN, "7862" RESET "62", "N2 P16 B"},
    {"0x62 after a lone leader byte", DOWN, "306269 62", "N4"},
    {"0x62 in a payload", DOWN, "30303030 0200 0200 01008080 c4000000 6262 aa", "P19"},
    {"0x62 after a broken packet", DOWN, "30303030 0200 0200 01008080 03000000 0101 55 62", "N20~"},
    {"break-in, then noise", DOWN, "6278" RESET, "B N1 P16"},
};

static const struct kd_framing *framing_of(enum kd_flow flow)
{
    static const struct kd_framing framings[] = {
        [KD_FLOW_UNKNOWN] = {KD_PACKET_MAX_SIZE, KD_FLOW_UNKNOWN},
        [KD_FLOW_TO_TARGET] = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_TARGET},
        [KD_FLOW_TO_DEBUGGER] = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_DEBUGGER},
    };

    return &framings[flow];
}

static void named_streams(void)
{
    static uint8_t bytes[ROOM];
    static struct story story;

    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        size_t size = unhex(streams[i].hex, bytes);

        if (!CHECK_EQ_STR(parse(framing_of(streams[i].flow), bytes, size, true, &story),
                          streams[i].expected))
            fprintf(stderr, "    stream: %s\n", streams[i].name);
    }
}

/* Wherever a stream is cut, and whether it goes on or not. */
static void every_cut(void)
{
    static uint8_t bytes[ROOM];
    static struct story whole, pieces;

    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        const struct kd_framing *framing = framing_of(streams[i].flow);
        size_t size = unhex(streams[i].hex, bytes);
        bool same = true;

        for (int end = 0; end < 2; end++) {
            parse(framing, bytes, size, end, &whole);
            for (size_t cut = 0; cut <= size && same; cut++)
                same = CHECK_EQ_STR(
                    parse_pieces(framing, bytes, size, &(struct cuts){&cut, 1}, end, &pieces),
                    whole.text);
        }
        if (!same)
            fprintf(stderr, "    stream: %s\n", streams[i].name);
    }
}

/* A stream of named streams, damaged here and there. */
static size_t make_stream(uint32_t *random, uint8_t *bytes)
{
    size_t size = 0;

    for (unsigned i = 0; i < 12; i++)
        size += unhex(streams[next_random(random) % COUNT_OF(streams)].hex, bytes + size);
    for (unsigned i = 0; i < next_random(random) % 4; i++)
        bytes[next_random(random) % size] = (uint8_t)next_random(random);
    return size;
}

static void random_cuts(void)
{
    static uint8_t bytes[ROOM];
    static struct story whole, pieces;
    static size_t cuts[ROOM];
    uint32_t random = 0x6b646c6e;

    for (unsigned round = 0; round < 600; round++) {
        size_t size = make_stream(&random, bytes);
        uint32_t step = 1 + next_random(&random) % 64;
        size_t count = 0;
        struct kd_framing framing = {round % 3 ? KD_PACKET_MAX_SIZE : 80,
                                     (enum kd_flow)(next_random(&random) % 3)};
        bool end = round % 2;

        for (size_t at = 0; (at += next_random(&random) % step) < size && count < size;)
            cuts[count++] = at;
        parse(&framing, bytes, size, end, &whole);
        if (!CHECK_EQ_STR(
                parse_pieces(&framing, bytes, size, &(struct cuts){cuts, count}, end, &pieces),
                whole.text))
            return;
    }
}

/* Whether the words of `part` stand in `text`, in their order. Both end with a blank. */
static bool holds_words(const char *text, const char *part)
{
    while (*part) {
        size_t length = strcspn(part, " ") + 1;

        while (*text && strncmp(text, part, length) != 0)
            text += strcspn(text, " ") + 1;
        if (!*text)
            return false;
        text += length;
        part += length;
    }
    return true;
}

/* A run of lost bytes harms the packets it was in, and no other. */
static void lost_bytes(void)
{
    static const char *const packets[] = {S_READ, ACK0, S_KDBG, RESET, S_VERSION, ACK0};
    static uint8_t stream[1024], damaged[1024];
    static struct story story;
    size_t starts[COUNT_OF(packets) + 1] = {0};
    size_t total;

    for (size_t i = 0; i < COUNT_OF(packets); i++)
        starts[i + 1] = starts[i] + unhex(packets[i], stream + starts[i]);
    total = starts[COUNT_OF(packets)];
    for (size_t run = 1; run <= 8; run++) {
        for (size_t at = 0; at + run <= total; at++) {
            char unharmed[64] = "";

            memcpy(damaged, stream, at);
            memcpy(damaged + at, stream + at + run, total - run - at);
            for (size_t i = 0; i < COUNT_OF(packets); i++)
                if (starts[i + 1] <= at || starts[i] >= at + run)
                    snprintf(unharmed + strlen(unharmed), 8, "P%zu ", starts[i + 1] - starts[i]);
            parse(framing_of(ANY), damaged, total - run, true, &story);
            tell(&story, "%.0zu%s", 0, "");
            if (!CHECK(holds_words(story.text, unharmed)))
                fprintf(stderr, "    %zu bytes lost at %zu: %s\n", run, at, story.text);
        }
    }
}

/* With so many bytes of a packet there, how many are waited for: none that tell nothing new. */
static void needs(void)
{
    static const struct {
        size_t from, to, need;
    } steps[] = {{0, 0, 1}, {1, 1, 2}, {2, 2, 3},   {3, 3, 4},
                 {4, 5, 6}, {6, 7, 8}, {8, 15, 16}, {16, 72, 73}};
    uint8_t bytes[128];
    struct kd_frame frame;

    CHECK_EQ_U64(unhex(S_READ, bytes), 73);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        for (size_t size = steps[i].from; size <= steps[i].to; size++) {
            kd_frame_scan(framing_of(ANY), bytes, size, false, false, &frame);
            CHECK_EQ_U64(frame.kind, KD_FRAME_NEED_MORE);
            CHECK_EQ_U64(frame.need, steps[i].need);
        }
    }
}

static void packet_members(void)
{
    uint8_t bytes[128];
    struct kd_frame frame;

    kd_frame_scan(framing_of(ANY), bytes, unhex(S_KDBG, bytes), false, false, &frame);
    CHECK_EQ_U64(frame.kind, KD_FRAME_PACKET);
    CHECK_EQ_U64(frame.flags, 0);
    CHECK_EQ_U64(frame.payload, 80);
    CHECK_EQ_U64(frame.checksum, 0x1440);
}

/* Damage must not hold back what comes later on a line that stays open: the caller ends the pause.
 */
static void pause_on_the_line(void)
{
    static uint8_t buffer[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
    struct kd_framer framer;
    struct kd_frame frame;
    const uint8_t *at;
    uint8_t bytes[128];

    kd_framer_init(&framer, framing_of(DOWN), buffer, sizeof buffer);
    kd_framer_push(&framer, bytes, unhex("30303030 0200 a00f" ACK0, bytes));
    CHECK_EQ_U64(kd_framer_next(&framer, false, &frame, &at), KD_FRAME_NEED_MORE);
    CHECK_EQ_U64(kd_framer_next(&framer, true, &frame, &at), KD_FRAME_NOISE);
    CHECK_EQ_U64(frame.size, 8);
    CHECK_EQ_U64(kd_framer_next(&framer, true, &frame, &at), KD_FRAME_PACKET);
    CHECK_EQ_U64(kd_framer_next(&framer, true, &frame, &at), KD_FRAME_NEED_MORE);
    CHECK_EQ_U64(frame.need, 1);

    kd_framer_push(&framer, (const uint8_t *)"xb", 2);
    CHECK_EQ_U64(kd_framer_next(&framer, false, &frame, &at), KD_FRAME_NOISE);
    CHECK_EQ_U64(kd_framer_next(&framer, true, &frame, &at), KD_FRAME_NEED_MORE);
    kd_framer_push(&framer, (const uint8_t *)"b", 1);
    CHECK_EQ_U64(kd_framer_next(&framer, false, &frame, &at), KD_FRAME_BREAKIN);
}

/* What is still to come of a packet: of its header first, then of all of it. */
static void what_is_missing(void)
{
    static uint8_t buffer[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
    uint8_t bytes[128];
    size_t size = unhex(S_READ, bytes); /* 16 + 56 + 1 */
    struct kd_framer framer;
    struct kd_frame frame;
    const uint8_t *at;

    kd_framer_init(&framer, framing_of(DOWN), buffer, sizeof buffer);
    CHECK_EQ_U64(kd_framer_missing(&framer), 0);
    for (size_t i = 0; i < size; i++) {
        kd_framer_push(&framer, bytes + i, 1);
        while (kd_framer_next(&framer, false, &frame, &at) != KD_FRAME_NEED_MORE)
            CHECK_EQ_U64(frame.kind, KD_FRAME_PACKET);
        CHECK_EQ_U64(kd_framer_missing(&framer), (i < 15 ? 16 : 73) - (i + 1));
    }
    CHECK_EQ_U64(size, 73);
}

/* The smallest buffer allowed, and a packet that fills it. */
static void framer_without_room_to_spare(void)
{
    struct kd_framing framing = {80, KD_FLOW_UNKNOWN};
    static uint8_t buffer[KD_FRAMER_CAPACITY(80)];
    uint8_t bytes[512];
    size_t size = unhex("78" S_KDBG S_KDBG "7879" S_KDBG ACK0 S_READ, bytes);
    struct kd_framer framer;
    struct kd_frame frame;
    const uint8_t *at;
    unsigned packets = 0;

    kd_framer_init(&framer, &framing, buffer, sizeof buffer);
    for (size_t from = 0; from < size;) {
        size_t taken = kd_framer_push(&framer, bytes + from, size - from);

        if (!CHECK(taken > 0))
            return;
        from += taken;
        while (kd_framer_next(&framer, false, &frame, &at) != KD_FRAME_NEED_MORE)
            packets += frame.kind == KD_FRAME_PACKET && !frame.flags;
    }
    CHECK_EQ_U64(packets, 5);
    CHECK_EQ_U64(framer.start, framer.end);
}

/* With hardly any payload allowed, a damaged control packet is what needs most room. */
static void framer_for_next_to_nothing(void)
{
    struct kd_framing framing = {0, KD_FLOW_UNKNOWN};
    uint8_t bytes[64];
    size_t size = unhex("69696969 0400 0000 00008080 000000" ACK0, bytes);
    static struct story story;

    for (size_t cut = 0; cut <= size; cut++)
        CHECK_EQ_STR(parse_pieces(&framing, bytes, size, &(struct cuts){&cut, 1}, false, &story),
                     "N15~ P16");
}

struct datagram_case {
    const char *name;
    const char *hex;
    const char *expected;
};

static const struct datagram_case datagrams[] = {
    {"Continue2", N_CONTINUE2, "P72"},
    {"version reply", N_VERSION, "P72"},
    {"create reply", N_CREATE_REPLY, "P80"},
    {"ACK", "69696969 0400 0000 02000000 00000000", "P16"},
    {"RESET with an id", "69696969 0600 0000 60000080 00000000", "P16"},
    {"break-in", "62", "B"},
    {"two break-ins", "6262", "N2"},
    {"announce", "0000000000000000 0102a8c0", "N12"},
    {"nothing", "", ""},
    {"wrong checksum", "30303030 0200 0200 02000000 03000000 0101", "P18c"},
    {"serial trailer", "30303030 0200 0200 02000000 02000000 0101 aa", "N19"},
    {"bytes behind", ACK0 "00", "N17"},
    {"bytes missing", "30303030 0200 0300 02000000 02000000 0101", "N18~"},
    {"ByteCount 0xffff", "30303030 0200 ffff 02000000 02000000 0101", "N18~"},
    {"header broken off", "30303030 0200 0000 02000000 000000", "N15"},
    {"three bytes of leader", "303030 0200 0000 02000000 00000000 00", "N16"},
    {"control packet with ByteCount", "69696969 0400 0100 00000000 00000000 00", "N17"},
    {"unknown type", "30303030 6300 0000 00000000 00000000", "N16"},
    {"KDNET data", "4d4442470400 2fa399cffa8f888c766d5e595a843c6d", "N22"},
};

static void named_datagrams(void)
{
    static struct story story;
    uint8_t bytes[128];
    struct kd_frame frame;

    for (size_t i = 0; i < COUNT_OF(datagrams); i++) {
        size_t size = unhex(datagrams[i].hex, bytes);

        story = (struct story){.length = 0};
        kd_frame_datagram(bytes, size, &frame);
        tell_frame(&story, &frame);
        tell_noise(&story);
        CHECK_EQ_U64(frame.size, size);
        if (!CHECK_EQ_STR(story.text, datagrams[i].expected))
            fprintf(stderr, "    datagram: %s\n", datagrams[i].name);
    }
}

/* The encoder writes what was recorded. */
static void encodes_recorded_packets(void)
{
    uint8_t expected[128], out[128];
    size_t size = unhex(S_READ, expected);

    CHECK_EQ_U64(kd_frame_encode(out, sizeof out, KD_PACKET_STATE_MANIPULATE, 0x80800001,
                                 expected + 16, 56, true),
                 size);
    CHECK_EQ_MEM(out, expected, size);
    size = unhex(N_CREATE_REPLY, expected);
    CHECK_EQ_U64(
        kd_frame_encode(out, sizeof out, KD_PACKET_FILE_IO, 0x80000070, expected + 16, 64, false),
        size);
    CHECK_EQ_MEM(out, expected, size);
    size = unhex(ACK0, expected);
    CHECK_EQ_U64(kd_frame_encode(out, sizeof out, KD_PACKET_ACKNOWLEDGE, 0x80800000, NULL, 0, true),
                 size);
    CHECK_EQ_MEM(out, expected, size);
}

static void encoder_limits(void)
{
    static uint8_t payload[UINT16_MAX + 1], out[UINT16_MAX + 32];
    const enum kd_packet_type data = KD_PACKET_STATE_MANIPULATE;

    memset(payload, 0xff, sizeof payload);
    CHECK_EQ_U64(kd_frame_encode(out, 15, KD_PACKET_RESET, 0, NULL, 0, true), 0);
    CHECK_EQ_U64(kd_frame_encode(out, 16, KD_PACKET_RESET, 0, NULL, 0, true), 16);
    CHECK_EQ_U64(kd_frame_encode(out, 99, KD_PACKET_RESET, 0, payload, 1, true), 0);
    CHECK_EQ_U64(kd_frame_encode(out, 26, data, 0, payload, 10, true), 0);
    CHECK_EQ_U64(kd_frame_encode(out, 27, data, 0, payload, 10, true), 27);
    CHECK_EQ_U64(kd_frame_encode(out, 26, data, 0, payload, 10, false), 26);
    CHECK_EQ_U64(kd_frame_encode(out, 17, data, 0, NULL, 0, true), 17);
    CHECK_EQ_U64(kd_frame_encode(out, sizeof out, data, 0, payload, UINT16_MAX, true), 65552);
    CHECK_EQ_U64(kd_checksum(payload, UINT16_MAX), UINT64_C(0xfeff01));
    CHECK_EQ_U64(kd_frame_encode(out, sizeof out, data, 0, payload, UINT16_MAX + 1, true), 0);
}

struct sender_case {
    const char *name;
    enum kd_flow expected;
    uint32_t type;
    const char *payload;
};

#define EXCEPTION                                                                              \
    "3030000000000000010000000000000000000000000000007ef09c0000000000030000800000000000000000" \
    "000000007df09c00000000000100000001f8ffff0000000000000000"
/* GetVersion and RestoreBreakPoint as WinDbg asks (status 0x103), SwitchProcessor and GetContextEx
 * as the boot manager's debugger answers them. */
#define ZERO40    "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
#define W_VERSION "46310000 00000000 03010000 00000000" ZERO40
#define B_SWITCH  "50310000 00000000 010000c0 00000000" ZERO40
#define B_CONTEXT_EX                                               \
    "5f310000 00000000 03010000 00000000 c0040000d004000010000000" \
    "00000000000000000000000000000000000000000000000000000000"     \
    "00000000000000000000000000000000"

static const struct sender_case senders[] = {
    {"exception", UP, KD_PACKET_STATE_CHANGE64, EXCEPTION},
    {"print", UP, KD_PACKET_DEBUG_IO, "30320000 00000000 02000000 00000000 480a"},
    {"prompt or its answer", ANY, KD_PACKET_DEBUG_IO, "31320000 00000000 02000000 10000000 480a"},
    {"create request", UP, KD_PACKET_FILE_IO,
     "30340000 00000000 89001200 80000000 01000000 01000000" ZERO40 "5c000000"},
    {"version request", DOWN, KD_PACKET_STATE_MANIPULATE, W_VERSION},
    {"refused processor switch", ANY, KD_PACKET_STATE_MANIPULATE, B_SWITCH},
    {"context in parts, status as asked", UP, KD_PACKET_STATE_MANIPULATE, B_CONTEXT_EX},
    {"manipulate broken off", ANY, KD_PACKET_STATE_MANIPULATE, "46310000"},
    {"no payload", ANY, KD_PACKET_DEBUG_IO, ""},
    {"ACK", ANY, KD_PACKET_ACKNOWLEDGE, ""},
};

static const struct sender_case recorded_senders[] = {
    {"XP, read request", ANY, KD_PACKET_STATE_MANIPULATE, S_READ},
    {"XP, read reply", UP, KD_PACKET_STATE_MANIPULATE, S_KDBG},
    {"XP, version reply", ANY, KD_PACKET_STATE_MANIPULATE, S_VERSION},
    {"Windows 10, Continue2", DOWN, KD_PACKET_STATE_MANIPULATE, N_CONTINUE2},
    {"Windows 10, version reply", ANY, KD_PACKET_STATE_MANIPULATE, N_VERSION},
    {"Windows 10, create reply", DOWN, KD_PACKET_FILE_IO, N_CREATE_REPLY},
};

/* ANY: the other end might have sent these bytes as well. */
static void who_sent_it(void)
{
    uint8_t bytes[256];

    for (size_t i = 0; i < COUNT_OF(senders); i++) {
        size_t size = unhex(senders[i].payload, bytes);

        if (!CHECK_EQ_U64(kd_packet_flow(senders[i].type, bytes, size), senders[i].expected))
            fprintf(stderr, "    message: %s\n", senders[i].name);
    }
    for (size_t i = 0; i < COUNT_OF(recorded_senders); i++) {
        const struct sender_case *c = &recorded_senders[i];

        unhex(c->payload, bytes);
        if (!CHECK_EQ_U64(kd_packet_flow(c->type, bytes + 16, (size_t)(bytes[6] | bytes[7] << 8)),
                          c->expected))
            fprintf(stderr, "    message: %s\n", c->name);
    }
}

KD_TEST_MAIN({"named streams", named_streams}, {"every cut", every_cut},
             {"random cuts", random_cuts}, {"lost bytes", lost_bytes}, {"needs", needs},
             {"packet members", packet_members}, {"pause on the line", pause_on_the_line},
             {"what is missing", what_is_missing},
             {"framer without room to spare", framer_without_room_to_spare},
             {"framer for next to nothing", framer_for_next_to_nothing},
             {"named datagrams", named_datagrams},
             {"encodes recorded packets", encodes_recorded_packets},
             {"encoder limits", encoder_limits}, {"who sent it", who_sent_it})
