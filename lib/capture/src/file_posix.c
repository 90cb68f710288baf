/* file_posix.c - files on Linux and its like. See file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#define _POSIX_C_SOURCE   200809L
#define _FILE_OFFSET_BITS 64

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STEP_MAX ((size_t)1 << 30) /* bytes a call; Linux does no more than 2 GiB */

static void explain(char *error, size_t error_size)
{
    char text[128];

    if (strerror_r(errno, text, sizeof text) != 0)
        snprintf(text, sizeof text, "error %d", errno);
    snprintf(error, error_size, "%s", text);
}

void cap_file_from_fd(struct cap_file *file, int fd)
{
    struct stat about;

    *file = (struct cap_file){.handle = fd, .open = true};
    file->regular = fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

static bool open_path(struct cap_file *file, const char *path, int flags, char *error,
                      size_t error_size)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, S_IRUSR | S_IWUSR);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        explain(error, error_size);
        *file = (struct cap_file){.open = false};
        return false;
    }
    cap_file_from_fd(file, fd);
    file->owned = true;
    return true;
}

bool cap_file_open(struct cap_file *file, const char *path, char *error, size_t error_size)
{
    return open_path(file, path, O_RDONLY, error, error_size);
}

bool cap_file_create(struct cap_file *file, const char *path, char *error, size_t error_size)
{
    return open_path(file, path, O_WRONLY | O_CREAT | O_TRUNC, error, error_size);
}

ptrdiff_t cap_file_read(struct cap_file *file, void *buffer, size_t size, char *error,
                        size_t error_size)
{
    ssize_t got;

    do
        got = read((int)file->handle, buffer, size < STEP_MAX ? size : STEP_MAX);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        explain(error, error_size);
    return got;
}

size_t cap_file_write(struct cap_file *file, const void *bytes, size_t size, char *error,
                      size_t error_size)
{
    size_t done = 0;

    while (done < size) {
        size_t step = size - done < STEP_MAX ? size - done : STEP_MAX;
        ssize_t put = write((int)file->handle, (const char *)bytes + done, step);

        if (put > 0) {
            done += (size_t)put;
        } else if (put == 0 || errno != EINTR) {
            if (put == 0)
                errno = EIO;
            explain(error, error_size);
            break;
        }
    }
    return done;
}

void cap_file_cut(struct cap_file *file, uint64_t size)
{
    int fd = (int)file->handle;

    /* Where it cannot be cut, seeking back is enough: what comes next overwrites the rest. */
    if (ftruncate(fd, (off_t)size) != 0 || lseek(fd, (off_t)size, SEEK_SET) < 0)
        (void)lseek(fd, (off_t)size, SEEK_SET);
}

bool cap_file_close(struct cap_file *file, char *error, size_t error_size)
{
    bool ok = true;

    if (file->open && file->owned && close((int)file->handle) != 0 && errno != EINTR) {
        explain(error, error_size);
        ok = false;
    }
    *file = (struct cap_file){.open = false};
    return ok;
}

bool cap_file_remove(const char *path, char *error, size_t error_size)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return true;
    explain(error, error_size);
    return false;
}

void cap_file_stamp(char stamp[CAP_FILE_STAMP_SIZE])
{
    time_t now = time(NULL);
    struct tm parts;

    if (!localtime_r(&now, &parts) ||
        strftime(stamp, CAP_FILE_STAMP_SIZE, "%Y%m%d%H%M%S", &parts) == 0)
        snprintf(stamp, CAP_FILE_STAMP_SIZE, "00000000000000");
}
