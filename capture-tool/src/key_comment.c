/* key_comment.c - finding keys in comments. See key_comment.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "key_comment.h"

#include <stddef.h>
#include <string.h>

#define MARK_SIZE (sizeof KEY_COMMENT_MARK - 1)

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool key_comment_find(struct cap_text comment, struct key_comment *found)
{
    const char *at = comment.bytes, *end = comment.bytes + comment.size;
    const char *mark, *key;

    while ((size_t)(end - at) >= MARK_SIZE && memcmp(at, KEY_COMMENT_MARK, MARK_SIZE) != 0)
        at++;
    if ((size_t)(end - at) < MARK_SIZE)
        return false;
    mark = at;
    at += MARK_SIZE;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    key = at;
    while (at < end && !is_blank(*at))
        at++;
    found->before = (struct cap_text){comment.bytes, (size_t)(mark - comment.bytes)};
    found->key = (struct cap_text){key, (size_t)(at - key)};
    found->after = (struct cap_text){at, (size_t)(end - at)};
    return true;
}
