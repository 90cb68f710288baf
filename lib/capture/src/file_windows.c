/* file_windows.c - files on Windows. See file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "file.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <io.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP_MAX ((size_t)1 << 30)

static void explain(char *error, size_t error_size)
{
    DWORD code = GetLastError(), size;
    wchar_t wide[200];
    char text[600];

    size = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, code, 0,
                          wide, sizeof wide / sizeof wide[0] - 1, NULL);
    while (size && (wide[size - 1] == L'\r' || wide[size - 1] == L'\n' || wide[size - 1] == L'.' ||
                    wide[size - 1] == L' '))
        size--;
    wide[size] = 0;
    if (size == 0 || WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, sizeof text, NULL, NULL) == 0)
        snprintf(text, sizeof text, "error %lu", code);
    snprintf(error, error_size, "%s", text);
}

/* NULL with the last error set when the path is no UTF-8 or memory is short. */
static wchar_t *wide_path(const char *path)
{
    int size = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0);
    wchar_t *wide = size > 0 ? malloc((size_t)size * sizeof *wide) : NULL;

    if (wide)
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, size);
    else if (size > 0)
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    return wide;
}

static void from_handle(struct cap_file *file, HANDLE handle)
{
    *file = (struct cap_file){.handle = (intptr_t)handle, .open = true};
    file->regular = GetFileType(handle) == FILE_TYPE_DISK;
}

void cap_file_from_fd(struct cap_file *file, int fd)
{
    from_handle(file, (HANDLE)_get_osfhandle(fd));
}

static bool open_path(struct cap_file *file, const char *path, bool create, char *error,
                      size_t error_size)
{
    wchar_t *wide = wide_path(path);
    HANDLE handle = INVALID_HANDLE_VALUE;

    if (wide && create)
        handle = CreateFileW(wide, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
                             CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    else if (wide)
        handle =
            CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                        NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        explain(error, error_size);
        *file = (struct cap_file){.open = false};
    } else {
        from_handle(file, handle);
        file->owned = true;
    }
    free(wide);
    return file->open;
}

bool cap_file_open(struct cap_file *file, const char *path, char *error, size_t error_size)
{
    return open_path(file, path, false, error, error_size);
}

bool cap_file_create(struct cap_file *file, const char *path, char *error, size_t error_size)
{
    return open_path(file, path, true, error, error_size);
}

ptrdiff_t cap_file_read(struct cap_file *file, void *buffer, size_t size, char *error,
                        size_t error_size)
{
    DWORD got = 0, step = (DWORD)(size < STEP_MAX ? size : STEP_MAX);

    if (ReadFile((HANDLE)file->handle, buffer, step, &got, NULL))
        return (ptrdiff_t)got;
    /* A pipe whose writer has gone is at its end. */
    if (GetLastError() == ERROR_BROKEN_PIPE || GetLastError() == ERROR_HANDLE_EOF)
        return 0;
    explain(error, error_size);
    return -1;
}

size_t cap_file_write(struct cap_file *file, const void *bytes, size_t size, char *error,
                      size_t error_size)
{
    size_t done = 0;

    while (done < size) {
        DWORD put = 0, step = (DWORD)(size - done < STEP_MAX ? size - done : STEP_MAX);
        BOOL ok = WriteFile((HANDLE)file->handle, (const char *)bytes + done, step, &put, NULL);

        done += put;
        if (ok && put)
            continue;
        if (ok)
            SetLastError(ERROR_DISK_FULL);
        explain(error, error_size);
        break;
    }
    return done;
}

void cap_file_cut(struct cap_file *file, uint64_t size)
{
    LARGE_INTEGER position;

    position.QuadPart = (LONGLONG)size;
    if (SetFilePointerEx((HANDLE)file->handle, position, NULL, FILE_BEGIN))
        SetEndOfFile((HANDLE)file->handle);
}

bool cap_file_close(struct cap_file *file, char *error, size_t error_size)
{
    bool ok = true;

    if (file->open && file->owned && !CloseHandle((HANDLE)file->handle)) {
        explain(error, error_size);
        ok = false;
    }
    *file = (struct cap_file){.open = false};
    return ok;
}

bool cap_file_remove(const char *path, char *error, size_t error_size)
{
    wchar_t *wide = wide_path(path);
    bool ok = wide && DeleteFileW(wide);

    if (!ok && wide)
        ok = GetLastError() == ERROR_FILE_NOT_FOUND;
    if (!ok)
        explain(error, error_size);
    free(wide);
    return ok;
}

void cap_file_stamp(char stamp[CAP_FILE_STAMP_SIZE])
{
    SYSTEMTIME now;

    GetLocalTime(&now);
    snprintf(stamp, CAP_FILE_STAMP_SIZE, "%04u%02u%02u%02u%02u%02u", now.wYear % 10000u,
             now.wMonth % 100u, now.wDay % 100u, now.wHour % 100u, now.wMinute % 100u,
             now.wSecond % 100u);
}
