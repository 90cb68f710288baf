/* align.c - differences of two sequences. See align.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Diagonal k is where x - y == k, x and y being how many elements of a and b were passed. reach[d]
 * holds, for each diagonal from -d to d, how far d differences lead: x.
 */
#include "align.h"

#include <stdlib.h>
#include <string.h>

struct problem_size {
    const uint64_t *a, *b;
    ptrdiff_t size_a, size_b;
};

/* The row of d differences, indexed by diagonal. */
static ptrdiff_t *row_of(ptrdiff_t *reach, ptrdiff_t d)
{
    return reach + d * d + d; /* rows before it have 1 + 3 + ... + (2d - 1) = d * d elements */
}

/* Whether the last difference on diagonal k is an element of b (a step down). */
static bool comes_from_b(const ptrdiff_t *before, ptrdiff_t d, ptrdiff_t k)
{
    return k == -d || (k != d && before[k - 1] < before[k + 1]);
}

/* Fills row d; true when it leads to the end. */
static bool step(const struct problem_size *size, ptrdiff_t *reach, ptrdiff_t d)
{
    ptrdiff_t *row = row_of(reach, d), *before = d ? row_of(reach, d - 1) : NULL;

    for (ptrdiff_t k = -d; k <= d; k += 2) {
        ptrdiff_t x = d == 0 ? 0 : comes_from_b(before, d, k) ? before[k + 1] : before[k - 1] + 1;
        ptrdiff_t y = x - k;

        while (x < size->size_a && y >= 0 && y < size->size_b && size->a[x] == size->b[y])
            x++, y++;
        row[k] = x;
        if (x >= size->size_a && y >= size->size_b)
            return true;
    }
    return false;
}

/* From the end back to the beginning. */
static void mark(const struct problem_size *size, ptrdiff_t *reach, ptrdiff_t d, bool *only_a,
                 bool *only_b)
{
    ptrdiff_t k = size->size_a - size->size_b;

    for (; d > 0; d--) {
        const ptrdiff_t *before = row_of(reach, d - 1);

        if (comes_from_b(before, d, k)) {
            k++;
            only_b[before[k] - k] = true;
        } else {
            k--;
            only_a[before[k]] = true;
        }
    }
}

/* False when memory is short; *given_up when there are too many differences. */
static bool align_middle(const struct problem_size *size, bool *only_a, bool *only_b,
                         bool *given_up)
{
    ptrdiff_t sum = size->size_a + size->size_b;
    ptrdiff_t most = sum < (ptrdiff_t)ALIGN_DIFFERENCES_MAX ? sum : ALIGN_DIFFERENCES_MAX;
    ptrdiff_t *reach = calloc((size_t)((most + 1) * (most + 1) + 1), sizeof *reach), d;

    if (!reach)
        return false;
    for (d = 0; d <= most; d++)
        if (step(size, reach, d))
            break;
    *given_up = d > most;
    if (*given_up) {
        memset(only_a, true, (size_t)size->size_a * sizeof *only_a);
        memset(only_b, true, (size_t)size->size_b * sizeof *only_b);
    } else {
        mark(size, reach, d, only_a, only_b);
    }
    free(reach);
    return true;
}

bool align(const uint64_t *a, size_t size_a, const uint64_t *b, size_t size_b,
           struct alignment *alignment)
{
    size_t begin = 0, end = 0, least = size_a < size_b ? size_a : size_b;
    struct problem_size middle;

    *alignment = (struct alignment){
        .only_a = calloc(size_a + 1, sizeof(bool)),
        .only_b = calloc(size_b + 1, sizeof(bool)),
    };
    if (!alignment->only_a || !alignment->only_b)
        return false;
    while (begin < least && a[begin] == b[begin])
        begin++;
    while (end < least - begin && a[size_a - 1 - end] == b[size_b - 1 - end])
        end++;
    middle = (struct problem_size){a + begin, b + begin, (ptrdiff_t)(size_a - begin - end),
                                   (ptrdiff_t)(size_b - begin - end)};
    if (!align_middle(&middle, alignment->only_a + begin, alignment->only_b + begin,
                      &alignment->given_up))
        return false;
    for (size_t i = 0; i < size_a; i++)
        alignment->count_a += alignment->only_a[i];
    for (size_t i = 0; i < size_b; i++)
        alignment->count_b += alignment->only_b[i];
    return true;
}

void alignment_free(struct alignment *alignment)
{
    free(alignment->only_a);
    free(alignment->only_b);
    *alignment = (struct alignment){0};
}
