/* test_options.c - arguments of verbs, names of ends, and the texts made from the tables.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>

#include "check.h"
#include "clock.h"
#include "end.h"
#include "options.h"

/* --- options */

struct values {
    const char *text;
    struct option_texts each;
    uint64_t number;
    unsigned choice;
    bool flag, other;
    const char *first;
    struct operands rest;
};

#define MEMBER(name) offsetof(struct values, name)

static const char *const choices[] = {"red", "green", NULL};

static const struct option table[] = {
    {'w', "write", OPTION_TEXT, MEMBER(text), .value = "FILE", .help = "write FILE"},
    {'b', "both", OPTION_EACH, MEMBER(each), .value = "WHAT", .help = "more"},
    {'n', "number", OPTION_NUMBER, MEMBER(number), .value = "N", .help = "n", .min = 2, .max = 9},
    {'c', "colour", OPTION_CHOICE, MEMBER(choice), .value = "C", .help = "c", .choices = choices},
    {'f', "flag", OPTION_FLAG, MEMBER(flag), .help = "flag"},
    {'o', "other", OPTION_FLAG, MEMBER(other), .help = "other"},
    {0},
};

static const struct operand operand_table[] = {
    {"FIRST", "the first", .offset = MEMBER(first)},
    {"REST", "the others", .offset = MEMBER(rest), .optional = true, .many = true},
    {0},
};

static const struct values defaults = {.number = 5};

static const struct verb verb = {.name = "verb",
                                 .summary = "a verb",
                                 .operands = operand_table,
                                 .options = table,
                                 .size = sizeof(struct values),
                                 .defaults = &defaults};

static enum options_result parse(const char *line, struct values *values, struct problem *problem)
{
    static char copy[400];
    static char *arguments[32];
    int count = 0;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        arguments[count++] = word;
    return options_parse(&verb, count, arguments, values, problem);
}

static void options_are_taken(void)
{
    struct values values;
    struct problem problem;

    CHECK_EQ_U64(parse("-fo a -w file --both=x b -by -n 7 --colour green -- -c", &values, &problem),
                 OPTIONS_RUN);
    CHECK(values.flag && values.other);
    CHECK_EQ_STR(values.text, "file");
    CHECK_EQ_U64(values.each.count, 2);
    CHECK_EQ_STR(values.each.items[1], "y");
    CHECK_EQ_U64(values.number, 7);
    CHECK_EQ_U64(values.choice, 1);
    CHECK_EQ_STR(values.first, "a");
    CHECK_EQ_U64(values.rest.count, 2);
    CHECK_EQ_STR(values.rest.items[0], "b");
    CHECK_EQ_STR(values.rest.items[1], "-c");
    CHECK_EQ_U64(parse("x -wfile", &values, &problem), OPTIONS_RUN);
    CHECK_EQ_STR(values.text, "file");
    CHECK_EQ_U64(values.number, 5);
    CHECK_EQ_U64(values.rest.count, 0);
    CHECK_EQ_U64(parse("-f --help", &values, &problem), OPTIONS_HELP);
}

static void wrong_options_are_named(void)
{
    static const struct {
        const char *line, *problem;
    } cases[] = {
        {"", "FIRST is missing"},
        {"a --wirte x", "no option --wirte; did you mean --write?"},
        {"a --zzzzzzzz", "no option --zzzzzzzz"},
        {"a -x", "no option -x"},
        {"a -w", "--write needs a FILE"},
        {"a --flag=1", "--flag takes no value"},
        {"a -n 10", "--number 10: not a number from 2 to 9"},
        {"a -n 5x", "--number 5x: not a number from 2 to 9"},
        {"a -n -5", "--number -5: not a number from 2 to 9"},
        {"a -c blue", "--colour blue: not one of red, green"},
    };
    struct values values;
    struct problem problem;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_EQ_U64(parse(cases[i].line, &values, &problem), OPTIONS_WRONG);
        CHECK_EQ_STR(problem.text, cases[i].problem);
    }
}

/* --- ends */

static void ends_are_parsed(void)
{
    static const struct {
        const char *text;
        enum end_kind kind;
        const char *place, *port;
        uint32_t baud;
    } cases[] = {
        {"unix:/tmp/a:b", END_UNIX, "/tmp/a:b", NULL, 0},
        {"unix-listen:x", END_UNIX_LISTEN, "x", NULL, 0},
        {"tcp:host:5000", END_TCP, "host", "5000", 0},
        {"tcp:[::1]:kd", END_TCP, "::1", "kd", 0},
        {"tcp-listen:5000", END_TCP_LISTEN, "127.0.0.1", "5000", 0},
        {"tcp-listen:0.0.0.0:0", END_TCP_LISTEN, "0.0.0.0", "0", 0},
        {"pty", END_PTY, NULL, NULL, 0},
        {"pty:", END_PTY, NULL, NULL, 0},
        {"pty:/tmp/kd", END_PTY, "/tmp/kd", NULL, 0},
        {"serial:/dev/ttyS0", END_SERIAL, "/dev/ttyS0", NULL, 115200},
        {"serial:/dev/ttyS0,baud=9600", END_SERIAL, "/dev/ttyS0", NULL, 9600},
        {"stdio:", END_STDIO, NULL, NULL, 0},
        {"exec:cat | tr a b", END_EXEC, "cat | tr a b", NULL, 0},
    };
    struct end end;
    struct problem problem;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!CHECK(end_parse(&end, cases[i].text, &problem)))
            continue;
        CHECK_EQ_U64(end.kind, cases[i].kind);
        CHECK_EQ_STR(end.text, cases[i].text);
        CHECK_EQ_STR(end.place, cases[i].place);
        CHECK_EQ_STR(end.port, cases[i].port);
        CHECK_EQ_U64(end.baud, cases[i].baud);
        end_clear(&end);
    }
}

static void wrong_ends_are_refused(void)
{
    static const char *const wrong[] = {
        "",           "unix",         "unix:",          "foo:bar",        "tcp:host",
        "tcp:5000",   "tcp::5000",    "tcp:host:0",     "tcp:host:65536", "tcp:::1:5000",
        "tcp-listen", "tcp-listen:",  "tcp-listen:::5", "serial:",        "serial:x,baud=0",
        "stdio:x",    "serial:x,b=1", "exec:",          "/tmp/socket",    "serial:x,baud=9x",
        "pipe:kd",    "com:COM1",     "vmbus:vm",       "tcp:host:50 00",
    };
    struct end end;
    struct problem problem;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        problem.text[0] = '\0';
        if (!CHECK(!end_parse(&end, wrong[i], &problem)))
            fprintf(stderr, "accepted: %s\n", wrong[i]);
        CHECK(strlen(problem.text) > 10);
    }
}

/* --- times */

static void calendar_times(void)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000Z"},          {951782400, "2000-02-29T00:00:00.000000Z"},
        {1709251199, "2024-02-29T23:59:59.000000Z"}, {1735689599, "2024-12-31T23:59:59.000000Z"},
        {1763729401, "2025-11-21T12:50:01.000000Z"}, {4107542400, "2100-03-01T00:00:00.000000Z"},
    };
    char text[CLOCK_TEXT_SIZE];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clock_text(cases[i].seconds * CLOCK_SECOND, text, sizeof text);
        CHECK_EQ_STR(text, cases[i].text);
    }
    clock_text(UINT64_C(1763729401123456789), text, sizeof text);
    CHECK_EQ_STR(text, "2025-11-21T12:50:01.123456Z");
}

KD_TEST_MAIN({"options are taken", options_are_taken},
             {"wrong options are named", wrong_options_are_named},
             {"ends are parsed", ends_are_parsed},
             {"wrong ends are refused", wrong_ends_are_refused}, {"calendar times", calendar_times})
