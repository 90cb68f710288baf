/* keys_copy.c - copying captures for `kdlens keys`. See keys_copy.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "keys_copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/output.h"
#include "capture/pcapng.h"
#include "clock.h"
#include "datagram.h"
#include "interrupt.h"
#include "kdnet_opener.h"
#include "key_comment.h"
#include "progress.h"

#define SECTION_LENGTH 16u /* where a section block has the section's length */

struct copy {
    const struct keys_copy_options *options;
    struct keys_copy_result *result;
    struct problem *problem;
    struct cap_reader *reader;
    struct cap_output *output;
    struct kdnet_opener *opener; /* add */
    bool inserted;               /* the secrets are written, or there are none */
    bool big_endian;             /* of the first section */
    uint8_t *block;
    size_t room;
    /* Of the packet at hand: its comments, and texts of those that are new. */
    struct cap_text list[CAP_COMMENTS_MAX + KEYRING_KEYS_MAX];
    size_t count;
    char *text; /* new comments, one behind the other */
    size_t text_size, text_room;
};

static size_t write_nothing(void *context, uint8_t *out, size_t room)
{
    (void)context, (void)out, (void)room;
    return 0; /* the section is copied with the rest */
}

static bool out_of_memory(struct copy *copy)
{
    problem_set(copy->problem, "out of memory");
    return false;
}

static bool have_room(struct copy *copy, size_t size)
{
    uint8_t *grown;

    if (size <= copy->room)
        return true;
    grown = realloc(copy->block, size);
    if (!grown)
        return out_of_memory(copy);
    copy->block = grown;
    copy->room = size;
    return true;
}

static bool write_block(struct copy *copy, const uint8_t *block, size_t size)
{
    if (cap_output_write(copy->output, block, size, clock_monotonic()))
        return true;
    problem_set(copy->problem, "%s: not all could be written", copy->options->to);
    return false;
}

/* --- blocks that a pcap file does not have */

static bool write_section(struct copy *copy, const struct cap_item *item)
{
    size_t size;

    if (item->block.size == 0) {
        const struct cap_section section = {.application = cap_text("kdlens " KDLENS_VERSION)};

        size = cap_encode_section(NULL, 0, &section);
        return have_room(copy, size) &&
               write_block(copy, copy->block, cap_encode_section(copy->block, size, &section));
    }
    size = item->block.size;
    if (!have_room(copy, size))
        return false;
    memcpy(copy->block, item->block.bytes, size);
    memset(copy->block + SECTION_LENGTH, 0xff, 8); /* not said: it would no longer be right */
    return write_block(copy, copy->block, size);
}

static bool write_interface(struct copy *copy, const struct cap_item *item)
{
    size_t size;

    if (item->block.size)
        return write_block(copy, item->block.bytes, item->block.size);
    size = cap_encode_interface(NULL, 0, &item->interface);
    return have_room(copy, size) &&
           write_block(copy, copy->block,
                       cap_encode_interface(copy->block, size, &item->interface));
}

/* The packet with these comments instead of its own. Sets *carried when it can carry any. */
static bool write_packet(struct copy *copy, const struct cap_item *item, bool *carried)
{
    struct cap_packet packet = item->packet;
    const struct cap_comments comments = {copy->list, copy->count};
    size_t size;

    packet.comments = comments;
    *carried = true;
    if (item->block.size) {
        size = cap_encode_with_comments(NULL, 0, item->block, item->big_endian, &comments);
        *carried = size > 0;
        if (size == 0)
            return write_block(copy, item->block.bytes, item->block.size);
        return have_room(copy, size) &&
               write_block(copy, copy->block,
                           cap_encode_with_comments(copy->block, size, item->block,
                                                    item->big_endian, &comments));
    }
    size = cap_encode_packet(NULL, 0, &packet);
    return have_room(copy, size) &&
           write_block(copy, copy->block, cap_encode_packet(copy->block, size, &packet));
}

/* --- comments */

static struct cap_text trimmed(struct cap_text text)
{
    while (text.size && strchr(" \t\r\n", text.bytes[text.size - 1]))
        text.size--;
    while (text.size && strchr(" \t\r\n", text.bytes[0])) {
        text.bytes++;
        text.size--;
    }
    return text;
}

/* Adds words to the new text that begins at start. There is room: have_text saw to it. */
static void add_words(struct copy *copy, size_t start, struct cap_text words)
{
    words = trimmed(words);
    if (words.size && copy->text_size > start)
        copy->text[copy->text_size++] = ' ';
    if (words.size)
        memcpy(copy->text + copy->text_size, words.bytes, words.size);
    copy->text_size += words.size;
}

/* The new text that begins at start becomes a comment, unless it is empty. */
static void add_comment(struct copy *copy, size_t start)
{
    if (copy->text_size > start)
        copy->list[copy->count++] = (struct cap_text){copy->text + start, copy->text_size - start};
}

/* The packet's comments without keys. Returns whether there were some. */
static bool strip_comments(struct copy *copy, const struct cap_item *item)
{
    uint64_t before = copy->result->comments;

    for (size_t i = 0; i < item->packet.comments.count; i++) {
        struct cap_text rest = item->packet.comments.list[i];
        struct key_comment found;
        size_t start = copy->text_size;

        if (!key_comment_find(rest, &found)) {
            copy->list[copy->count++] = rest;
            continue;
        }
        copy->result->comments++;
        do {
            add_words(copy, start, found.before);
            rest = found.after;
        } while (key_comment_find(rest, &found));
        add_words(copy, start, rest);
        add_comment(copy, start);
    }
    return copy->result->comments > before;
}

static bool has_key(const struct cap_item *item, const char *key)
{
    struct key_comment found;

    for (size_t i = 0; i < item->packet.comments.count; i++)
        if (key_comment_find(item->packet.comments.list[i], &found) &&
            found.key.size == strlen(key) && memcmp(found.key.bytes, key, found.key.size) == 0)
            return true;
    return false;
}

/* The packet's comments, with the keys that are for it and that no packet before it carries; `keys`
 * tells which. Returns whether one was added. */
static bool add_keys(struct copy *copy, const struct cap_item *item,
                     const struct datagram *datagram, bool keys[KEYRING_KEYS_MAX])
{
    const struct keyring *keyring = copy->options->add;
    char key[KEYRING_LINE_SIZE];

    for (size_t i = 0; i < item->packet.comments.count; i++)
        copy->list[copy->count++] = item->packet.comments.list[i];
    for (size_t i = 0; i < keyring_count(keyring); i++) {
        size_t start = copy->text_size;

        keys[i] = !copy->result->first[i] && keyring_applies(keyring, i, datagram);
        if (!keys[i])
            continue;
        keyring_key(keyring, i, key);
        if (has_key(item, key))
            continue;
        add_words(copy, start, cap_text(KEY_COMMENT_MARK));
        add_words(copy, start, cap_text(key));
        add_comment(copy, start);
    }
    keyring_wipe(key, sizeof key);
    return copy->count > item->packet.comments.count;
}

/* --- items */

/* Room for the texts of a packet's new comments. */
static bool have_text(struct copy *copy, const struct cap_item *item)
{
    size_t size = (size_t)KEYRING_KEYS_MAX * KEYRING_LINE_SIZE;
    char *grown;

    for (size_t i = 0; i < item->packet.comments.count; i++)
        size += item->packet.comments.list[i].size;
    copy->count = copy->text_size = 0;
    if (size <= copy->text_room)
        return true;
    grown = realloc(copy->text, size);
    if (!grown)
        return out_of_memory(copy);
    copy->text = grown;
    copy->text_room = size;
    return true;
}

/* Whether a packet may carry keys that are put in. */
static bool see_datagram(struct copy *copy, const struct cap_item *item, struct datagram *datagram)
{
    struct kdnet_seen seen;

    if (!datagram_find(item->linktype, item->packet.data.bytes, item->packet.data.size, datagram) ||
        !kdnet_is_datagram(datagram))
        return false;
    kdnet_opener_see(copy->opener, datagram, &seen);
    if (seen.kind == KDNET_SEEN_SEALED)
        copy->result->sealed++;
    else if (seen.kind != KDNET_SEEN_OTHER)
        copy->result->opened[seen.key]++;
    return true;
}

static bool edit_comments(struct copy *copy, const struct cap_item *item,
                          bool keys[KEYRING_KEYS_MAX])
{
    struct datagram datagram;

    if (!copy->options->add)
        return strip_comments(copy, item);
    return see_datagram(copy, item, &datagram) && add_keys(copy, item, &datagram, keys);
}

static bool copy_packet(struct copy *copy, const struct cap_item *item)
{
    bool keys[KEYRING_KEYS_MAX] = {false}, carried = true, fine;

    copy->result->packets++;
    if (!have_text(copy, item))
        return false;
    if (edit_comments(copy, item, keys) || item->block.size == 0)
        fine = write_packet(copy, item, &carried);
    else
        fine = write_block(copy, item->block.bytes, item->block.size);
    for (size_t i = 0; carried && i < KEYRING_KEYS_MAX; i++)
        if (keys[i])
            copy->result->first[i] = copy->result->packets;
    return fine;
}

/* The keys as a secrets block. */
static bool insert_secrets(struct copy *copy)
{
    char lines[KEYRING_KEYS_MAX * (KEYRING_LINE_SIZE + 1)], line[KEYRING_LINE_SIZE];
    struct cap_secrets secrets = {.type = CAP_SECRET_KDNK, .big_endian = copy->big_endian};
    size_t used = 0, size;
    bool fine;

    copy->inserted = true;
    for (size_t i = 0; i < keyring_count(copy->options->add); i++) {
        keyring_line(copy->options->add, i, line);
        used += (size_t)snprintf(lines + used, sizeof lines - used, "%s\n", line);
    }
    secrets.data = (struct cap_bytes){(const uint8_t *)lines, used};
    size = cap_encode_secrets(NULL, 0, &secrets);
    fine = have_room(copy, size) &&
           write_block(copy, copy->block, cap_encode_secrets(copy->block, size, &secrets));
    keyring_wipe(lines, sizeof lines);
    keyring_wipe(line, sizeof line);
    return fine;
}

/* Secrets that stand where ours would go are joined with ours. */
static bool copy_secrets(struct copy *copy, const struct cap_item *item)
{
    struct problem ignored;
    bool ours = item->secrets.type == CAP_SECRET_KDNK;

    if (ours && !copy->options->add) {
        copy->result->secrets++;
        return true;
    }
    if (ours && !copy->inserted &&
        keyring_add_log(copy->options->add, (const char *)item->secrets.data.bytes,
                        item->secrets.data.size, NULL, &ignored))
        return true;
    return write_block(copy, item->block.bytes, item->block.size);
}

/* Whether the secrets must be written before this block: they follow the first section's
 * interfaces. */
static bool is_due(const struct copy *copy, const struct cap_item *item)
{
    if (!copy->options->add || copy->inserted || item->kind == CAP_ITEM_INTERFACE)
        return false;
    if (item->kind == CAP_ITEM_SECTION)
        return item->offset != 0;
    return item->kind != CAP_ITEM_SECRETS || item->secrets.type != CAP_SECRET_KDNK;
}

/* Only a file that begins as a capture does is worth making another one for. */
static bool have_output(struct copy *copy)
{
    const struct cap_output_options options = {.path = copy->options->to, .header = write_nothing};
    char error[256];

    if (copy->output)
        return true;
    copy->output = cap_output_open(&options, clock_monotonic(), error, sizeof error);
    if (!copy->output)
        problem_set(copy->problem, "%s", error);
    return copy->output != NULL;
}

static bool copy_item(struct copy *copy, const struct cap_item *item)
{
    if (!have_output(copy))
        return false;
    if (item->kind == CAP_ITEM_SECTION && item->offset == 0)
        copy->big_endian = item->big_endian;
    if (is_due(copy, item) && !insert_secrets(copy))
        return false;
    switch (item->kind) {
    case CAP_ITEM_SECTION:
        return write_section(copy, item);
    case CAP_ITEM_INTERFACE:
        return write_interface(copy, item);
    case CAP_ITEM_PACKET:
        return copy_packet(copy, item);
    case CAP_ITEM_SECRETS:
        return copy_secrets(copy, item);
    default:
        return write_block(copy, item->block.bytes, item->block.size);
    }
}

static bool copy_items(struct copy *copy)
{
    struct cap_item item;
    struct progress progress;
    bool fine = true;

    progress_start(&progress, copy->options->from);
    interrupt_catch();
    while (fine && interrupt_count() == 0 && cap_reader_next(copy->reader, &item)) {
        fine = copy_item(copy, &item);
        progress_step(&progress, item.offset);
    }
    progress_end(&progress);
    copy->result->failure = *cap_reader_failure(copy->reader);
    copy->result->interrupted = interrupt_count() > 0;
    if (fine && copy->options->add && copy->output && !copy->inserted)
        fine = insert_secrets(copy);
    return fine;
}

static bool open_capture(struct copy *copy)
{
    copy->reader = cap_reader_open(copy->options->from, &copy->result->failure);
    if (!copy->reader) {
        problem_set(copy->problem, "%s: %s", copy->options->from, copy->result->failure.text);
        return false;
    }
    cap_reader_want_others(copy->reader);
    if (copy->options->add)
        copy->opener = kdnet_opener_new(copy->options->add, copy->problem);
    return copy->opener || !copy->options->add;
}

bool keys_copy(const struct keys_copy_options *options, struct keys_copy_result *result,
               struct problem *problem)
{
    struct copy *copy = calloc(1, sizeof *copy);
    char error[256];
    bool fine;

    *result = (struct keys_copy_result){.packets = 0};
    if (!copy) {
        problem_set(problem, "out of memory");
        return false;
    }
    copy->options = options;
    copy->result = result;
    copy->problem = problem;
    fine = open_capture(copy) && copy_items(copy);
    if (copy->output &&
        !cap_output_close(copy->output, clock_monotonic(), NULL, error, sizeof error)) {
        problem_set(problem, "%s", error);
        fine = false;
    }
    if (copy->reader)
        cap_reader_close(copy->reader);
    kdnet_opener_free(copy->opener);
    if (copy->block)
        keyring_wipe(copy->block, copy->room);
    if (copy->text)
        keyring_wipe(copy->text, copy->text_room);
    free(copy->block);
    free(copy->text);
    free(copy);
    return fine;
}
