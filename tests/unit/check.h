/* check.h - the unit tests' harness: checks that report the caller's line and go on.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A test program lists its cases in one KD_TEST_MAIN; each case is a `static void name(void)`. The
 * last line printed is "N passed, N failed" (cases, not checks); the exit status is 1 when anything
 * failed.
 */
#ifndef KDLENS_TESTS_UNIT_CHECK_H
#define KDLENS_TESTS_UNIT_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct check_case {
    const char *name;
    void (*run)(void);
};

static unsigned check_failures;

static inline bool check_report(bool ok, const char *file, int line, const char *what)
{
    if (!ok) {
        check_failures++;
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    }
    return ok;
}

static inline bool check_u64(uint64_t actual, uint64_t expected, const char *file, int line,
                             const char *what)
{
    if (actual != expected) {
        fprintf(stderr,
                "%s:%d: %s is %" PRIu64 " (0x%" PRIx64 "), expected %" PRIu64 " (0x%" PRIx64 ")\n",
                file, line, what, actual, actual, expected, expected);
        check_failures++;
    }
    return actual == expected;
}

static inline bool check_str(const char *actual, const char *expected, const char *file, int line,
                             const char *what)
{
    bool same = actual && expected ? strcmp(actual, expected) == 0 : actual == expected;

    if (!same) {
        fprintf(stderr, "%s:%d: %s is \"%s\", expected \"%s\"\n", file, line, what,
                actual ? actual : "(null)", expected ? expected : "(null)");
        check_failures++;
    }
    return same;
}

static inline bool check_mem(const void *actual, const void *expected, size_t size,
                             const char *file, int line, const char *what)
{
    const unsigned char *a = actual, *e = expected;

    for (size_t i = 0; i < size; i++) {
        if (a[i] != e[i]) {
            fprintf(stderr, "%s:%d: %s differs at byte %zu: %02x, expected %02x\n", file, line,
                    what, i, a[i], e[i]);
            check_failures++;
            return false;
        }
    }
    return true;
}

#define CHECK(condition) check_report((condition), __FILE__, __LINE__, #condition)
#define CHECK_EQ_U64(actual, expected) \
    check_u64((uint64_t)(actual), (uint64_t)(expected), __FILE__, __LINE__, #actual)
#define CHECK_EQ_STR(actual, expected) check_str((actual), (expected), __FILE__, __LINE__, #actual)
#define CHECK_EQ_MEM(actual, expected, size) \
    check_mem((actual), (expected), (size), __FILE__, __LINE__, #actual)

static inline int check_run(const struct check_case *cases, size_t count)
{
    unsigned failed = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned before = check_failures;

        cases[i].run();
        if (check_failures != before) {
            fprintf(stderr, "case %s failed\n", cases[i].name);
            failed++;
        }
    }
    printf("%zu passed, %u failed\n", count - failed, failed);
    return failed ? 1 : 0;
}

/* KD_TEST_MAIN({"what is tested", function}, ...) */
#define KD_TEST_MAIN(...)                                        \
    int main(void)                                               \
    {                                                            \
        static const struct check_case cases[] = {__VA_ARGS__};  \
        return check_run(cases, sizeof cases / sizeof cases[0]); \
    }

#endif
