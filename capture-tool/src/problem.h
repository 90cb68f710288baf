/* problem.h - why something did not work, in words for people.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A function that can fail takes a struct problem and sets it before it returns failure: what,
 * where, and what to do about it. No line end, no program name: the caller adds these.
 */
#ifndef KDLENS_PROBLEM_H
#define KDLENS_PROBLEM_H

#include <stdarg.h>

#if defined(__MINGW32__)
#define LIKE_PRINTF(at, first) __attribute__((__format__(gnu_printf, at, first)))
#elif defined(__GNUC__)
#define LIKE_PRINTF(at, first) __attribute__((__format__(printf, at, first)))
#else
#define LIKE_PRINTF(at, first)
#endif

struct problem {
    char text[512]; /* a longer text is cut */
};

void problem_set(struct problem *problem, const char *format, ...) LIKE_PRINTF(2, 3);

/* "format...: " and the text of this system's error number (errno; on Windows GetLastError). */
void problem_system(struct problem *problem, unsigned long error, const char *format, ...)
    LIKE_PRINTF(3, 4);

#endif
