/* pattern.h - regular expressions of `expect`, the same on every system.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * POSIX extended: . [a-f] [^x] [[:digit:]] ( ) | * + ? {2} {2,} {2,5} ^ $, and \d \s \w; another \x
 * is x itself. ^ and $ also match at line ends, . and [^x] do not match one. The match that is
 * found is the leftmost, and of those the longest. The time is linear in the text.
 */
#ifndef KDLENS_PATTERN_H
#define KDLENS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "problem.h"

struct pattern;

/* NULL, with a problem, for what is no regular expression, or is too large. */
struct pattern *pattern_new(const char *text, struct problem *problem);
void pattern_free(struct pattern *pattern);

/* Whether it matches somewhere in the text; where. */
bool pattern_find(struct pattern *pattern, const char *text, size_t size, size_t *start,
                  size_t *end);

#endif
