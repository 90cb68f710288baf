/* align.h - what two sequences have in common, in order: the differences as an editor would make.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure. The method is that of E. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986):
 * the fewest elements that are only in one of the two. Time and memory grow with the square of
 * that number, which is bounded.
 */
#ifndef KDLENS_ALIGN_H
#define KDLENS_ALIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALIGN_DIFFERENCES_MAX 3000u

struct alignment {
    bool *only_a, *only_b;   /* for each element whether the other sequence lacks it */
    size_t count_a, count_b; /* how many do */
    /* More than ALIGN_DIFFERENCES_MAX differ: what is between the equal beginning and the equal end
     * counts as different as a whole. */
    bool given_up;
};

/* Elements are equal when their numbers are. False when memory is short. Free it in both cases. */
bool align(const uint64_t *a, size_t size_a, const uint64_t *b, size_t size_b,
           struct alignment *alignment);
void alignment_free(struct alignment *alignment);

#endif
