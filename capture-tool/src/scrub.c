/* scrub.c - the verb scrub: a copy of a capture without what the target's memory held.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The capture is read twice: a KD packet may end records after the one in which it begins, so its
 * bytes are made first and put into place in the second pass. Every packet keeps its number, time
 * and size; one that has nothing to do with KD becomes an Ethernet frame of zeros.
 */
#include "scrub.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/output.h"
#include "clock.h"
#include "files.h"
#include "interrupt.h"
#include "keyring.h"
#include "progress.h"
#include "verbs.h"

#define LINKTYPE_ETHERNET 1u
#define ETHERNET          14u
#define ETHERTYPE_LOCAL   0x88B5u /* for local experiments: no protocol is behind it */

struct scrub_options {
    const char *capture;
    const char *out;
    const char *key;
    const char *key_file;
    bool keep_prints;
    bool json;
};

struct scrubbing {
    const struct scrub_options *options;
    struct problem *problem;
    struct kda_scrub scrub;
    struct keyring *keyring; /* NULL: a build without KDNET */
    struct scrub_lanes *lanes;
    struct scrub_net *net; /* NULL: no keys */
    struct kd_streams *streams;
    struct cap_reader *reader;
    struct cap_output *output;
    struct kd_chunk chunk; /* the next of the second pass; its bytes are gone */
    bool has_chunk;
    uint32_t frame;
    uint64_t packets, kd, blank, dropped, sealed;
    uint8_t *packet, *block;
    size_t packet_room, block_room;
};

/* --- the first pass */

static bool get_keys(struct scrubbing *it)
{
    const struct scrub_options *options = it->options;

    it->keyring = keyring_new(it->problem);
    if (!it->keyring)
        return !options->key && !options->key_file;
    if (options->key && !keyring_add(it->keyring, options->key, NULL, it->problem))
        return false;
    return !options->key_file ||
           keyring_add_file(it->keyring, options->key_file, NULL, it->problem);
}

static bool open_streams(struct scrubbing *it)
{
    struct cap_failure failure;
    struct cap_reader *reader = cap_reader_open(it->options->capture, &failure);

    kd_streams_free(it->streams);
    it->streams = NULL;
    if (!reader) {
        problem_set(it->problem, "%s: %s", it->options->capture, failure.text);
        return false;
    }
    it->streams = kd_streams_new(reader, it->keyring, it->problem);
    if (it->streams)
        kd_streams_want_all(it->streams);
    return it->streams != NULL;
}

/* What cannot be put back in place is refused before anything is written. */
static bool check_stream(struct scrubbing *it, const struct kd_chunk *chunk)
{
    enum kd_stream_kind kind = kd_streams_get(it->streams, chunk->stream)->kind;

    if (kind != KD_STREAM_TCP && kind != KD_STREAM_VMBUS)
        return true;
    problem_set(it->problem,
                "%s holds KD in %s, which is not scrubbed; make a recording of it first: kdlens "
                "import %s -w FILE",
                it->options->capture, kind == KD_STREAM_TCP ? "TCP" : "VMBus channels",
                it->options->capture);
    return false;
}

static bool is_lane(const struct scrubbing *it, const struct kd_chunk *chunk)
{
    enum kd_stream_kind kind = kd_streams_get(it->streams, chunk->stream)->kind;

    return kind == KD_STREAM_RECORDS || kind == KD_STREAM_PEER;
}

static bool check_pass(struct scrubbing *it, uint64_t opened)
{
    const struct kd_streams_tally *tally = kd_streams_tally(it->streams);
    const struct cap_failure *failure = kd_streams_failure(it->streams);

    if (interrupt_count()) {
        problem_set(it->problem, "interrupted; nothing is written");
        return false;
    }
    if (failure->kind != CAP_FAILURE_NONE) {
        problem_set(it->problem, "%s: offset %" PRIu64 ": %s; nothing is written",
                    it->options->capture, failure->offset, failure->text);
        return false;
    }
    if (tally->sealed && !opened) {
        problem_set(it->problem,
                    "%s: none of %" PRIu64 " KDNET datagrams opens; give the key with --key-file%s",
                    it->options->capture, tally->sealed,
                    it->keyring ? "" : ", to a kdlens that was built with KDNET");
        return false;
    }
    if (it->scrub.old) {
        problem_set(it->problem, "%s holds messages of the 32-bit protocol, which are not scrubbed",
                    it->options->capture);
        return false;
    }
    return true;
}

static bool first_pass(struct scrubbing *it)
{
    struct progress progress;
    struct kd_chunk chunk;
    uint64_t opened = 0;
    bool fine = open_streams(it);

    it->lanes = scrub_lanes_new(&it->scrub, it->problem);
    fine = fine && it->lanes;
    progress_start(&progress, it->options->capture);
    while (fine && interrupt_count() == 0 && kd_streams_next(it->streams, &chunk)) {
        progress_step(&progress, kd_streams_offset(it->streams));
        opened += chunk.kind == KD_CHUNK_DATAGRAM && chunk.datagram->opened;
        fine = check_stream(it, &chunk);
        if (!fine || !is_lane(it, &chunk))
            continue;
        fine = scrub_lanes_take(it->lanes, &chunk);
        if (!fine)
            problem_set(it->problem, "out of memory, or no room for a temporary file");
    }
    progress_end(&progress);
    return fine && scrub_lanes_end(it->lanes) && check_pass(it, opened);
}

/* --- blocks */

static size_t write_nothing(void *context, uint8_t *out, size_t room)
{
    (void)context, (void)out, (void)room;
    return 0; /* the section is written with the rest */
}

static bool have_room(struct scrubbing *it, uint8_t **bytes, size_t *room, size_t size)
{
    uint8_t *grown;

    if (size <= *room)
        return true;
    grown = realloc(*bytes, size);
    if (!grown) {
        problem_set(it->problem, "out of memory");
        return false;
    }
    *bytes = grown;
    *room = size;
    return true;
}

static size_t encode(uint8_t *out, size_t room, const struct cap_item *item)
{
    static const struct cap_section section = {
        .application = {"kdlens " KDLENS_VERSION, sizeof "kdlens " KDLENS_VERSION - 1}};
    struct cap_interface interface;
    struct cap_statistics statistics;

    switch (item->kind) {
    case CAP_ITEM_SECTION:
        return cap_encode_section(out, room, &section);
    case CAP_ITEM_INTERFACE:
        interface = (struct cap_interface){.linktype = item->interface.linktype,
                                           .snaplen = item->interface.snaplen,
                                           .name = item->interface.name,
                                           .speed = item->interface.speed};
        return cap_encode_interface(out, room, &interface);
    case CAP_ITEM_STATISTICS:
        statistics = item->statistics;
        statistics.comments = (struct cap_comments){0};
        return cap_encode_statistics(out, room, &statistics);
    default:
        return cap_encode_packet(out, room, &item->packet);
    }
}

static bool write_item(struct scrubbing *it, const struct cap_item *item)
{
    size_t size = encode(NULL, 0, item);

    if (!have_room(it, &it->block, &it->block_room, size))
        return false;
    encode(it->block, size, item);
    if (size && cap_output_write(it->output, it->block, size, clock_monotonic()))
        return true;
    problem_set(it->problem, "%s: not all could be written", it->options->out);
    return false;
}

/* --- packets */

/* The checksum of a UDP datagram whose payload changed, after RFC 1624: what was wrong stays wrong,
 * and what the capture lacks does not matter. 0 means there is none. */
static void renew_checksum(uint8_t *payload, const uint8_t *before, size_t size)
{
    uint32_t old = (uint32_t)payload[-2] << 8 | payload[-1], sum = ~old & 0xFFFF;

    if (old == 0)
        return;
    for (size_t i = 0; i < size; i += 2) {
        sum += ~((uint32_t)before[i] << 8 | (i + 1 < size ? before[i + 1] : 0u)) & 0xFFFF;
        sum += (uint32_t)payload[i] << 8 | (i + 1 < size ? payload[i + 1] : 0u);
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = ~sum & 0xFFFF;
    if (sum == 0)
        sum = 0xFFFF;
    payload[-2] = (uint8_t)(sum >> 8);
    payload[-1] = (uint8_t)sum;
}

static bool find_payload(const struct cap_item *item, struct datagram *datagram)
{
    return datagram_find(item->linktype, item->packet.data.bytes, item->packet.data.size, datagram);
}

/* Where the chunk's bytes are in the copy of the packet. NULL: nowhere, so the two passes differ.
 */
static uint8_t *place_of(struct scrubbing *it, const struct cap_item *item,
                         const struct datagram *datagram)
{
    size_t size = item->packet.data.size;

    if (kd_streams_get(it->streams, it->chunk.stream)->kind == KD_STREAM_RECORDS)
        return it->chunk.size <= size ? it->packet + size - it->chunk.size : NULL;
    return datagram->bytes ? it->packet + (datagram->bytes - item->packet.data.bytes) : NULL;
}

/* Puts what a chunk of this packet became into the copy. */
static bool put_chunk(struct scrubbing *it, const struct cap_item *item,
                      const struct datagram *datagram)
{
    enum kd_stream_kind kind = kd_streams_get(it->streams, it->chunk.stream)->kind;
    uint8_t *place = place_of(it, item, datagram);
    struct kd_frame frame;

    if (!place)
        return false;
    if (kind == KD_STREAM_PLAIN) {
        kd_frame_datagram(place, datagram->size, &frame);
        kda_scrub_frame(&it->scrub, &frame, place);
    } else if (!scrub_lanes_give(it->lanes, &it->chunk, place)) {
        return false;
    }
    if (kind != KD_STREAM_RECORDS)
        renew_checksum(place, datagram->bytes, datagram->size);
    return true;
}

/* False when a chunk of this packet could not be put in place. */
static bool put_chunks(struct scrubbing *it, const struct cap_item *item,
                       const struct datagram *datagram, bool *known)
{
    while (it->has_chunk && it->chunk.frame <= it->frame) {
        enum kd_stream_kind kind = kd_streams_get(it->streams, it->chunk.stream)->kind;

        if (it->chunk.kind == KD_CHUNK_BYTES && kind != KD_STREAM_KDNET) {
            *known = true;
            if (it->chunk.frame != it->frame || !put_chunk(it, item, datagram))
                return false;
        }
        it->has_chunk = kd_streams_next(it->streams, &it->chunk);
    }
    return true;
}

static void put_kdnet(struct scrubbing *it, const struct cap_item *item,
                      const struct datagram *datagram, bool *known)
{
    uint8_t *place = it->packet + (datagram->bytes - item->packet.data.bytes);

    switch (scrub_net_datagram(it->net, datagram, place)) {
    case SCRUB_NET_DONE:
        renew_checksum(place, datagram->bytes, datagram->size);
        *known = true;
        break;
    case SCRUB_NET_SEALED:
        it->sealed++;
        break;
    case SCRUB_NET_OTHER:
        break;
    }
}

/* A record of a tap without bytes: a note. Its comment is not copied. */
static bool is_note(const struct cap_item *item)
{
    struct cap_upper_pdu pdu;

    return item->linktype == CAP_LINKTYPE_UPPER_PDU &&
           cap_upper_pdu_decode(item->packet.data.bytes, item->packet.data.size, &pdu) &&
           pdu.data.size == 0;
}

/* Nothing of a packet that is none of KD. False: a frame without content cannot be made. */
static bool make_blank(struct scrubbing *it, const struct cap_item *item)
{
    if (item->linktype != LINKTYPE_ETHERNET || item->packet.data.size < ETHERNET)
        return false;
    memset(it->packet, 0, item->packet.data.size);
    it->packet[12] = ETHERTYPE_LOCAL >> 8;
    it->packet[13] = ETHERTYPE_LOCAL & 0xFF;
    it->blank++;
    return true;
}

static bool copy_packet(struct scrubbing *it, const struct cap_item *item)
{
    struct datagram datagram = {.bytes = NULL};
    struct cap_item copy = *item;
    bool known = false;

    it->frame++;
    it->packets++;
    if (!have_room(it, &it->packet, &it->packet_room, item->packet.data.size + 1))
        return false;
    memcpy(it->packet, item->packet.data.bytes, item->packet.data.size);
    if (!find_payload(item, &datagram))
        datagram.bytes = NULL;
    if (!put_chunks(it, item, &datagram, &known)) {
        problem_set(it->problem, "%s changed while it was read", it->options->capture);
        return false;
    }
    if (!known && it->net && datagram.bytes)
        put_kdnet(it, item, &datagram, &known);
    it->kd += known;
    if (!known && !is_note(item) && !make_blank(it, item)) {
        it->dropped++;
        return true;
    }
    copy.packet.data.bytes = it->packet;
    copy.packet.head = (struct cap_bytes){0};
    copy.packet.comments = (struct cap_comments){0};
    return write_item(it, &copy);
}

/* --- the second pass */

static bool open_output(struct scrubbing *it)
{
    const struct cap_output_options options = {.path = it->options->out, .header = write_nothing};
    struct cap_failure failure;
    char error[256];

    it->reader = cap_reader_open(it->options->capture, &failure);
    if (!it->reader) {
        problem_set(it->problem, "%s: %s", it->options->capture, failure.text);
        return false;
    }
    it->output = cap_output_open(&options, clock_monotonic(), error, sizeof error);
    if (!it->output)
        problem_set(it->problem, "%s", error);
    return it->output != NULL;
}

static bool copy_item(struct scrubbing *it, const struct cap_item *item)
{
    switch (item->kind) {
    case CAP_ITEM_SECTION:
    case CAP_ITEM_INTERFACE:
    case CAP_ITEM_STATISTICS:
        return write_item(it, item);
    case CAP_ITEM_PACKET:
        return copy_packet(it, item);
    default:
        return true; /* keys, names, and what is not known */
    }
}

static bool second_pass(struct scrubbing *it)
{
    struct progress progress;
    struct cap_item item;
    bool fine = open_streams(it);

    if (fine && it->keyring && keyring_count(it->keyring))
        fine = (it->net = scrub_net_new(&it->scrub, it->keyring, it->problem)) != NULL;
    fine = fine && open_output(it);
    if (fine)
        it->has_chunk = kd_streams_next(it->streams, &it->chunk);
    progress_start(&progress, it->options->capture);
    while (fine && interrupt_count() == 0 && cap_reader_next(it->reader, &item)) {
        progress_step(&progress, item.offset);
        fine = copy_item(it, &item);
    }
    progress_end(&progress);
    if (fine && interrupt_count()) {
        problem_set(it->problem, "interrupted; %s is not whole", it->options->out);
        fine = false;
    }
    return fine;
}

static bool finish(struct scrubbing *it, bool fine)
{
    char error[256];

    if (it->output && !cap_output_close(it->output, clock_monotonic(), NULL, error, sizeof error)) {
        problem_set(it->problem, "%s", error);
        fine = false;
    }
    if (it->reader)
        cap_reader_close(it->reader);
    kd_streams_free(it->streams);
    scrub_lanes_free(it->lanes);
    scrub_net_free(it->net);
    keyring_free(it->keyring);
    free(it->packet);
    free(it->block);
    return fine;
}

/* --- the verb */

static void tell(const struct scrubbing *it)
{
    printf("%" PRIu64 " packets, %" PRIu64 " of KD; taken out: %" PRIu64 " bytes in %" PRIu64
           " KD packets\n",
           it->packets, it->kd, it->scrub.bytes, it->scrub.packets);
    if (it->blank)
        printf("%" PRIu64 " packets are frames of zeros now: %s\n", it->blank,
               it->sealed ? "no KD, or KDNET that no key opens" : "no KD");
    if (it->dropped)
        printf("%" PRIu64 " packets that are no KD are left out\n", it->dropped);
    if (it->net)
        printf("KDNET opens with the key " SCRUB_KEY " now\n");
}

static void tell_json(const struct scrubbing *it)
{
    printf("{\"packets\": %" PRIu64 ", \"kd\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"changed\": %" PRIu64 ", \"blank\": %" PRIu64 ", \"left_out\": %" PRIu64
           ", \"sealed\": %" PRIu64,
           it->packets, it->kd, it->scrub.bytes, it->scrub.packets, it->blank, it->dropped,
           it->sealed);
    printf("%s}\n", it->net ? ", \"key\": \"" SCRUB_KEY "\"" : "");
}

static const char *check(const struct scrub_options *options)
{
    if (!options->out)
        return "the file is missing: -w FILE";
    if (strcmp(options->out, "-") == 0)
        return "standard output has the list; -w takes a file";
    if (strcmp(options->capture, "-") == 0)
        return "it reads the capture twice, which standard input cannot do";
    if (file_same(options->out, options->capture))
        return "it would overwrite CAPTURE";
    return NULL;
}

static int run(void *values)
{
    const struct scrub_options *options = values;
    struct problem problem = {.text = ""};
    struct scrubbing it = {.options = options, .problem = &problem};
    const char *wrong = check(options);
    bool fine;

    if (wrong) {
        fprintf(stderr, "kdlens scrub: %s\n", wrong);
        return EXIT_USAGE;
    }
    if (options->key)
        fprintf(stderr, "kdlens scrub: a key on the command line can be seen by other users; "
                        "--key-file hides it\n");
    it.scrub.keep_texts = options->keep_prints;
    interrupt_catch();
    fine = get_keys(&it) && first_pass(&it) && second_pass(&it);
    if (fine && options->json)
        tell_json(&it);
    else if (fine)
        tell(&it);
    fine = finish(&it, fine);
    if (!fine)
        fprintf(stderr, "kdlens scrub: %s\n", problem.text);
    return fine ? EXIT_OK : EXIT_FAILED;
}

#define MEMBER(name) offsetof(struct scrub_options, name)

static const struct operand operands[] = {
    {"CAPTURE", "a pcapng or pcap file, also compressed by gzip", MEMBER(capture),
     .complete = COMPLETE_FILE},
    {0},
};

static const struct option options[] = {
    {'w', "write", OPTION_TEXT, MEMBER(out), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "the pcapng file to make; compressed when it ends in .gz"},
    {0, "keep-prints", OPTION_FLAG, MEMBER(keep_prints),
     .help = "leave texts as they are: prints, prompts and answers, commands, other text on the "
             "line"},
    {0, "json", OPTION_FLAG, MEMBER(json), .help = "one JSON line: what was done"},
    KEYRING_OPTIONS(MEMBER(key_file), MEMBER(key)),
    {0},
};

static const struct section sections[] = {
    {"What is taken out",
     "Memory that was read, written, searched for or filled; registers, control space, values of "
     "ports and MSRs; the instructions in stops; contents of files; texts, unless they are to "
     "stay; keys and comments in the file; packets that are no KD, which become frames of zeros. "
     "Sizes stay, checksums are made anew, wrong ones stay wrong."},
    {"What is kept",
     "Times, sizes, packet types and ids, every request with its addresses, sizes, handles and "
     "result, what the target says of itself, stops with their program counters and exceptions, "
     "names of modules and files with their paths, and the ends' network addresses. Look at these "
     "before you give the file away."},
    {"KDNET",
     "Its datagrams are opened and sealed again with the key " SCRUB_KEY
     ", which everybody may know. Those that no key opens become frames of zeros; when none opens, "
     "nothing is written. KD in TCP and in VMBus channels is refused: kdlens import makes a "
     "recording of it that can be scrubbed."},
    {0},
};

static const struct example examples[] = {
    {"kdlens scrub session.pcapng -w public.pcapng", "a copy for a bug report"},
    {"kdlens scrub kdnet.pcapng --key-file key.txt -w public.pcapng.gz", "the same of KDNET"},
    {0},
};

const struct verb verb_scrub = {
    .name = "scrub",
    .summary = "copy a capture without memory contents and keys",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct scrub_options),
    .run = run,
};
