/* keys.c - the verb keys: KDNET keys in a capture file, put in, taken out, listed.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "files.h"
#include "json.h"
#include "keyring.h"
#include "keys_copy.h"
#include "keys_list.h"
#include "verbs.h"

enum action { ACTION_ADD, ACTION_STRIP, ACTION_LIST };

static const char *const actions[] = {"add", "strip", "list", NULL};

struct keys_options {
    const char *action;
    const char *capture;
    const char *file;
    const char *key;
    const char *key_file;
    const char *for_whom;
    bool show;
    bool json;
};

static enum action action_of(const struct keys_options *options)
{
    return options->action[0] == 'a'   ? ACTION_ADD
           : options->action[0] == 's' ? ACTION_STRIP
                                       : ACTION_LIST;
}

static void complain(const char *text)
{
    fprintf(stderr, "kdlens keys: %s\n", text);
}

static bool get_keys(const struct keys_options *options, struct keyring *keyring,
                     struct problem *problem)
{
    if (options->key)
        complain("a key on the command line can be seen by other users of this machine, and stays "
                 "in the shell's history; --key-file, or neither, hides it");
    if (options->key && !keyring_add(keyring, options->key, options->for_whom, problem))
        return false;
    if (options->key_file &&
        !keyring_add_file(keyring, options->key_file, options->for_whom, problem))
        return false;
    return options->key || options->key_file || keyring_ask(keyring, options->for_whom, problem);
}

/* False when reading the capture ended early, which is then said. */
static bool read_all(const struct keys_options *options, const struct keys_copy_result *result)
{
    if (result->interrupted)
        complain("interrupted; what was read is kept");
    if (result->failure.kind == CAP_FAILURE_NONE || result->interrupted)
        return !result->interrupted;
    fprintf(stderr, "kdlens keys: %s: offset %" PRIu64 ": %s%s\n", options->capture,
            result->failure.offset, result->failure.text,
            result->packets ? "; what is before is kept" : "");
    return false;
}

static void print_key(const struct keys_options *options, const struct keyring *keyring, size_t i,
                      const struct keys_copy_result *result)
{
    FILE *out = strcmp(options->file, "-") == 0 ? stderr : stdout;
    char whom[KEYRING_LINE_SIZE];

    keyring_whom(keyring, i, whom);
    if (options->json) {
        fprintf(out, "{\"key\": %zu, \"for\": ", i + 1);
        json_text(out, whom);
        fprintf(out, ", \"packet\": %" PRIu64 ", \"opened\": %" PRIu64 "}\n", result->first[i],
                result->opened[i]);
        return;
    }
    fprintf(out, "key for %s: ", whom);
    if (result->first[i])
        fprintf(out,
                "in the secrets and in the comment of packet %" PRIu64 "; opens %" PRIu64
                " datagrams\n",
                result->first[i], result->opened[i]);
    else
        fprintf(out, "in the secrets only\n");
}

/* Of the keys that were given, not of those that the capture had. */
static int report_added(const struct keys_options *options, const struct keyring *keyring,
                        size_t given, const struct keys_copy_result *result)
{
    int status = read_all(options, result) ? EXIT_OK : EXIT_FAILED;

    for (size_t i = 0; i < given; i++) {
        print_key(options, keyring, i, result);
        if (result->first[i] && result->opened[i])
            continue;
        status = EXIT_FAILED;
        complain(result->first[i]
                     ? "this key opens nothing in the capture: wrong key?"
                     : "no KDNET datagram that this key is for is in the capture, so Wireshark "
                       "will not find it");
    }
    if (result->sealed)
        fprintf(stderr, "kdlens keys: %" PRIu64 " KDNET datagrams do not open\n", result->sealed);
    return status;
}

static int add(const struct keys_options *options)
{
    struct problem problem;
    struct keyring *keyring = keyring_new(&problem);
    struct keys_copy_options copy = {options->capture, options->file, keyring};
    struct keys_copy_result result;
    int status = EXIT_FAILED;
    size_t given;

    if (!keyring || !get_keys(options, keyring, &problem)) {
        complain(problem.text);
    } else {
        given = keyring_count(keyring);
        if (keys_copy(&copy, &result, &problem))
            status = report_added(options, keyring, given, &result);
        else
            complain(problem.text);
    }
    keyring_free(keyring);
    return status;
}

static int strip(const struct keys_options *options)
{
    const struct keys_copy_options copy = {options->capture, options->file, NULL};
    struct keys_copy_result result;
    struct problem problem;
    FILE *out = strcmp(options->file, "-") == 0 ? stderr : stdout;

    if (!keys_copy(&copy, &result, &problem)) {
        complain(problem.text);
        return EXIT_FAILED;
    }
    if (options->json)
        fprintf(out, "{\"secrets\": %" PRIu64 ", \"comments\": %" PRIu64 "}\n", result.secrets,
                result.comments);
    else
        fprintf(out, "taken out: %" PRIu64 " secrets blocks, keys in %" PRIu64 " comments\n",
                result.secrets, result.comments);
    return read_all(options, &result) ? EXIT_OK : EXIT_FAILED;
}

/* NULL, or what is wrong with the arguments together. */
static const char *check(const struct keys_options *options)
{
    enum action action = action_of(options);

    if (action == ACTION_LIST)
        return options->file ? "list writes no file" : NULL;
    if (!options->file)
        return "-w FILE is missing";
    if (file_same(options->capture, options->file))
        return "CAPTURE and FILE are the same file";
    if (action == ACTION_STRIP && (options->key || options->key_file || options->for_whom))
        return "strip takes out all keys and needs none";
    if (options->key_file && strcmp(options->key_file, "-") == 0 &&
        strcmp(options->capture, "-") == 0)
        return "standard input cannot be both the keys and the capture";
    return NULL;
}

static int run(void *values)
{
    const struct keys_options *options = values;
    const struct keys_list_options list = {options->capture, options->show, options->json};
    const char *wrong = check(options);

    if (wrong) {
        complain(wrong);
        return EXIT_USAGE;
    }
    switch (action_of(options)) {
    case ACTION_ADD:
        return add(options);
    case ACTION_STRIP:
        return strip(options);
    default:
        return keys_list(&list);
    }
}

#define MEMBER(name) offsetof(struct keys_options, name)

static const struct operand operands[] = {
    {"ACTION", "add, strip (take all keys out) or list", MEMBER(action), .choices = actions},
    {"CAPTURE", "a pcapng or pcap file, also compressed by gzip; - for standard input",
     MEMBER(capture), .complete = COMPLETE_FILE},
    {0},
};

static const struct option options[] = {
    {'w', "write", OPTION_TEXT, MEMBER(file), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "add, strip: write the capture to FILE: pcapng, compressed when the name ends in .gz; "
             "- for standard output"},
    {0, "key-file", OPTION_TEXT, MEMBER(key_file), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "add: the keys in FILE, one a line: KEY, ADDRESS KEY or ADDRESS:PORT KEY; - for "
             "standard input. Without it and -k the key is asked for"},
    {'k', "key", OPTION_TEXT, MEMBER(key), .value = "KEY",
     .help = "add: this key, a.b.c.d; other users of this machine can see it"},
    {0, "for", OPTION_TEXT, MEMBER(for_whom), .value = "ADDRESS[:PORT]",
     .help = "add: keys that name nobody are for this end; an IPv6 address with a port in [ ]"},
    {0, "show", OPTION_FLAG, MEMBER(show), .help = "list: print the keys, too"},
    {0, "json", OPTION_FLAG, MEMBER(json), .help = "print what was found as JSON lines"},
    {0},
};

static const struct section sections[] = {
    {"Where keys are",
     "A key is put into the capture twice: as a secrets block (type KDNK, the lines of a key-log) "
     "and as the comment \"kdnet.key: KEY\" of the first datagram it is for, from which the "
     "Wireshark plugin learns it. A file with its key opens without any setting."},
    {"Who may see it",
     "Whoever has the key can read the memory that the session transferred: a capture with its key "
     "is as secret as a memory dump. Give keys by --key-file or when asked: arguments are visible "
     "to other users of the machine."},
    {0},
};

static const struct example examples[] = {
    {"kdlens keys add session.pcapng -w with-key.pcapng", "ask for the key, and put it in"},
    {"kdlens keys list with-key.pcapng", "see which keys are there, and what they open"},
    {"kdlens keys strip with-key.pcapng -w for-others.pcapng", "take all keys out"},
    {0},
};

const struct verb verb_keys = {
    .name = "keys",
    .summary = "put KDNET keys into a capture, take them out, list them",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct keys_options),
    .run = run,
};
