/* powershell_windows.c - where Windows keeps its PowerShell.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "powershell.h"

#include <stdio.h>
#include <wchar.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

bool powershell_path(char *path, size_t room, struct problem *problem)
{
    static const wchar_t rest[] = L"\\WindowsPowerShell\\v1.0\\powershell.exe";
    wchar_t wide[MAX_PATH + sizeof rest / sizeof rest[0]];
    UINT length = GetSystemDirectoryW(wide, MAX_PATH);

    /* Not by PATH, which anybody can write into the environment of an administrator's prompt. */
    if (length == 0 || length >= MAX_PATH) {
        problem_system(problem, GetLastError(), "the system folder is not known");
        return false;
    }
    wcscpy(wide + length, rest);
    if (GetFileAttributesW(wide) == INVALID_FILE_ATTRIBUTES) {
        problem_system(problem, GetLastError(),
                       "Windows PowerShell, which the tool uses to ask Hyper-V, is not there");
        return false;
    }
    if (WideCharToMultiByte(CP_UTF8, 0, wide, -1, path, (int)room, NULL, NULL) == 0) {
        problem_set(problem, "the system folder's name is too long");
        return false;
    }
    return true;
}
