/* folders_windows.c - folders.h by Win32.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "folders.h"

#include "files.h"
#include "process.h"

#define WIN32_LEAN_AND_MEAN
#include <stdio.h>
#include <string.h>
#include <windows.h>

static bool widen(const char *text, wchar_t wide[PROCESS_PATH_SIZE])
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, PROCESS_PATH_SIZE) >
           0;
}

static DWORD attributes_of(const char *path)
{
    wchar_t wide[PROCESS_PATH_SIZE];

    return widen(path, wide) ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
}

bool folders_have(const char *path)
{
    return attributes_of(path) != INVALID_FILE_ATTRIBUTES;
}

bool folders_are_roots(void)
{
    return false;
}

static bool go_up(char *path)
{
    char *last = strrchr(path, '\\'), *other = strrchr(path, '/');

    if (!last || (other && other > last))
        last = other;
    if (!last || last == path || last[-1] == ':')
        return false;
    *last = '\0';
    return true;
}

static bool copy_path(char *out, const char *path)
{
    int length = snprintf(out, PROCESS_PATH_SIZE, "%s", path);

    return length >= 0 && (size_t)length < PROCESS_PATH_SIZE;
}

/* Rights are not worked out from access lists: a file is made, and is gone with its handle. */
bool folders_can_write(const char *folder)
{
    char path[PROCESS_PATH_SIZE], probe[PROCESS_PATH_SIZE];
    wchar_t wide[PROCESS_PATH_SIZE];
    HANDLE file;
    int length;

    if (!copy_path(path, folder))
        return false;
    while (!folders_have(path))
        if (!go_up(path))
            return false;
    length = snprintf(probe, sizeof probe, "%s\\kdlens-%lu", path, GetCurrentProcessId());
    if (length < 0 || (size_t)length >= sizeof probe || !widen(probe, wide))
        return false;
    file = CreateFileW(wide, GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_FLAG_DELETE_ON_CLOSE, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return false;
    CloseHandle(file);
    return true;
}

static bool make_one(const char *path, struct problem *problem)
{
    wchar_t wide[PROCESS_PATH_SIZE];

    if (widen(path, wide) &&
        (CreateDirectoryW(wide, NULL) || GetLastError() == ERROR_ALREADY_EXISTS))
        return true;
    problem_system(problem, GetLastError(), "cannot make the folder %s", path);
    return false;
}

bool folders_make(const char *folder, bool shared, struct problem *problem)
{
    char path[PROCESS_PATH_SIZE];

    (void)shared; /* access is inherited from the folder above */
    if (!copy_path(path, folder)) {
        problem_set(problem, "%s: the path is too long", folder);
        return false;
    }
    for (char *at = path + 1; *at; at++) {
        char separator = *at;

        if (!strchr("/\\", separator) || at[-1] == ':' || strchr("/\\", at[-1]))
            continue;
        *at = '\0';
        if (!folders_have(path) && !make_one(path, problem))
            return false;
        *at = separator;
    }
    return make_one(path, problem);
}

bool folders_copy(const char *from, const char *to, bool program, struct problem *problem)
{
    char beside[PROCESS_PATH_SIZE];
    wchar_t source[PROCESS_PATH_SIZE], middle[PROCESS_PATH_SIZE], target[PROCESS_PATH_SIZE];
    int length = snprintf(beside, sizeof beside, "%s.%lu", to, GetCurrentProcessId());

    (void)program; /* its name says so */
    if (length < 0 || (size_t)length >= sizeof beside || !widen(from, source) ||
        !widen(beside, middle) || !widen(to, target)) {
        problem_set(problem, "%s: the path is too long", to);
        return false;
    }
    if (CopyFileW(source, middle, FALSE) && MoveFileExW(middle, target, MOVEFILE_REPLACE_EXISTING))
        return true;
    problem_system(problem, GetLastError(),
                   "cannot write %s (is Wireshark running, and has it loaded the file?)", to);
    DeleteFileW(middle);
    return false;
}

bool folders_link(const char *from, const char *to, struct problem *problem)
{
    return folders_copy(from, to, true, problem);
}

bool folders_copied(const char *from, const char *to)
{
    return file_equal(from, to);
}

bool folders_linked(const char *from, const char *to)
{
    return folders_copied(from, to);
}

bool folders_remove(const char *path, struct problem *problem)
{
    wchar_t wide[PROCESS_PATH_SIZE];

    if (widen(path, wide) && DeleteFileW(wide))
        return true;
    problem_system(problem, GetLastError(),
                   "cannot remove %s (is Wireshark running, and has it loaded the file?)", path);
    return false;
}

static bool has_folder(const char *path, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = strpbrk(path, "/\\"); at; at = strpbrk(at + 1, "/\\"))
        if (_strnicmp(at + 1, name, length) == 0 &&
            (!at[1 + length] || strchr("/\\", at[1 + length])))
            return true;
    return false;
}

void folders_prune(const char *folder, const char *last)
{
    char path[PROCESS_PATH_SIZE];
    wchar_t wide[PROCESS_PATH_SIZE];

    if (!copy_path(path, folder))
        return;
    while (has_folder(path, last)) {
        if (!widen(path, wide))
            return;
        if (!RemoveDirectoryW(wide) && GetLastError() != ERROR_FILE_NOT_FOUND &&
            GetLastError() != ERROR_PATH_NOT_FOUND)
            return;
        if (!go_up(path))
            return;
    }
}
