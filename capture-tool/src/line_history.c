/* line_history.c - reading, adding to and cutting the file. See line_history.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "line_history.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folders.h"
#include "process.h"

#define FILE_NAME "debug_history"
#define OWNER     (S_IRUSR | S_IWUSR)

static bool fits(int length)
{
    return length > 0 && (size_t)length < PROCESS_PATH_SIZE;
}

/* The standard says that a relative XDG_STATE_HOME is to be ignored. */
static bool find_folder(char *folder)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (state && *state == '/')
        return fits(snprintf(folder, PROCESS_PATH_SIZE, "%s/kdlens", state));
    return home && *home == '/' &&
           fits(snprintf(folder, PROCESS_PATH_SIZE, "%s/.local/state/kdlens", home));
}

static bool find_file(char *path)
{
    char folder[PROCESS_PATH_SIZE];

    return find_folder(folder) && fits(snprintf(path, PROCESS_PATH_SIZE, "%s/" FILE_NAME, folder));
}

/* A regular file and nothing else: a pipe there would never answer. */
static int open_regular(const char *path, int flags)
{
    int fd = open(path, flags | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, OWNER);
    struct stat status;

    if (fd < 0)
        return -1;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        return fd;
    close(fd);
    return -1;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);

        if (put < 0)
            return false;
        bytes += put;
        size -= (size_t)put;
    }
    return true;
}

static void replace(const char *path, const char *bytes, size_t size)
{
    char beside[PROCESS_PATH_SIZE];
    bool fine;
    int fd;

    if (!fits(snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid())))
        return;
    unlink(beside);
    fd = open_regular(beside, O_WRONLY | O_CREAT | O_EXCL);
    if (fd < 0)
        return;
    fine = write_all(fd, bytes, size);
    fine = close(fd) == 0 && fine;
    if (!fine || rename(beside, path) != 0)
        unlink(beside);
}

/* The newest bytes of the file, up to the limit. */
static size_t read_newest(int fd, char *bytes, bool *is_long)
{
    off_t size = lseek(fd, 0, SEEK_END);
    size_t used = 0;
    ssize_t got;

    *is_long = size > (off_t)LINE_HISTORY_LIMIT;
    if (size < 0 || lseek(fd, *is_long ? size - (off_t)LINE_HISTORY_LIMIT : 0, SEEK_SET) < 0)
        return 0;
    while (used < LINE_HISTORY_LIMIT &&
           (got = read(fd, bytes + used, LINE_HISTORY_LIMIT - used)) > 0)
        used += (size_t)got;
    return used;
}

static bool is_text(const char *line)
{
    for (; *line; line++)
        if ((unsigned char)*line < 0x20 || *line == 0x7f)
            return false;
    return true;
}

/* Takes the text apart. What does not end its line was cut by somebody. */
static void take_lines(char *text, void (*take)(void *context, const char *line), void *context)
{
    char *end;

    for (; (end = strchr(text, '\n')) != NULL; text = end + 1) {
        *end = '\0';
        if (*text && is_text(text))
            take(context, text);
    }
}

void line_history_load(void (*take)(void *context, const char *line), void *context)
{
    char path[PROCESS_PATH_SIZE], *bytes = NULL, *from;
    bool is_long = false;
    size_t size;
    int fd = find_file(path) ? open_regular(path, O_RDONLY) : -1;

    if (fd < 0)
        return;
    bytes = malloc(LINE_HISTORY_LIMIT + 1);
    size = bytes ? read_newest(fd, bytes, &is_long) : 0;
    close(fd);
    if (size > 0) {
        bytes[size] = '\0';
        from = is_long ? memchr(bytes + size / 2, '\n', size - size / 2) : bytes;
        if (is_long && from)
            replace(path, from + 1, size - (size_t)(from + 1 - bytes));
        if (from)
            take_lines(is_long ? from + 1 : from, take, context);
    }
    free(bytes);
}

/* The folder is for its owner too, as the standard of XDG_STATE_HOME wants it. */
static void make_folder(void)
{
    char folder[PROCESS_PATH_SIZE];
    struct problem ignored;

    if (find_folder(folder) && !folders_have(folder) && folders_make(folder, false, &ignored))
        (void)!chmod(folder, S_IRWXU);
}

void line_history_add(const char *line)
{
    char path[PROCESS_PATH_SIZE], text[8192];
    int length = snprintf(text, sizeof text, "%s\n", line);
    int fd;

    if (length < 0 || (size_t)length >= sizeof text || !find_file(path))
        return;
    make_folder();
    fd = open_regular(path, O_WRONLY | O_APPEND | O_CREAT);
    if (fd < 0)
        return;
    if (fchmod(fd, OWNER) == 0)
        write_all(fd, text, (size_t)length);
    close(fd);
}
