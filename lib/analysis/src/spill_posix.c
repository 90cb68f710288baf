/* spill_posix.c - see spill.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#define _POSIX_C_SOURCE   200809L
#define _FILE_OFFSET_BITS 64

#include "spill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATH_SIZE 4096

struct spill {
    int fd;
};

struct spill *spill_open(void)
{
    const char *folder = getenv("TMPDIR");
    struct spill *spill = malloc(sizeof *spill);
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s/kdlens-XXXXXX", folder ? folder : "/tmp");

    if (!spill || length < 0 || length >= PATH_SIZE || (spill->fd = mkstemp(path)) < 0) {
        free(spill);
        return NULL;
    }
    unlink(path);
    return spill;
}

void spill_close(struct spill *spill)
{
    if (spill)
        close(spill->fd);
    free(spill);
}

bool spill_write(struct spill *spill, uint64_t at, const uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t done = pwrite(spill->fd, bytes, size, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        bytes += done;
        at += (uint64_t)done;
        size -= (size_t)done;
    }
    return true;
}

bool spill_read(struct spill *spill, uint64_t at, uint8_t *out, size_t size)
{
    while (size) {
        ssize_t done = pread(spill->fd, out, size, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        out += done;
        at += (uint64_t)done;
        size -= (size_t)done;
    }
    return true;
}
