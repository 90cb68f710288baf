/* files.c - opening files by UTF-8 names. See files.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "files.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <fcntl.h>
#include <io.h>
#include <windows.h>
#else
#include <fcntl.h>
#include <unistd.h>
#endif

#ifdef _WIN32
#define PATH_UNITS 4096

static bool widen(const char *text, wchar_t *wide, int units)
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, units) > 0;
}

static FILE *open_named(const char *path, const char *mode)
{
    wchar_t wide[PATH_UNITS], wide_mode[8];

    if (!widen(path, wide, PATH_UNITS) || !widen(mode, wide_mode, 8)) {
        errno = EINVAL;
        return NULL;
    }
    return _wfopen(wide, wide_mode);
}

static FILE *standard(FILE *stream)
{
    _setmode(_fileno(stream), _O_BINARY);
    return stream;
}

static bool identity(const char *path, BY_HANDLE_FILE_INFORMATION *identity)
{
    wchar_t wide[PATH_UNITS];
    HANDLE file;
    bool known;

    if (!widen(path, wide, PATH_UNITS))
        return false;
    file = CreateFileW(wide, 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                       OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return false;
    known = GetFileInformationByHandle(file, identity);
    CloseHandle(file);
    return known;
}

bool file_same(const char *a, const char *b)
{
    BY_HANDLE_FILE_INFORMATION left, right;

    return identity(a, &left) && identity(b, &right) &&
           left.dwVolumeSerialNumber == right.dwVolumeSerialNumber &&
           left.nFileIndexHigh == right.nFileIndexHigh && left.nFileIndexLow == right.nFileIndexLow;
}

ptrdiff_t file_read(FILE *file, void *out, size_t size)
{
    return _read(_fileno(file), out, (unsigned)(size < INT_MAX ? size : INT_MAX));
}

bool file_is_terminal(FILE *file)
{
    DWORD mode;

    return GetConsoleMode((HANDLE)_get_osfhandle(_fileno(file)), &mode) != 0;
}
#else
static FILE *open_named(const char *path, const char *mode)
{
    int handle;
    FILE *file;

    if (mode[0] == 'r')
        return fopen(path, mode);
    handle = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (handle < 0)
        return NULL;
    file = fdopen(handle, mode);
    if (!file)
        close(handle);
    return file;
}

static FILE *standard(FILE *stream)
{
    return stream;
}

bool file_same(const char *a, const char *b)
{
    struct stat left, right;

    return stat(a, &left) == 0 && stat(b, &right) == 0 && S_ISREG(left.st_mode) &&
           left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

ptrdiff_t file_read(FILE *file, void *out, size_t size)
{
    return read(fileno(file), out, size);
}

bool file_is_terminal(FILE *file)
{
    return isatty(fileno(file)) != 0;
}
#endif

FILE *file_open(const char *path, const char *mode, struct problem *problem)
{
    FILE *file;

    if (strcmp(path, "-") == 0)
        return standard(mode[0] == 'r' ? stdin : stdout);
    file = open_named(path, mode);
    if (!file)
        problem_set(problem, "%s cannot be %s: %s", path, mode[0] == 'r' ? "opened" : "written",
                    strerror(errno));
    return file;
}

uint8_t *file_load(const char *path, size_t *size, struct problem *problem)
{
    FILE *file = file_open(path, "rb", problem);
    uint8_t *bytes = NULL;
    size_t room = (size_t)1 << 20;

    *size = 0;
    if (!file)
        return NULL;
    for (; room <= FILE_LOAD_MAX; room *= 2) {
        uint8_t *grown = realloc(bytes, room);

        if (!grown)
            break;
        bytes = grown;
        *size += fread(bytes + *size, 1, room - *size, file);
        if (*size < room)
            break;
    }
    if (!bytes || ferror(file) || *size == room) {
        problem_set(problem, "%s cannot be read", path);
        free(bytes);
        bytes = NULL;
    }
    file_close(file);
    return bytes;
}

bool file_close(FILE *file)
{
    bool fine;

    if (file == stdin)
        return true;
    fine = fflush(file) == 0 && !ferror(file);
    return file == stdout ? fine : fclose(file) == 0 && fine;
}

static bool same_bytes(FILE *a, FILE *b)
{
    char left[4096], right[4096];
    size_t size;

    do {
        size = fread(left, 1, sizeof left, a);
        if (fread(right, 1, sizeof right, b) != size || memcmp(left, right, size) != 0)
            return false;
    } while (size > 0);
    return !ferror(a) && !ferror(b);
}

bool file_equal(const char *a, const char *b)
{
    FILE *left = open_named(a, "rb"), *right = open_named(b, "rb");
    bool equal = left && right && same_bytes(left, right);

    if (left)
        fclose(left);
    if (right)
        fclose(right);
    return equal;
}
