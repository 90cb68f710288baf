/* test_engine_recorded.c - every recorded answer of the Windows boot manager's debugger, compared
 * with ours to the same request.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Reads windows-boot-debugger-answers.jsonl of the folder KDLENS_CAPTURES, one probe a line; the
 * requests are those of the program that recorded them. What must be the same is the shape: whether
 * there is a reply, its status, the size of its data, the fields of the union that do not hold what
 * was in that machine. What differs is listed with the reason, and must differ.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "peer.h"

#define NOWHERE MACHINE_NOWHERE
#define SCRATCH (MACHINE_RAM + 0x1000)
#define BASE    MACHINE_RAM
#define PC      (MACHINE_RAM + 0x2000)
#define CONTEXT 1232u

static struct peer peer;

enum verdict { SAME, DIFFERENT, MACHINE_S_OWN };

/* A probe: the union as fields ("q" 8 bytes, "d" 4, "w" 2), the data behind it, and which bytes of
 * the reply's union are compared. */
struct probe {
    const char *name;
    uint32_t api;
    const char *fields;
    uint64_t value[6];
    const char *data;
    size_t size;
    uint8_t from, to;
    enum verdict verdict;
    const char *why;
};

#define TEXT(text)          text, sizeof(text) - 1
#define NO_DATA             NULL, 0
#define READ(api, at, n)    api, "qdd", {at, n, 0}, NO_DATA, 8, 40
#define PHYS(at, n, hint)   0x313D, "qdd", {at, n, hint}, NO_DATA, 8, 40
#define WRITE(at, n, d)     0x3131, "qdd", {at, n, 0}, TEXT(d), 8, 40
#define SPACE(at, n)        0x3137, "qdd", {at, n, 0}, NO_DATA, 0, 40
#define IO(api, at, n, v)   api, "qdd", {at, n, v}, NO_DATA, 0, 12
#define SEARCH(at, n, p)    0x3156, "qqd", {at, n, sizeof(p) - 1}, TEXT(p), 8, 40
#define FILL(at, n, f, p)   0x315B, "qdww", {at, n, f, sizeof(p) - 1}, TEXT(p), 0, 0
#define QUERY(at, space)    0x315C, "qqdd", {at, 0, space, 0}, NO_DATA, 0, 0
#define PART(o, n)          0x315F, "ddd", {o, n, 0}, NO_DATA, 0, 40
#define SET_PART(o, n, all) 0x3160, "ddd", {o, n, all}, NULL, n, 0, 40
#define RESTORE(handle)     0x3135, "d", {handle}, NO_DATA, 0, 40
#define BUS(type, slot)     0x3157, "ddddd", {type, 0, slot, 0, 16}, NO_DATA, 0, 0
#define PLAIN(api)          api, "", {0}, NO_DATA, 0, 40
#define SERVED              DIFFERENT, "refused there, served here"
#define INVALID             DIFFERENT, "refused there with C0000001, here with the reason"

static const char two_breakpoints[32] = {0, 0x10, 0x10, 0, 0, 0, 0, 0,    0,   0,
                                         0, 0,    0,    0, 0, 0, 8, 0x10, 0x10};

/* clang-format off */
static const struct probe probes[] = {
    {"GetVersion", 0x3146, "", {0}, NO_DATA, 4, 6, SAME, ""},
    {"GetContext", 0x3132, "d", {0x10001F}, NO_DATA, 0, 40, SAME, ""},
    {"read 16 at base", READ(0x3130, BASE, 16), SAME, ""},
    {"read 0 bytes", READ(0x3130, BASE, 0), SAME, ""},
    {"read 4000 at base", READ(0x3130, BASE, 4000), SAME, ""},
    {"read 65535 at base", READ(0x3130, BASE, 0xFFFF), SAME, ""},
    {"read unmapped", READ(0x3130, NOWHERE, 16), SAME, ""},
    {"read non-canonical", READ(0x3130, UINT64_C(1) << 63, 16), SAME, ""},
    {"read 0", READ(0x3130, 0, 16), SAME, ""},
    {"read top", READ(0x3130, UINT64_MAX - 7, 16), SAME, ""},
    {"write 8 at scratch", WRITE(SCRATCH, 8, "ABCDEFGH"), SAME, ""},
    {"read back", READ(0x3130, SCRATCH, 8), SAME, ""},
    {"write, count > data", WRITE(SCRATCH, 16, "12345678"), SAME, ""},
    {"write, count < data", WRITE(SCRATCH, 4, "12345678"), DIFFERENT,
     "there all that was sent is written; here no more than was asked"},
    {"write unmapped", WRITE(NOWHERE, 4, "1234"), SAME, ""},
    {"write 0 bytes", WRITE(SCRATCH, 0, ""), SAME, ""},
    {"phys 16 at 1000", PHYS(BASE, 16, 0), SAME, ""},
    {"phys crossing a page", PHYS(BASE + 0xFF8, 16, 0), SAME, ""},
    {"phys 4000", PHYS(BASE, 4000, 0), SAME, ""},
    {"phys beyond RAM", PHYS(NOWHERE, 16, 0), SAME, ""},
    {"phys MMIO lapic", PHYS(0xFEE00020, 16, 0), SAME, ""},
    {"phys cached flag 1", PHYS(BASE, 16, 1), SAME, ""},
    {"phys write", 0x313E, "qdd", {SCRATCH, 4, 0}, TEXT("WXYZ"), 8, 40, SAME, ""},
    {"phys write back", PHYS(SCRATCH, 4, 0), SAME, ""},
    {"control space 0 len 0x8", SPACE(0, 8), SAME, ""},
    {"control space 0 len 0x4", SPACE(0, 4), SAME, ""},
    {"control space 0 len 0x10", SPACE(0, 16), SAME, ""},
    {"control space 1 len 0x8", SPACE(1, 8), SAME, ""},
    {"control space 2 len 0xe0", SPACE(2, 0xE0), SAME, ""},
    {"control space 2 len 0xf0", SPACE(2, 0xF0), SAME, ""},
    {"control space 2 len 0x200", SPACE(2, 0x200), SAME, ""},
    {"control space 2 len 0x8", SPACE(2, 8), SAME, ""},
    {"control space 3 len 0x8", SPACE(3, 8), SAME, ""},
    {"control space 4 len 0x8", SPACE(4, 8), SAME, ""},
    {"control space 65535 len 0x8", SPACE(0xFFFF, 8), SAME, ""},
    {"special", SPACE(2, 0xE0), SAME, ""},
    {"control write 2 back", 0x3138, "qdd", {2, 0xE0, 0}, NULL, 0xE0, 0, 40, SAME, ""},
    {"control write 1", 0x3138, "qdd", {1, 8, 0}, NULL, 8, 0, 40, SAME, ""},
    {"control write 2 short", 0x3138, "qdd", {2, 8, 0}, NULL, 8, 0, 40, SAME, ""},
    {"io read size 1", IO(0x3139, 0x80, 1, 0), SAME, ""},
    {"io read size 2", IO(0x3139, 0x80, 2, 0), SAME, ""},
    {"io read size 4", IO(0x3139, 0x80, 4, 0), SAME, ""},
    {"io read size 8", IO(0x3139, 0x80, 8, 0), SAME, ""},
    {"io read size 3", IO(0x3139, 0x80, 3, 0), SAME, ""},
    {"io read size 0", IO(0x3139, 0x80, 0, 0), SAME, ""},
    {"io write size 1", 0x313A, "qdd", {0x80, 1, 0x11223344}, NO_DATA, 0, 40, SAME, ""},
    {"io write size 2", 0x313A, "qdd", {0x80, 2, 0x11223344}, NO_DATA, 0, 40, SAME, ""},
    {"io write size 4", 0x313A, "qdd", {0x80, 4, 0x11223344}, NO_DATA, 0, 40, SAME, ""},
    {"io write size 8", 0x313A, "qdd", {0x80, 8, 0x11223344}, NO_DATA, 0, 40, SAME, ""},
    {"io read unaligned 4 at 81", IO(0x3139, 0x81, 4, 0), SAME, ""},
    {"io read > 64K", IO(0x3139, 0x10080, 1, 0), SAME, ""},
    {"io ext read", 0x3144, "ddddqd", {1, 1, 0, 1, 0x80, 0}, NO_DATA, 0, 24, SERVED},
    {"io ext write", 0x3145, "ddddqd", {1, 1, 0, 1, 0x80, 5}, NO_DATA, 0, 28, SERVED},
    {"msr 1b", 0x3152, "ddd", {0x1B}, NO_DATA, 0, 4, SAME, ""},
    {"msr c0000080", 0x3152, "ddd", {0xC0000080}, NO_DATA, 0, 4, SAME, ""},
    {"msr 12345678", 0x3152, "ddd", {0x12345678}, NO_DATA, 0, 40, DIFFERENT,
     "success with 0 there; a register that does not exist is a failure here"},
    {"msr 40000000", 0x3152, "ddd", {0x40000000}, NO_DATA, 0, 40, DIFFERENT,
     "success with 0 there; a register that does not exist is a failure here"},
    {"msr write bad", 0x3153, "ddd", {0x12345678}, NO_DATA, 0, 40, SAME, ""},
    {"msr efer", 0x3152, "ddd", {0xC0000080}, NO_DATA, 0, 4, SAME, ""},
    {"msr write same", 0x3153, "ddd", {0xC0000080, 0xD00}, NO_DATA, 0, 12, SERVED},
    {"search MZ at base", SEARCH(BASE, 0x100, "\x00\x07"), SERVED},
    {"search absent", SEARCH(SCRATCH, 0x40, "\xDE\xAD\xBE\xEF\x99"), INVALID},
    {"search empty pattern", SEARCH(BASE, 0x100, ""), INVALID},
    {"search length 0", SEARCH(BASE, 0, "MZ"), INVALID},
    {"search pattern longer", SEARCH(BASE, 1, "MZ"), INVALID},
    {"search unmapped", SEARCH(NOWHERE, 0x100, "MZ"), SAME, ""},
    {"fill virtual", FILL(SCRATCH, 0x20, 1, "\xAA\x55"), SERVED},
    {"fill flags 0", FILL(SCRATCH, 0x10, 0, "\x11"), INVALID},
    {"fill physical", FILL(SCRATCH, 0x10, 2, "\x22"), SERVED},
    {"fill flags 3", FILL(SCRATCH, 0x10, 3, "\x33"), INVALID},
    {"fill empty pattern", FILL(SCRATCH, 0x10, 1, ""), INVALID},
    {"fill unmapped", FILL(NOWHERE, 0x10, 1, "\x44"), SAME, ""},
    {"  then", READ(0x3130, SCRATCH, 0x20), SAME, ""},
    {"query base", QUERY(BASE, 0), SERVED},
    {"query stack", QUERY(BASE + 0x8000, 0), SERVED},
    {"query unmapped", QUERY(NOWHERE, 0), SAME, ""},
    {"query 0", QUERY(0, 0), SAME, ""},
    {"query space 2", QUERY(BASE, 2), INVALID},
    {"contextex 0+4d0", PART(0, 0x4D0), SAME, ""},
    {"contextex 0+1000", PART(0, 0x1000), SAME, ""},
    {"contextex 30+10", PART(0x30, 0x10), SAME, ""},
    {"contextex 4c0+10", PART(0x4C0, 0x10), SAME, ""},
    {"contextex 4d0+1", PART(0x4D0, 1), SAME, ""},
    {"contextex 2000+10", PART(0x2000, 16), SAME, ""},
    {"contextex 0+0", PART(0, 0), SAME, ""},
    {"setcontext", 0x3133, "d", {0x10001F}, NULL, CONTEXT, 0, 40, SAME, ""},
    {"setcontextex whole", SET_PART(0, CONTEXT, CONTEXT), SAME, ""},
    {"setcontextex part 1", SET_PART(0, 0x200, CONTEXT), SAME, ""},
    {"setcontextex part 2", SET_PART(0x200, 0x2D0, CONTEXT), SAME, ""},
    {"setcontextex beyond", SET_PART(0x4C0, 0x40, CONTEXT), SAME, ""},
    {"setcontext short", 0x3133, "d", {0x10001F}, NULL, 0x100, 0, 40, SAME, ""},
    {"getcontext cpu 1", PLAIN(0x3132), SAME, ""},
    {"getcontext cpu 65535", PLAIN(0x3132), SAME, ""},
    {"bp at pc&~f", 0x3134, "qd", {PC, 0}, NO_DATA, 8, 40, SAME, ""},
    {"bp again same", 0x3134, "qd", {PC, 0}, NO_DATA, 8, 40, SAME, ""},
    {"read under bp", READ(0x3130, PC, 4), SAME, ""},
    {"bp unmapped", 0x3134, "qd", {NOWHERE, 0}, NO_DATA, 8, 40, SAME, ""},
    {"restore 1", RESTORE(1), SAME, ""},
    {"restore 1 again", RESTORE(1), SAME, ""},
    {"restore 2", RESTORE(2), SAME, ""},
    {"restore 0", RESTORE(0), SAME, ""},
    {"restore 33", RESTORE(33), SAME, ""},
    {"restore ffffffff", RESTORE(0xFFFFFFFF), SAME, ""},
    {"read after", READ(0x3130, PC, 4), SAME, ""},
    {"bpex write 2", 0x3147, "dd", {2, 0x103}, two_breakpoints, 32, 0, 40, SAME, ""},
    {"bpex restore", 0x3148, "dd", {2, 0x103}, "\1\0\0\0\2\0\0\0", 8, 0, 0, DIFFERENT,
     "no answer there but the state change again"},
    {"bpex count 0", 0x3147, "dd", {0, 0x103}, NO_DATA, 0, 40, SAME, ""},
    {"bpex too many", 0x3147, "dd", {100, 0x103}, NO_DATA, 0, 0, DIFFERENT,
     "no answer there but the state change again"},
    {"bus data pci 0", BUS(4, 0), SERVED},
    {"bus data absent", BUS(4, 31), SAME, ""},
    {"bus data type 99", BUS(99, 0), SAME, ""},
    {"set bus data", 0x3158, "ddddd", {4, 0, 0, 0x3C, 1}, "", 1, 0, 0, SERVED},
    {"low memory", PLAIN(0x3159), SAME, ""},
    {"query special calls", 0x313F, "d", {0}, NO_DATA, 0, 40, SAME, ""},
    {"set special call", 0x3140, "q", {PC}, NO_DATA, 0, 40, SAME, ""},
    {"clear special calls", PLAIN(0x3141), SAME, ""},
    {"set internal bp", 0x3142, "qd", {SCRATCH, 0}, NO_DATA, 0, 40, SAME, ""},
    {"get internal bp", 0x3143, "qd", {SCRATCH, 0}, NO_DATA, 8, 40, SAME, ""},
    {"clear all internal", PLAIN(0x315A), SAME, ""},
    {"api 3112", PLAIN(0x3112), SAME, ""},
    {"api 312f", PLAIN(0x312F), SAME, ""},
    {"api 3154", PLAIN(0x3154), SAME, ""},
    {"api 3155", PLAIN(0x3155), SAME, ""},
    {"api 3151", PLAIN(0x3151), SAME, ""},
    {"api 315d", PLAIN(0x315D), SAME, ""},
    {"api 315e", PLAIN(0x315E), SAME, ""},
    {"api 3161", PLAIN(0x3161), SAME, ""},
    {"api 3162", PLAIN(0x3162), SAME, ""},
    {"api 31ff", PLAIN(0x31FF), SAME, ""},
    {"api ffffffff", PLAIN(0xFFFFFFFF), SAME, ""},
    {"switch cpu 0", PLAIN(0x3150), DIFFERENT,
     "refused there; here the only processor reports again"},
    {"switch cpu 5", PLAIN(0x3150), MACHINE_S_OWN, "the processor is in the header; tested alone"},
};
/* clang-format on */

/* The value of "key" in a line of JSON, without quotes; false when it is not there. */
static bool get(const char *line, const char *key, char *out, size_t room)
{
    char quoted[64];
    const char *start;
    size_t size;

    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    start = strstr(line, quoted);
    if (!start)
        return false;
    start += strlen(quoted);
    size = *start == '"' ? strcspn(++start, "\"") : strcspn(start, ",}");
    if (size >= room)
        return false;
    memcpy(out, start, size);
    out[size] = 0;
    return true;
}

static void from_hex(const char *text, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], 0};

        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

static struct peer_reply ask(const struct probe *probe)
{
    uint8_t body[40] = {0}, data[2048] = {0};
    size_t at = 0;

    for (size_t i = 0; probe->fields[i]; i++) {
        size_t width = probe->fields[i] == 'q' ? 8 : probe->fields[i] == 'd' ? 4 : 2;

        peer_put(body + at, width, probe->value[i]);
        at += width;
    }
    /* What was read is written back. */
    if (probe->data)
        memcpy(data, probe->data, probe->size);
    else if (probe->api == 0x3138)
        memcpy(data, &peer.machine.special, probe->size);
    else if (probe->size)
        memcpy(data, (const uint8_t *)&peer.machine.context + (probe->value[0] & 0x7FF) % CONTEXT,
               probe->size < CONTEXT ? probe->size : CONTEXT);
    return peer_ask(&peer, probe->api, body, sizeof body, data, probe->size);
}

static bool same(const struct probe *probe, const char *line, const struct peer_reply *reply)
{
    char status[16], size[16], hex[100];
    uint8_t body[40];

    if (!get(line, "status", status, sizeof status))
        return !reply->there;
    if (!reply->there || !get(line, "dlen", size, sizeof size) ||
        !get(line, "union", hex, sizeof hex) || strlen(hex) != 80)
        return false;
    from_hex(hex, body, sizeof body);
    return strtoul(status, NULL, 16) == reply->status && strtoul(size, NULL, 10) == reply->size &&
           memcmp(body + probe->from, reply->body + probe->from,
                  (size_t)(probe->to - probe->from)) == 0;
}

static const struct probe *find(const char *name)
{
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++)
        if (strcmp(probes[i].name, name) == 0)
            return &probes[i];
    return NULL;
}

static void compare(const char *line)
{
    char name[64], api[16];
    const struct probe *probe;
    struct peer_reply reply;

    if (!get(line, "probe", name, sizeof name) || !get(line, "api", api, sizeof api))
        return;
    probe = find(name);
    if (!CHECK(probe && strtoul(api, NULL, 16) == probe->api)) {
        fprintf(stderr, "recorded probe without a row here: %s\n", name);
        return;
    }
    if (probe->verdict == MACHINE_S_OWN)
        return;
    reply = ask(probe);
    if (!CHECK(same(probe, line, &reply) == (probe->verdict == SAME)))
        fprintf(stderr, "%s: ours is %s, status %08X, %zu bytes; there: %s", name,
                reply.there ? "a reply" : "silence", reply.status, reply.size, line);
    /* A state change instead of a reply is not our next reply. */
    while (peer_take(&peer).there)
        ;
}

/* A packet as the recording program sent it to try the link. id: what is added to the next one. */
struct link_probe {
    const char *name;
    uint16_t type; /* 0: control packets or bytes only */
    uint32_t id_xor;
    size_t size;    /* of the payload: GetVersion, cut or continued with zeros */
    int32_t change; /* of the byte at this offset; negative from the end; 0: none */
    const char *before;
    size_t before_size;
    const char *ours; /* what we do, where it differs */
};

/* clang-format off */
static const struct link_probe link_probes[] = {
    {"link: bad checksum", 2, 0, 56, 12, NO_DATA, NULL},
    {"link: then good", 2, 0, 56, 0, NO_DATA, NULL},
    {"link: same id again (duplicate)", 2, 1, 56, 0, NO_DATA, NULL},
    {"link: bad trailer", 2, 0, 56, -1, NO_DATA, NULL},
    {"link: wrong parity id", 2, 1, 56, 0, NO_DATA, NULL},
    {"link: id without INITIAL bits", 2, 0x80812345, 56, 0, NO_DATA, NULL},
    {"link: length > 4000", 2, 0, 4100, 0, NO_DATA, NULL},
    {"link: length 0 data", 2, 0, 0, 0, NO_DATA, NULL},
    {"link: payload shorter than 56", 2, 0, 20, 0, NO_DATA, NULL},
    {"link: type 1", 1, 0, 56, 0, NO_DATA, NULL},
    {"link: type 99", 99, 0, 56, 0, NO_DATA, ""},
    {"link: type 3 debug io", 3, 0, 56, 0, NO_DATA, NULL},
    {"link: break-in byte while stopped", 0, 0, 0, 0, TEXT("b"), NULL},
    {"link: noise before packet", 2, 0, 56, 0, TEXT("\x00\x01\xFF"), NULL},
    {"link: ACK out of the blue", 0, 0, 0, 0,
     TEXT("iiii\4\0\0\0\1\0\x80\x80\0\0\0"), NULL},
    {"link: RESEND out of the blue", 0, 0, 0, 0, TEXT("iiii\5\0\0\0\0\0\0\0\0\0\0"), NULL},
    {"link: RESET while stopped", 0, 0, 0, 0, TEXT("iiii\6\0\0\0\0\0\0\0\0\0\0"), "C6 D7 "},
    {"link: good after RESET", 2, 0, 56, 0, NO_DATA, NULL},
};
/* clang-format on */

static void send_probe(const struct link_probe *probe)
{
    static const uint8_t version[4100] = {0x46, 0x31, 0, 0, 0, 0, 0, 0, 3, 1};
    uint8_t bytes[4200];
    size_t size;

    peer_raw(&peer, probe->before, probe->before_size);
    if (probe->before && probe->type == 0 && probe->before_size > 1)
        peer_raw(&peer, "", 1); /* the last byte of a control packet */
    if (probe->type) {
        size = peer_encode(bytes, probe->type, peer.next_id ^ probe->id_xor, version, probe->size);
        if (probe->change)
            bytes[probe->change > 0 ? (size_t)probe->change : size - 1] ^= 1;
        peer_raw(&peer, bytes, size);
    }
    peer_run(&peer);
}

/* What came, as "C4 D2 ": control or data, and the type; data is acknowledged. */
static void collect(char *out)
{
    bool again = true;

    *out = 0;
    while (again) {
        struct peer_packet packet = peer_take(&peer);

        again = packet.there;
        if (again) {
            out += sprintf(out, "%c%u ", packet.control ? 'C' : 'D', packet.type);
            if (!packet.control && packet.type == PEER_MANIPULATE)
                peer.next_id ^= 1;
            if (packet.control && packet.type == PEER_RESET)
                peer.next_id = 0x80800000;
            if (!packet.control)
                peer_control(&peer, PEER_ACK, packet.id & ~0x800u);
            peer_run(&peer);
        } else if (peer.to_target.start != peer.to_target.end) {
            again = true;
            peer_run(&peer);
        }
    }
}

/* The recorded list in the same notation. */
static void recorded(const char *line, char *out)
{
    const char *at = strstr(line, "\"got\": [");

    *out = 0;
    while (at && (at = strstr(at, " type ")) != NULL) {
        out += sprintf(out, "%c%u ", at[-1], (unsigned)strtoul(at + 6, NULL, 10));
        at += 6;
    }
}

static void compare_link(const char *line)
{
    char name[64], ours[400], theirs[400];
    const struct link_probe *probe = NULL;

    if (!get(line, "probe", name, sizeof name) || strncmp(name, "link: ", 6) != 0 ||
        strcmp(name, "link: reply never acknowledged for 12 s") == 0) /* test_engine_link.c */
        return;
    for (size_t i = 0; i < sizeof link_probes / sizeof link_probes[0]; i++)
        if (strcmp(link_probes[i].name, name) == 0)
            probe = &link_probes[i];
    if (!CHECK(probe != NULL)) {
        fprintf(stderr, "recorded probe without a row here: %s\n", name);
        return;
    }
    send_probe(probe);
    collect(ours);
    peer_pass(&peer, 1000000); /* what a damaged packet left in the framer is decided by silence */
    collect(ours + strlen(ours));
    recorded(line, theirs);
    if (probe->ours) {
        CHECK_EQ_STR(ours, probe->ours);
        CHECK(strcmp(ours, theirs) != 0);
    } else if (!CHECK(strcmp(ours, theirs) == 0)) {
        fprintf(stderr, "%s: ours is \"%s\", theirs \"%s\"\n", name, ours, theirs);
    }
}

static FILE *answers;

static void link_rules(void)
{
    static char line[16384];
    unsigned lines = 0;

    peer_open(&peer);
    CHECK(peer_expect_stop(&peer).there);
    rewind(answers);
    while (fgets(line, sizeof line, answers)) {
        compare_link(line);
        lines += strstr(line, "\"link: ") != NULL;
    }
    CHECK(lines > 20);
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    peer_close(&peer);
}

static void requests(void)
{
    static char line[16384];
    unsigned lines = 0;

    peer_open(&peer);
    CHECK(peer_expect_stop(&peer).there);
    rewind(answers);
    while (fgets(line, sizeof line, answers)) {
        compare(line);
        lines++;
    }
    CHECK(lines > 150);
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    peer_close(&peer);
}

int main(void)
{
    static const struct check_case cases[] = {{"requests", requests}, {"link", link_rules}};
    const char *folder = getenv("KDLENS_CAPTURES");
    char path[4096];

    snprintf(path, sizeof path, "%s/windows-boot-debugger-answers.jsonl",
             folder ? folder : KDLENS_CAPTURES);
    answers = fopen(path, "r");
    if (!answers) {
        printf("skipped: no %s (set KDLENS_CAPTURES to the folder of real captures)\n", path);
        return 77;
    }
    return check_run(cases, sizeof cases / sizeof cases[0]);
}
