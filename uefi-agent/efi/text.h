/* text.h - UCS-2 and UTF-8, bounded; for text of other programs, which may be anything.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure. Results end with NUL when room is not 0, are cut between two characters, and never hold
 * half a character. What is not well-formed becomes U+FFFD.
 */
#ifndef KDA_TEXT_H
#define KDA_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters before the NUL, at most limit. */
size_t kda_text_length16(const uint16_t *text, size_t limit);

/* Both return the size of the result without its NUL. */
size_t kda_text_to_utf8(const uint16_t *text, size_t units, char *out, size_t room);
size_t kda_text_to_utf16(const char *text, size_t size, uint16_t *out, size_t room);

/* ASCII letters only. */
bool kda_text_same(const char *a, const char *b);

/* * any characters, ? one character; letters of either case are the same. */
bool kda_text_matches(const char *pattern, size_t pattern_size, const char *name);

#endif
