/* diff.c - the verb diff: what two sessions do differently.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "diff.h"

#include <inttypes.h>
#include <stdio.h>

#include "align.h"
#include "facts.h"
#include "verbs.h"

static const char *const what_names[] = {"all", "stops", "modules", "requests", NULL};
static const char *const item_names[DIFF_KINDS] = {"stop", "module", "request"};

struct diff_options {
    struct sessions_options sessions; /* of A; B has the same but for the capture */
    const char *other;
    unsigned what; /* index into what_names */
    bool addresses;
    bool json;
};

static void tell(const struct diff_options *options, const struct diff_side *side, char sign,
                 enum diff_what what, const struct diff_item *item)
{
    char text[DIFF_TEXT_SIZE];

    diff_text(side, what, item, text);
    if (!options->json) {
        printf("%c frame %-7" PRIu32 " %s\n", sign, item->frame, text);
        return;
    }
    fact_begin(stdout, side->session);
    fact_string(stdout, "kind", item_names[what]);
    fact_string(stdout, "only", sign == '-' ? "a" : "b");
    fact_number(stdout, "frame", item->frame);
    fact_string(stdout, "text", text);
    fact_end(stdout);
}

/* What is only in one of them, in order: at each place A's first. */
static void list(const struct diff_options *options, const struct diff_side sides[2],
                 enum diff_what what, const struct alignment *alignment)
{
    const struct diff_items *a = &sides[0].items[what], *b = &sides[1].items[what];
    size_t i = 0, j = 0;

    while (i < a->count || j < b->count) {
        if (i < a->count && alignment->only_a[i])
            tell(options, &sides[0], '-', what, &a->list[i++]);
        else if (j < b->count && alignment->only_b[j])
            tell(options, &sides[1], '+', what, &b->list[j++]);
        else
            i++, j++;
    }
}

static void summary(const struct diff_options *options, const struct diff_side sides[2],
                    enum diff_what what, const struct alignment *alignment)
{
    size_t a = sides[0].items[what].count, b = sides[1].items[what].count;

    if (!options->json) {
        printf("%ss: %zu and %zu, ", item_names[what], a, b);
        if (alignment->count_a + alignment->count_b == 0)
            printf("the same%s\n", a + b == 0 ? ", none" : "");
        else
            printf("%zu only in the first, %zu only in the second%s\n", alignment->count_a,
                   alignment->count_b, alignment->given_up ? ": too many to align them" : "");
        return;
    }
    fact_begin(stdout, sides[0].session);
    fact_string(stdout, "kind", "summary");
    fact_string(stdout, "what", item_names[what]);
    fact_number(stdout, "a", a);
    fact_number(stdout, "b", b);
    fact_number(stdout, "only_a", alignment->count_a);
    fact_number(stdout, "only_b", alignment->count_b);
    fact_flag(stdout, "aligned", !alignment->given_up);
    fact_end(stdout);
}

/* False when memory is short. */
static bool compare(const struct diff_options *options, const struct diff_side sides[2],
                    enum diff_what what, bool *differ)
{
    const struct diff_items *a = &sides[0].items[what], *b = &sides[1].items[what];
    struct alignment alignment;
    bool fine = align(a->keys, a->count, b->keys, b->count, &alignment);

    if (fine) {
        summary(options, sides, what, &alignment);
        list(options, sides, what, &alignment);
        *differ |= alignment.count_a + alignment.count_b > 0;
    }
    if (a->cut || b->cut)
        fprintf(stderr, "kdlens diff: only the first %zu %ss are compared\n", DIFF_ITEMS_MAX,
                item_names[what]);
    alignment_free(&alignment);
    return fine;
}

static int compare_all(const struct diff_options *options, const struct diff_side sides[2])
{
    bool differ = false;

    for (unsigned what = 0; what < DIFF_KINDS; what++) {
        if (options->what && options->what != what + 1)
            continue;
        if (compare(options, sides, (enum diff_what)what, &differ))
            continue;
        fprintf(stderr, "kdlens diff: out of memory\n");
        return EXIT_USAGE;
    }
    return differ ? EXIT_FAILED : EXIT_OK;
}

static int run(void *values)
{
    const struct diff_options *options = values;
    struct sessions_options both[2] = {options->sessions, options->sessions};
    struct diff_side sides[2] = {0};
    struct problem problem;
    int status = EXIT_OK, result;
    bool fine = true;

    both[1].capture = options->other;
    for (unsigned i = 0; fine && i < 2; i++) {
        fine = diff_read(&sides[i], &both[i], options->addresses, &problem);
        if (fine && sessions_report(sides[i].sessions) != EXIT_OK)
            status = EXIT_USAGE;
    }
    if (!fine) {
        fprintf(stderr, "kdlens diff: %s\n", problem.text);
        status = EXIT_USAGE;
    } else if (sides[0].session && sides[1].session) {
        result = compare_all(options, sides);
        status = status == EXIT_OK ? result : status;
    }
    diff_forget(&sides[0]);
    diff_forget(&sides[1]);
    return status;
}

#define MEMBER(name) offsetof(struct diff_options, name)

static const struct operand operands[] = {
    SESSIONS_OPERAND(struct diff_options, sessions),
    {"OTHER", "the capture to compare it with", MEMBER(other), .complete = COMPLETE_FILE},
    {0},
};

static const struct option options[] = {
    {0, "what", OPTION_CHOICE, MEMBER(what), .value = "WHAT", .choices = what_names,
     .help = "all, or only stops, modules or requests"},
    {0, "addresses", OPTION_FLAG, MEMBER(addresses),
     .help = "compare addresses as they are, for targets that load everything where it was"},
    {0, "json", OPTION_FLAG, MEMBER(json),
     .help = "JSON lines: a summary for each kind, then what only one session has"},
    SESSIONS_OPTIONS(struct diff_options, sessions),
    {0},
};

static const struct section sections[] = {
    {"What is compared",
     "Stops (reason, place, processor, how they ended), modules (name, size, checksum, time) and "
     "the debugger's requests (kind, place, size, result), each in the order of the session, "
     "aligned so that as little as possible differs. A place is module and offset; addresses "
     "outside of modules are not compared without --addresses. Lines with - are only in CAPTURE, "
     "those with + only in OTHER; frames are those of their own capture. Times and the bytes that "
     "were read are not compared."},
    {"Exit status", "0 when nothing differs, 1 when something does, 2 when a capture could not be "
                    "read to its end."},
    {0},
};

static const struct example examples[] = {
    {"kdlens diff good-boot.pcapng bad-boot.pcapng", "what went another way"},
    {"kdlens diff a.pcapng b.pcapng --what modules && echo same", "only modules, in a script"},
    {0},
};

const struct verb verb_diff = {
    .name = "diff",
    .summary = "compare two sessions by stops, modules and requests",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct diff_options),
    .run = run,
};
