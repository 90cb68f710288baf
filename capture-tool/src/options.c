/* options.c - arguments into a verb's struct, as its tables say.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#define NEAR_LIMIT  2u /* letters that may differ in a name somebody may have meant */
#define NAME_LIMIT  32u
#define NAMES_LIMIT 64u

/* The arguments while they are read. */
struct parse {
    const struct verb *verb;
    int argc;
    char **argv;
    char *values;
    int at;       /* the next argument */
    int operands; /* found so far, moved to the front of argv */
    struct problem *problem;
};

static void *member(const struct parse *parse, size_t offset)
{
    return parse->values + offset;
}

static const struct option *find_long(const struct verb *verb, const char *name, size_t size)
{
    for (const struct option *option = verb->options; option && option->name; option++)
        if (strlen(option->name) == size && memcmp(option->name, name, size) == 0)
            return option;
    return NULL;
}

static const struct option *find_letter(const struct verb *verb, char letter)
{
    for (const struct option *option = verb->options; option && option->name; option++)
        if (option->letter == letter)
            return option;
    return NULL;
}

/* Levenshtein's distance, up to names of NAME_LIMIT letters. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_LIMIT + 1], la = strlen(a), lb = strlen(b);

    if (la > NAME_LIMIT || lb > NAME_LIMIT)
        return NAME_LIMIT;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

const char *options_nearest(const char *typed, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t best = NEAR_LIMIT + 1;

    for (size_t i = 0; i < count; i++) {
        size_t d = distance(typed, names[i]);

        if (d < best) {
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}

static bool unknown(const struct parse *parse, const char *argument)
{
    const char *names[NAMES_LIMIT], *nearest = NULL;
    size_t count = 0;
    char typed[NAME_LIMIT + 1];

    for (const struct option *option = parse->verb->options; option && option->name; option++)
        if (!option->hidden && count < NAMES_LIMIT)
            names[count++] = option->name;
    snprintf(typed, sizeof typed, "%.*s", (int)strcspn(argument, "="), argument);
    if (strncmp(typed, "--", 2) == 0)
        nearest = options_nearest(typed + 2, names, count);
    if (nearest)
        problem_set(parse->problem, "no option %s; did you mean --%s?", typed, nearest);
    else
        problem_set(parse->problem, "no option %s", typed);
    return false;
}

static bool store_number(const struct parse *parse, const struct option *option, const char *value)
{
    char *end;
    unsigned long long number = strtoull(value, &end, 0);
    uint64_t max = option->max ? option->max : UINT64_MAX;

    if (*value < '0' || *value > '9' || *end || number < option->min || number > max) {
        if (option->max)
            problem_set(parse->problem, "--%s %s: not a number from %llu to %llu", option->name,
                        value, (unsigned long long)option->min, (unsigned long long)option->max);
        else
            problem_set(parse->problem, "--%s %s: not a number of at least %llu", option->name,
                        value, (unsigned long long)option->min);
        return false;
    }
    *(uint64_t *)member(parse, option->offset) = number;
    return true;
}

/* "a, b, c" */
static void list_choices(const char *const *choices, char *out, size_t room)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; choices[i]; i++) {
        int length = snprintf(out + used, room - used, "%s%s", i ? ", " : "", choices[i]);

        if (length < 0 || (size_t)length >= room - used)
            return;
        used += (size_t)length;
    }
}

static bool store_choice(const struct parse *parse, const struct option *option, const char *value)
{
    char list[200];

    for (unsigned i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], value) == 0) {
            *(unsigned *)member(parse, option->offset) = i;
            return true;
        }
    }
    list_choices(option->choices, list, sizeof list);
    problem_set(parse->problem, "--%s %s: not one of %s", option->name, value, list);
    return false;
}

static bool store(const struct parse *parse, const struct option *option, const char *value)
{
    struct option_texts *texts;

    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)member(parse, option->offset) = true;
        return true;
    case OPTION_TEXT:
        *(const char **)member(parse, option->offset) = value;
        return true;
    case OPTION_NUMBER:
        return store_number(parse, option, value);
    case OPTION_CHOICE:
        return store_choice(parse, option, value);
    case OPTION_EACH:
        break;
    }
    texts = member(parse, option->offset);
    if (texts->count == OPTION_EACH_LIMIT) {
        problem_set(parse->problem, "--%s is given more than %u times", option->name,
                    OPTION_EACH_LIMIT);
        return false;
    }
    texts->items[texts->count++] = value;
    return true;
}

/* The value of an option that stands alone: the next argument. */
static bool next_value(struct parse *parse, const struct option *option, const char **value)
{
    if (parse->at >= parse->argc) {
        problem_set(parse->problem, "--%s needs a %s", option->name, option->value);
        return false;
    }
    *value = parse->argv[parse->at++];
    return true;
}

static bool parse_long(struct parse *parse, const char *argument)
{
    const char *name = argument + 2, *value = strchr(name, '=');
    size_t size = value ? (size_t)(value - name) : strlen(name);
    const struct option *option = find_long(parse->verb, name, size);

    if (!option)
        return parse->verb->ignores_unknown || unknown(parse, argument);
    if (option->kind == OPTION_FLAG && value) {
        problem_set(parse->problem, "--%s takes no value", option->name);
        return false;
    }
    if (value)
        value++;
    else if (option->kind != OPTION_FLAG && !next_value(parse, option, &value))
        return false;
    return store(parse, option, value);
}

/* -q, -qv, -wFILE, -w FILE */
static bool parse_letters(struct parse *parse, const char *argument)
{
    for (const char *at = argument + 1; *at; at++) {
        const struct option *option = find_letter(parse->verb, *at);
        const char *value = at + 1;

        if (!option) {
            const char letter[] = {'-', *at, '\0'};

            return parse->verb->ignores_unknown || unknown(parse, letter);
        }
        if (option->kind == OPTION_FLAG) {
            store(parse, option, NULL);
            continue;
        }
        if (!*value && !next_value(parse, option, &value))
            return false;
        return store(parse, option, value);
    }
    return true;
}

static bool allowed(const struct operand *operand, const char *value, struct problem *problem)
{
    char list[200];

    if (!operand->choices)
        return true;
    for (size_t i = 0; operand->choices[i]; i++)
        if (strcmp(operand->choices[i], value) == 0)
            return true;
    list_choices(operand->choices, list, sizeof list);
    problem_set(problem, "%s \"%s\": not one of %s", operand->name, value, list);
    return false;
}

static bool store_operands(struct parse *parse)
{
    int used = 0;

    for (const struct operand *operand = parse->verb->operands; operand && operand->name;
         operand++) {
        if (used == parse->operands) {
            if (operand->optional)
                break;
            problem_set(parse->problem, "%s is missing", operand->name);
            return false;
        }
        if (operand->many) {
            *(struct operands *)member(parse, operand->offset) = (struct operands){
                .items = parse->argv + used, .count = (size_t)(parse->operands - used)};
            return true;
        }
        if (!allowed(operand, parse->argv[used], parse->problem))
            return false;
        *(const char **)member(parse, operand->offset) = parse->argv[used++];
    }
    if (used < parse->operands) {
        problem_set(parse->problem, "\"%s\" is one argument too many", parse->argv[used]);
        return false;
    }
    return true;
}

enum options_result options_parse(const struct verb *verb, int argc, char **argv, void *values,
                                  struct problem *problem)
{
    struct parse parse = {
        .verb = verb, .argc = argc, .argv = argv, .values = values, .problem = problem};
    bool only_operands = false, fine = true;

    if (verb->defaults)
        memcpy(values, verb->defaults, verb->size);
    else
        memset(values, 0, verb->size);
    while (fine && parse.at < argc) {
        char *argument = argv[parse.at++];

        if (only_operands || argument[0] != '-' || !argument[1])
            argv[parse.operands++] = argument;
        else if (strcmp(argument, "--") == 0)
            only_operands = true;
        else if (strcmp(argument, "--help") == 0)
            return OPTIONS_HELP;
        else if (argument[1] == '-')
            fine = parse_long(&parse, argument);
        else
            fine = parse_letters(&parse, argument);
    }
    return fine && store_operands(&parse) ? OPTIONS_RUN : OPTIONS_WRONG;
}

int options_run(const struct verb *verb, int argc, char **argv)
{
    struct problem problem;
    void *values = calloc(1, verb->size ? verb->size : 1);
    int status = EXIT_USAGE;

    if (!values) {
        fprintf(stderr, "kdlens: out of memory\n");
        return EXIT_FAILED;
    }
    switch (options_parse(verb, argc, argv, values, &problem)) {
    case OPTIONS_RUN:
        status = verb->run(values);
        break;
    case OPTIONS_HELP:
        options_help(stdout, verb);
        status = EXIT_OK;
        break;
    case OPTIONS_WRONG:
        fprintf(stderr, "kdlens %s: %s\nTry \"kdlens %s --help\".\n", verb->name, problem.text,
                verb->name);
        break;
    }
    free(values);
    return status;
}
