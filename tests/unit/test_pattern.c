/* test_pattern.c - regular expressions of kdlens debug: known cases, and the C library as judge.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "pattern.h"

#include "check.h"

#ifndef _WIN32
#include <regex.h>
#endif

/* "start-end", "no", or why it is refused. */
static const char *find(const char *regex, const char *text)
{
    static char result[sizeof(struct problem)];
    struct problem problem;
    struct pattern *pattern = pattern_new(regex, &problem);
    size_t start, end;

    if (!pattern) {
        snprintf(result, sizeof result, "%s", problem.text);
        return result;
    }
    if (pattern_find(pattern, text, strlen(text), &start, &end))
        snprintf(result, sizeof result, "%zu-%zu", start, end);
    else
        snprintf(result, sizeof result, "no");
    pattern_free(pattern);
    return result;
}

static void known(void)
{
    CHECK_EQ_STR(find("b+", "abbbab"), "1-4");
    CHECK_EQ_STR(find("a|ab|abc", "xabcd"), "1-4");
    CHECK_EQ_STR(find("^b$", "a\nb\nc"), "2-3");
    CHECK_EQ_STR(find("a.c", "a\nc"), "no");
    CHECK_EQ_STR(find("a[^x]c", "a\nc"), "no");
    CHECK_EQ_STR(find("", "abc"), "0-0");
    CHECK_EQ_STR(find("(ab){2,3}", "abababab"), "0-6");
    CHECK_EQ_STR(find("a{0,1}b", "ab"), "0-2");
    CHECK_EQ_STR(find("a{2,}", "aaaa"), "0-4");
    CHECK_EQ_STR(find("\\d+\\.\\s\\w+", "x12. a_b;"), "1-8");
    CHECK_EQ_STR(find("[]a-c]+", "xb]ca"), "1-5");
    CHECK_EQ_STR(find("[[:xdigit:]]{4}", "g12aFz"), "1-5");
    CHECK_EQ_STR(find("(a*)*b", "aaab"), "0-4");
}

static void refused(void)
{
    CHECK(strstr(find("(a", "a"), "a ) is missing"));
    CHECK(strstr(find("a)", "a"), "a ( is missing"));
    CHECK(strstr(find("[a", "a"), "a ] is missing"));
    CHECK(strstr(find("*a", "a"), "nothing is there to repeat"));
    CHECK(strstr(find("a{3,2}", "a"), "the bounds are wrong"));
    CHECK(strstr(find("(((a{99}){99}){99})", "a"), "too large"));
    CHECK(strstr(find("a\\", "a"), "something is missing"));
}

#ifndef _WIN32
/* What the C library reads otherwise, or leaves undefined, is not asked. (^a)+ it takes to match
 * aa, which has one line start. */
static bool comparable(const char *regex)
{
    static const char *const odd[] = {"()", "(|", "|)", "||", "(*", "(+", "(?", "|*", "(^",
                                      "|+", "|?", "^*", "^+", "^?", "**", "++", "+*"};
    int depth = 0;
    size_t length = strlen(regex);

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        if (strstr(regex, odd[i]))
            return false;
    for (size_t i = 0; i < length; i++) {
        depth += (regex[i] == '(') - (regex[i] == ')');
        if (depth < 0)
            return false;
    }
    return depth == 0 && !strchr("*+?|", regex[0]) && regex[length - 1] != '|';
}

static void as_the_library(void)
{
    uint32_t state = 1;
    unsigned compared = 0;

    for (unsigned round = 0; round < 100000; round++) {
        char regex[12] = "", text[16] = "", expected[50] = "no";
        regmatch_t match;
        regex_t library;

        for (unsigned i = 0; i < 1 + round % 9; i++)
            regex[i] = "aab.()|*+?^$"[((state = state * 1664525 + 1013904223) >> 16) % 12];
        for (unsigned i = 0; i < round % 14; i++)
            text[i] = "aabb\nc"[((state = state * 1664525 + 1013904223) >> 16) % 6];
        if (!comparable(regex) || regcomp(&library, regex, REG_EXTENDED | REG_NEWLINE) != 0)
            continue;
        if (regexec(&library, text, 1, &match, 0) == 0)
            snprintf(expected, sizeof expected, "%d-%d", (int)match.rm_so, (int)match.rm_eo);
        regfree(&library);
        compared++;
        if (!CHECK_EQ_STR(find(regex, text), expected))
            fprintf(stderr, "regex %s on %s\n", regex, text);
    }
    CHECK(compared > 1000);
}
#else
static void as_the_library(void)
{
    puts("skipped: this system has no regcomp to compare with");
}
#endif

KD_TEST_MAIN({"known cases", known}, {"what is refused", refused},
             {"as regcomp of the C library", as_the_library})
