/* test_align.c - differences of sequences, against the longest common subsequence by the table.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "check.h"

enum { SIZE = 40, ROUNDS = 3000, LETTERS = 4 };

static uint32_t state = 1;

static uint32_t chance(uint32_t below)
{
    state = state * 1664525 + 1013904223;
    return (state >> 16) % below;
}

/* By the table of all prefixes. */
static size_t common(const uint64_t *a, size_t size_a, const uint64_t *b, size_t size_b)
{
    static size_t table[SIZE + 1][SIZE + 1];

    for (size_t i = 0; i <= size_a; i++)
        for (size_t j = 0; j <= size_b; j++)
            if (i == 0 || j == 0)
                table[i][j] = 0;
            else if (a[i - 1] == b[j - 1])
                table[i][j] = table[i - 1][j - 1] + 1;
            else
                table[i][j] = table[i - 1][j] > table[i][j - 1] ? table[i - 1][j] : table[i][j - 1];
    return table[size_a][size_b];
}

/* What is left of both must be one sequence. */
static bool rest_is_equal(const uint64_t *a, size_t size_a, const uint64_t *b, size_t size_b,
                          const struct alignment *alignment)
{
    size_t i = 0, j = 0;

    for (;;) {
        while (i < size_a && alignment->only_a[i])
            i++;
        while (j < size_b && alignment->only_b[j])
            j++;
        if (i == size_a || j == size_b)
            return i == size_a && j == size_b;
        if (a[i++] != b[j++])
            return false;
    }
}

static void as_few_as_possible(void)
{
    uint64_t a[SIZE], b[SIZE];

    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t size_a = chance(SIZE + 1), size_b = chance(SIZE + 1), same;
        struct alignment alignment;

        for (size_t i = 0; i < size_a; i++)
            a[i] = chance(LETTERS);
        for (size_t i = 0; i < size_b; i++)
            b[i] = i < size_a && chance(3) ? a[i] : chance(LETTERS);
        same = common(a, size_a, b, size_b);
        CHECK(align(a, size_a, b, size_b, &alignment));
        CHECK_EQ_U64(alignment.count_a, size_a - same);
        CHECK_EQ_U64(alignment.count_b, size_b - same);
        CHECK(!alignment.given_up);
        CHECK(rest_is_equal(a, size_a, b, size_b, &alignment));
        alignment_free(&alignment);
    }
}

/* Nothing in common but beginning and end, and more than is aligned. */
static void too_many(void)
{
    enum { MANY = 5000 };
    uint64_t *a = calloc(MANY, sizeof *a), *b = calloc(MANY, sizeof *b);
    struct alignment alignment;

    for (size_t i = 1; i + 1 < MANY; i++) {
        a[i] = i;
        b[i] = MANY + i;
    }
    CHECK(align(a, MANY, b, MANY, &alignment));
    CHECK(alignment.given_up);
    CHECK_EQ_U64(alignment.count_a, MANY - 2);
    CHECK_EQ_U64(alignment.count_b, MANY - 2);
    CHECK(!alignment.only_a[0] && !alignment.only_b[MANY - 1]);
    alignment_free(&alignment);
    free(a);
    free(b);
}

KD_TEST_MAIN({"as few as possible", as_few_as_possible}, {"too many", too_many})
