/* folders_linux.c - folders.h by POSIX.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "folders.h"

#include "files.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 65536u

#define FOR_ALL         (S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)
#define FOR_ALL_PROGRAM (FOR_ALL | S_IXUSR | S_IXGRP | S_IXOTH)

bool folders_have(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

bool folders_are_roots(void)
{
    return geteuid() == 0;
}

/* "/a/b/c" -> "/a/b" -> "/a" -> "/"; false at the end. */
static bool go_up(char *path)
{
    char *last = strrchr(path, '/');

    if (!last || strcmp(path, "/") == 0)
        return false;
    last[last == path] = '\0';
    return true;
}

static bool copy_path(char *out, const char *path)
{
    int length = snprintf(out, PROCESS_PATH_SIZE, "%s", path);

    return length >= 0 && (size_t)length < PROCESS_PATH_SIZE;
}

bool folders_can_write(const char *folder)
{
    char path[PROCESS_PATH_SIZE];

    if (!copy_path(path, folder))
        return false;
    while (!folders_have(path))
        if (!go_up(path))
            return false;
    return access(path, W_OK | X_OK) == 0;
}

static bool make_one(const char *path, bool shared, struct problem *problem)
{
    if (mkdir(path, S_IRWXU | S_IRWXG | S_IRWXO) == 0) {
        /* Root's umask may be meant for root's own files. */
        if (!shared || chmod(path, FOR_ALL_PROGRAM) == 0)
            return true;
    } else if (errno == EEXIST) {
        return true;
    }
    problem_system(problem, (unsigned long)errno, "cannot make the folder %s", path);
    return false;
}

bool folders_make(const char *folder, bool shared, struct problem *problem)
{
    char path[PROCESS_PATH_SIZE];

    if (!copy_path(path, folder)) {
        problem_system(problem, ENAMETOOLONG, "%s", folder);
        return false;
    }
    for (char *at = path + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (!folders_have(path) && !make_one(path, shared, problem))
            return false;
        *at = '/';
    }
    return make_one(path, shared, problem);
}

static bool copy_bytes(int from, int to)
{
    static char chunk[CHUNK];
    ssize_t got;

    while ((got = read(from, chunk, sizeof chunk)) > 0)
        for (ssize_t at = 0, put; at < got; at += put)
            if ((put = write(to, chunk + at, (size_t)(got - at))) < 0)
                return false;
    return got == 0;
}

/* A name beside `to`, which then is renamed to it. */
static bool name_beside(char *out, const char *to, struct problem *problem)
{
    int length = snprintf(out, PROCESS_PATH_SIZE, "%s.%ld", to, (long)getpid());

    if (length >= 0 && (size_t)length < PROCESS_PATH_SIZE)
        return true;
    problem_system(problem, ENAMETOOLONG, "%s", to);
    return false;
}

bool folders_copy(const char *from, const char *to, bool program, struct problem *problem)
{
    char beside[PROCESS_PATH_SIZE];
    int in = -1, out = -1;
    bool fine = false;

    if (!name_beside(beside, to, problem))
        return false;
    in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) {
        problem_system(problem, (unsigned long)errno, "cannot read %s", from);
        return false;
    }
    unlink(beside);
    out = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (out >= 0) {
        fine = copy_bytes(in, out) && fchmod(out, program ? FOR_ALL_PROGRAM : FOR_ALL) == 0;
        fine = close(out) == 0 && fine;
        fine = fine && rename(beside, to) == 0;
    }
    if (!fine) {
        problem_system(problem, (unsigned long)errno, "cannot write %s", to);
        unlink(beside);
    }
    close(in);
    return fine;
}

bool folders_link(const char *from, const char *to, struct problem *problem)
{
    char beside[PROCESS_PATH_SIZE];

    if (!name_beside(beside, to, problem))
        return false;
    unlink(beside);
    if (symlink(from, beside) == 0 && rename(beside, to) == 0)
        return true;
    problem_system(problem, (unsigned long)errno, "cannot make the link %s", to);
    unlink(beside);
    return false;
}

bool folders_copied(const char *from, const char *to)
{
    struct stat status;

    return lstat(to, &status) == 0 && S_ISREG(status.st_mode) && file_equal(from, to);
}

bool folders_linked(const char *from, const char *to)
{
    char target[PROCESS_PATH_SIZE];
    ssize_t size = readlink(to, target, sizeof target);

    return size >= 0 && (size_t)size == strlen(from) && memcmp(target, from, (size_t)size) == 0;
}

bool folders_remove(const char *path, struct problem *problem)
{
    if (unlink(path) == 0)
        return true;
    problem_system(problem, (unsigned long)errno, "cannot remove %s", path);
    return false;
}

static bool has_folder(const char *path, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/'))
        if (strncasecmp(at + 1, name, length) == 0 && (at[1 + length] == '/' || !at[1 + length]))
            return true;
    return false;
}

void folders_prune(const char *folder, const char *last)
{
    char path[PROCESS_PATH_SIZE];

    if (!copy_path(path, folder))
        return;
    while (has_folder(path, last)) {
        if (rmdir(path) != 0 && errno != ENOENT)
            return;
        if (!go_up(path))
            return;
    }
}
