/* faults.c - counts of faults, and the words for them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "faults.h"

#include <stddef.h>

#include "log.h"

bool fault_strikes(struct log *log, uint32_t *count, const char *what)
{
    if (*count == 0)
        return false;
    (*count)--;
    log_line(log, LOG_FAULT, "%s", what);
    return true;
}

uint32_t fault_version(const char *text)
{
    uint32_t part[2] = {0, 0};
    unsigned at = 0;

    for (; *text; text++) {
        if (*text == '.' && at == 0)
            at = 1;
        else if (*text >= '0' && *text <= '9' && part[at] < 1000)
            part[at] = part[at] * 10 + (uint32_t)(*text - '0');
        else
            return 0;
    }
    return part[0] << 16 | part[1];
}

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

enum fault_corrupt fault_corrupt(const char *text)
{
    static const char *const names[] = {"",          "length",    "offset",      "short",
                                        "type",      "pipe-type", "pipe-length", "index",
                                        "unaligned", "trailer"};

    for (unsigned i = 1; i < sizeof names / sizeof names[0]; i++) {
        if (same(text, names[i]))
            return (enum fault_corrupt)i;
    }
    return CORRUPT_NOTHING;
}
