/* kdnet_repeat.c - makes a long KDNET capture out of a short one, for measurements.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *     kdnet_repeat IN.pcap KEY COUNT OUT.pcap
 *
 * OUT is IN, then the KD packets of IN's last session again and again until there are COUNT
 * datagrams. To a decoder they are what a longer session would have brought: each is opened, gets
 * the sequence number, packet id and time that follow, and is sealed again. Datagrams that stand
 * out (RESEND, RESET, the same packet twice, break-ins) come once, as in IN.
 *
 * IN is a classic pcap in the byte order of this machine, Ethernet with IPv4 and UDP.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/kdnet.h"
#include "kd/frame.h"

#define PCAP_MAGIC      0xa1b2c3d4u /* microseconds */
#define PCAP_HEADER     24
#define LINK_ETHERNET   1
#define IP_OFFSET       14
#define IP_MIN_SIZE     20
#define UDP_HEADER      8
#define UDP_CHECKSUM    6
#define FRAME_MAX       65536
#define ID_STEP         2
#define NO_ID           UINT32_MAX
#define TURNAROUND_USEC 1000 /* between two repetitions */

struct record {
    uint32_t seconds;
    uint32_t microseconds;
    uint32_t captured;
    uint32_t original;
};

/* A KD packet to be repeated. */
struct item {
    uint8_t *frame;
    size_t size;
    size_t payload; /* offset of the datagram in the frame */
    uint8_t *body;
    size_t body_size;
    uint64_t time;
    uint8_t version;
    bool from_debugger;
};

/* The ids of one end's data packets; the other end's ACKs name them. */
struct ids {
    uint32_t last;
    uint32_t first;
    uint32_t span;
};

struct repeat {
    uint8_t control_key[KDNET_KEY_SIZE];
    struct kdnet_cipher *control;
    struct kdnet_cipher *data;
    struct item *items;
    size_t count;
    size_t room;
    uint64_t sequence[2]; /* the last one, by from_debugger */
    struct ids ids[2];    /* by whether the debugger gave them */
    uint64_t last_time;
    uint64_t written;
    FILE *out;
};

static void fail(const char *what)
{
    fprintf(stderr, "kdnet_repeat: %s\n", what);
    exit(1);
}

static void *more(void *memory, size_t size)
{
    void *grown = realloc(memory, size);

    if (!grown)
        fail("out of memory");
    return grown;
}

static void *copy(const void *bytes, size_t size)
{
    return memcpy(more(NULL, size), bytes, size);
}

static void write_all(struct repeat *r, const void *bytes, size_t size)
{
    if (fwrite(bytes, 1, size, r->out) != size)
        fail("the output cannot be written");
}

static void write_frame(struct repeat *r, uint64_t time, const uint8_t *frame, size_t size)
{
    struct record record = {
        .seconds = (uint32_t)(time / 1000000),
        .microseconds = (uint32_t)(time % 1000000),
        .captured = (uint32_t)size,
        .original = (uint32_t)size,
    };

    write_all(r, &record, sizeof record);
    write_all(r, frame, size);
    r->written++;
}

/* Offset of the UDP payload, 0 when the frame has none. */
static size_t udp_payload(const uint8_t *frame, size_t size)
{
    size_t header;

    if (size < IP_OFFSET + IP_MIN_SIZE || frame[12] != 0x08 || frame[13] != 0)
        return 0;
    header = (size_t)(frame[IP_OFFSET] & 15) * 4;
    if (header < IP_MIN_SIZE || frame[IP_OFFSET + 9] != 17 ||
        size <= IP_OFFSET + header + UDP_HEADER)
        return 0;
    return IP_OFFSET + header + UDP_HEADER;
}

static struct ids *ids_of(struct repeat *r, uint32_t id)
{
    return &r->ids[(id & KD_KDNET_HOST_FIRST_ID) != 0];
}

/* Whether the packet is of the kind of which a session has any number. */
static bool is_ordinary(struct repeat *r, const uint8_t *body, size_t size)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)body;
    struct kd_frame frame;
    struct ids *ids;
    uint32_t id;

    kd_frame_datagram(body, size, &frame);
    if (frame.kind != KD_FRAME_PACKET || frame.flags)
        return false;
    if (kd_is_control(kd_get16(header->packet_type)))
        return kd_get16(header->packet_type) == KD_PACKET_ACKNOWLEDGE;
    id = kd_get32(header->packet_id);
    ids = ids_of(r, id);
    if (ids->last == id)
        return false;
    if (ids->last == NO_ID)
        ids->first = id;
    ids->last = id;
    ids->span = id - ids->first + ID_STEP;
    return true;
}

static void forget_session(struct repeat *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->items[i].frame);
        free(r->items[i].body);
    }
    r->count = 0;
    for (size_t i = 0; i < 2; i++) {
        r->sequence[i] = 0;
        r->ids[i] = (struct ids){NO_ID, 0, 0};
    }
}

static void see_control(struct repeat *r, const struct kdnet_datagram *datagram, uint8_t *plaintext)
{
    struct kdnet_plaintext out;
    struct kdnet_control control;
    uint8_t data_key[KDNET_KEY_SIZE];

    if (kdnet_open(r->control, datagram, plaintext, &out, true) != KDNET_OK)
        fail("a control datagram does not open: wrong key");
    if (kdnet_control_parse(plaintext + out.body_offset, out.body_size, &control) !=
        KDNET_CONTROL_RESPONSE)
        return;
    forget_session(r);
    kdnet_cipher_free(r->data);
    r->data = NULL;
    if (kdnet_data_key(r->control_key, control.response, data_key) == KDNET_OK)
        r->data = kdnet_cipher_new(data_key, r->control_key);
    if (!r->data)
        fail("libgcrypt fails");
}

static void see_data(struct repeat *r, const struct kdnet_datagram *datagram, uint8_t *plaintext,
                     const struct item *seen)
{
    struct kdnet_plaintext out;
    struct item item = *seen;

    if (!r->data || kdnet_open(r->data, datagram, plaintext, &out, true) != KDNET_OK)
        return;
    if (out.sequence > r->sequence[out.from_debugger])
        r->sequence[out.from_debugger] = out.sequence;
    if (!is_ordinary(r, plaintext + out.body_offset, out.body_size))
        return;
    item.from_debugger = out.from_debugger;
    item.version = datagram->version;
    item.body = copy(plaintext + out.body_offset, out.body_size);
    item.body_size = out.body_size;
    item.frame = copy(seen->frame, seen->size);
    if (r->count == r->room) {
        r->room = 2 * r->room + 64;
        r->items = more(r->items, r->room * sizeof *r->items);
    }
    r->items[r->count++] = item;
}

static void see_frame(struct repeat *r, uint64_t time, uint8_t *frame, size_t size)
{
    static uint8_t plaintext[FRAME_MAX];
    struct item item = {.frame = frame, .size = size, .time = time};
    struct kdnet_datagram datagram;

    item.payload = udp_payload(frame, size);
    if (!item.payload)
        return;
    switch (kdnet_classify(frame + item.payload, size - item.payload, &datagram)) {
    case KDNET_KIND_CONTROL:
        see_control(r, &datagram, plaintext);
        break;
    case KDNET_KIND_DATA:
        see_data(r, &datagram, plaintext, &item);
        break;
    default:
        break;
    }
}

static void read_capture(struct repeat *r, FILE *in)
{
    static uint8_t frame[FRAME_MAX];
    uint32_t header[PCAP_HEADER / sizeof(uint32_t)];
    struct record record;

    if (fread(header, PCAP_HEADER, 1, in) != 1 || header[0] != PCAP_MAGIC ||
        header[5] != LINK_ETHERNET)
        fail("the input is no Ethernet capture in pcap format with microseconds");
    write_all(r, header, PCAP_HEADER);
    while (fread(&record, sizeof record, 1, in) == 1) {
        if (record.captured > sizeof frame ||
            fread(frame, 1, record.captured, in) != record.captured)
            fail("the input is damaged");
        r->last_time = (uint64_t)record.seconds * 1000000 + record.microseconds;
        see_frame(r, r->last_time, frame, record.captured);
        write_frame(r, r->last_time, frame, record.captured);
    }
}

/* The item as it stands in the n-th repetition, n from 1. */
static void write_again(struct repeat *r, struct item *item, uint32_t n, uint64_t time)
{
    struct kd_packet_header *header = (struct kd_packet_header *)item->body;
    uint32_t id = kd_get32(header->packet_id);
    struct kdnet_message message = {
        .version = item->version,
        .from_debugger = item->from_debugger,
        .sequence = ++r->sequence[item->from_debugger],
        .body = item->body,
        .body_size = item->body_size,
    };
    size_t size;

    header->packet_id = kd_put32(id + n * ids_of(r, id)->span);
    if (kdnet_seal(r->data, &message, item->frame + item->payload, item->size - item->payload,
                   &size) != KDNET_OK ||
        size != item->size - item->payload)
        fail("a datagram cannot be sealed");
    header->packet_id = kd_put32(id);
    /* 0: the sender computed none. */
    memset(item->frame + item->payload - UDP_HEADER + UDP_CHECKSUM, 0, 2);
    write_frame(r, time, item->frame, item->size);
}

static void repeat(struct repeat *r, uint64_t count)
{
    uint64_t span;

    if (!r->count)
        fail("the input holds no session to repeat");
    span = r->last_time - r->items[0].time + TURNAROUND_USEC;
    for (uint32_t n = 1; r->written < count; n++)
        for (size_t i = 0; i < r->count && r->written < count; i++)
            write_again(r, &r->items[i], n, r->items[i].time + n * span);
}

int main(int argc, char **argv)
{
    struct repeat r = {.count = 0};
    struct kdnet_key_error error;
    FILE *in;

    if (argc != 5) {
        fprintf(stderr, "usage: kdnet_repeat IN.pcap KEY COUNT OUT.pcap\n");
        return 2;
    }
    if (kdnet_key_parse(argv[2], strlen(argv[2]), r.control_key, &error) != KDNET_KEY_OK)
        fail(error.text);
    r.control = kdnet_cipher_new(r.control_key, r.control_key);
    in = fopen(argv[1], "rb");
    r.out = fopen(argv[4], "wb");
    if (!r.control || !in || !r.out)
        fail("cannot begin: libgcrypt, the input or the output");
    forget_session(&r);
    read_capture(&r, in);
    repeat(&r, strtoull(argv[3], NULL, 10));
    fclose(in);
    if (fclose(r.out))
        fail("the output cannot be written");
    printf("%" PRIu64 " datagrams\n", r.written);
    forget_session(&r);
    free(r.items);
    kdnet_cipher_free(r.data);
    kdnet_cipher_free(r.control);
    return 0;
}
