/* rotation.c - reading the values of -b.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "rotation.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

static bool is_named(const char *text, const char *colon, const char *name)
{
    return (size_t)(colon - text) == strlen(name) && memcmp(text, name, strlen(name)) == 0;
}

static bool parse_one(const char *text, struct cap_output_options *options)
{
    const char *colon = strchr(text, ':');
    unsigned long long value;
    char *end;

    if (!colon || colon[1] < '0' || colon[1] > '9')
        return false;
    value = strtoull(colon + 1, &end, 10);
    if (*end || value == 0 || value > UINT32_MAX)
        return false;
    if (is_named(text, colon, "filesize"))
        options->rotate_size = value * 1000;
    else if (is_named(text, colon, "duration"))
        options->rotate_duration = value * CLOCK_SECOND;
    else if (is_named(text, colon, "files"))
        options->ring_files = (uint32_t)value;
    else
        return false;
    return true;
}

bool rotation_parse(const char *const *texts, size_t count, struct cap_output_options *options,
                    struct problem *problem)
{
    for (size_t i = 0; i < count; i++) {
        if (!parse_one(texts[i], options)) {
            problem_set(problem, "-b %s: expected filesize:KB, duration:SECONDS or files:NUMBER",
                        texts[i]);
            return false;
        }
    }
    if (count > 0 && !options->path) {
        problem_set(problem, "-b needs -w FILE");
        return false;
    }
    if (options->ring_files && !options->rotate_size && !options->rotate_duration) {
        problem_set(problem, "-b files: needs -b filesize: or -b duration: as well");
        return false;
    }
    return true;
}
