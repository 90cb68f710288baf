/* keys_list.c - `kdlens keys list`. See keys_list.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "keys_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/reader.h"
#include "datagram.h"
#include "json.h"
#include "kdnet_opener.h"
#include "key_comment.h"
#include "options.h"
#include "progress.h"

/* Two ends that exchange KDNET. */
struct talk {
    struct datagram_end ends[2];
    uint64_t datagrams, opened;
};

struct listing {
    const struct keys_list_options *options;
    struct keyring *keyring;
    struct kdnet_opener *opener;
    uint64_t packets;
    size_t places; /* keys found: one for each place */
    size_t told;   /* keys of the keyring that were printed as one of the secrets */
    struct talk talks[KDNET_FLOWS_MAX];
    size_t talk_count;
};

/* packet: 0 for the secrets block. */
static void print_place(struct listing *listing, uint64_t packet, const char *whom, const char *key)
{
    listing->places++;
    if (listing->options->json) {
        printf("{\"key\": %zu, \"in\": \"%s\"", listing->places, packet ? "comment" : "secrets");
        if (packet)
            printf(", \"packet\": %" PRIu64, packet);
        printf(", \"for\": ");
        json_text(stdout, whom);
        if (listing->options->show) {
            printf(", \"text\": ");
            json_text(stdout, key);
        }
        printf("}\n");
        return;
    }
    if (packet)
        printf("key in the comment of packet %" PRIu64, packet);
    else
        printf("key in the secrets, for %s", whom);
    printf("%s%s\n", listing->options->show ? ": " : "", listing->options->show ? key : "");
}

static void see_secrets(struct listing *listing, const struct cap_secrets *secrets)
{
    char whom[KEYRING_LINE_SIZE], key[KEYRING_LINE_SIZE];
    struct problem problem;

    if (secrets->type != CAP_SECRET_KDNK)
        return;
    if (!keyring_add_log(listing->keyring, (const char *)secrets->data.bytes, secrets->data.size,
                         NULL, &problem))
        fprintf(stderr, "kdlens keys: %s: the secrets: %s\n", listing->options->capture,
                problem.text);
    for (; listing->told < keyring_count(listing->keyring); listing->told++) {
        keyring_whom(listing->keyring, listing->told, whom);
        keyring_key(listing->keyring, listing->told, key);
        print_place(listing, 0, whom, key);
    }
}

static void see_comments(struct listing *listing, const struct cap_comments *comments)
{
    char key[KEYRING_LINE_SIZE];
    struct key_comment found;
    struct problem problem;

    for (size_t i = 0; i < comments->count; i++) {
        if (!key_comment_find(comments->list[i], &found) || found.key.size >= sizeof key)
            continue;
        snprintf(key, sizeof key, "%.*s", (int)found.key.size, found.key.bytes);
        if (!keyring_add(listing->keyring, key, NULL, &problem))
            fprintf(stderr, "kdlens keys: %s, packet %" PRIu64 ": %s\n", listing->options->capture,
                    listing->packets, problem.text);
        listing->told = keyring_count(listing->keyring);
        print_place(listing, listing->packets, "any", key);
    }
}

static struct talk *find_talk(struct listing *listing, const struct datagram *datagram)
{
    struct talk *talk;

    for (size_t i = 0; i < listing->talk_count; i++) {
        talk = &listing->talks[i];
        for (int way = 0; way < 2; way++)
            if (datagram_end_equal(&talk->ends[way], &datagram->source) &&
                datagram_end_equal(&talk->ends[!way], &datagram->destination))
                return talk;
    }
    if (listing->talk_count == KDNET_FLOWS_MAX)
        return NULL;
    talk = &listing->talks[listing->talk_count++];
    talk->ends[0] = datagram->source;
    talk->ends[1] = datagram->destination;
    return talk;
}

static void see_packet(struct listing *listing, const struct cap_item *item)
{
    struct datagram datagram;
    struct kdnet_seen seen;
    struct talk *talk;

    listing->packets++;
    see_comments(listing, &item->packet.comments);
    if (!datagram_find(item->linktype, item->packet.data.bytes, item->packet.data.size,
                       &datagram) ||
        !kdnet_is_datagram(&datagram) || !(talk = find_talk(listing, &datagram)))
        return;
    talk->datagrams++;
    kdnet_opener_see(listing->opener, &datagram, &seen);
    talk->opened += seen.kind != KDNET_SEEN_SEALED && seen.kind != KDNET_SEEN_OTHER;
}

static void print_talks(const struct listing *listing)
{
    for (size_t i = 0; i < listing->talk_count; i++) {
        const struct talk *talk = &listing->talks[i];
        char ends[2][DATAGRAM_END_TEXT_SIZE];

        for (int j = 0; j < 2; j++)
            datagram_end_text(&talk->ends[j], ends[j]);
        if (listing->options->json)
            printf("{\"ends\": [\"%s\", \"%s\"], \"datagrams\": %" PRIu64 ", \"opened\": %" PRIu64
                   "}\n",
                   ends[0], ends[1], talk->datagrams, talk->opened);
        else
            printf("%s and %s: %" PRIu64 " of %" PRIu64 " datagrams open\n", ends[0], ends[1],
                   talk->opened, talk->datagrams);
    }
}

static int list_all(struct listing *listing, struct cap_reader *reader)
{
    const struct cap_failure *failure;
    struct progress progress;
    struct cap_item item;

    progress_start(&progress, listing->options->capture);
    while (cap_reader_next(reader, &item)) {
        if (item.kind == CAP_ITEM_SECRETS)
            see_secrets(listing, &item.secrets);
        else if (item.kind == CAP_ITEM_PACKET)
            see_packet(listing, &item);
        progress_step(&progress, item.offset);
    }
    progress_end(&progress);
    print_talks(listing);
    if (listing->places == 0 && !listing->options->json)
        printf("no keys\n");
    failure = cap_reader_failure(reader);
    if (failure->kind == CAP_FAILURE_NONE)
        return EXIT_OK;
    fprintf(stderr, "kdlens keys: %s: offset %" PRIu64 ": %s\n", listing->options->capture,
            failure->offset, failure->text);
    return EXIT_FAILED;
}

int keys_list(const struct keys_list_options *options)
{
    struct listing *listing = calloc(1, sizeof *listing);
    struct problem problem = {"out of memory"};
    struct cap_failure failure;
    struct cap_reader *reader = NULL;
    int status = EXIT_FAILED;

    if (listing) {
        listing->options = options;
        listing->keyring = keyring_new(&problem);
        listing->opener = listing->keyring ? kdnet_opener_new(listing->keyring, &problem) : NULL;
    }
    if (listing && listing->opener && !(reader = cap_reader_open(options->capture, &failure)))
        problem_set(&problem, "%s: %s", options->capture, failure.text);
    if (reader) {
        status = list_all(listing, reader);
        cap_reader_close(reader);
    } else {
        fprintf(stderr, "kdlens keys: %s\n", problem.text);
    }
    if (listing) {
        kdnet_opener_free(listing->opener);
        keyring_free(listing->keyring);
    }
    free(listing);
    return status;
}
