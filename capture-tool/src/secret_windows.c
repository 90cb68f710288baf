/* secret_windows.c - a secret from the console. See secret.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#define WIN32_LEAN_AND_MEAN
#include "secret.h"

#include <string.h>
#include <windows.h>

static HANDLE open_console(const wchar_t *name)
{
    return CreateFileW(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                       OPEN_EXISTING, 0, NULL);
}

static bool read_line(HANDLE console, char *out, size_t room, struct problem *problem)
{
    wchar_t wide[256];
    DWORD count = 0;
    int size;

    if (!ReadConsoleW(console, wide, sizeof wide / sizeof wide[0], &count, NULL)) {
        problem_system(problem, GetLastError(), "reading the console");
        return false;
    }
    while (count > 0 && (wide[count - 1] == L'\r' || wide[count - 1] == L'\n'))
        count--;
    if (count == 0) {
        problem_set(problem, "nothing was typed");
        return false;
    }
    size = WideCharToMultiByte(CP_UTF8, 0, wide, (int)count, out, (int)room - 1, NULL, NULL);
    SecureZeroMemory(wide, sizeof wide);
    if (size <= 0) {
        problem_set(problem, "what was typed is too long for a key");
        return false;
    }
    out[size] = '\0';
    return true;
}

bool secret_ask(const char *prompt, char *out, size_t room, struct problem *problem)
{
    HANDLE input = open_console(L"CONIN$"), output = open_console(L"CONOUT$");
    DWORD mode, written;
    bool fine = false;

    if (input == INVALID_HANDLE_VALUE || output == INVALID_HANDLE_VALUE ||
        !GetConsoleMode(input, &mode)) {
        problem_set(problem, "there is no console to ask for the key: give --key-file FILE");
    } else {
        SetConsoleMode(input, (mode | ENABLE_LINE_INPUT) & ~(DWORD)ENABLE_ECHO_INPUT);
        WriteConsoleA(output, prompt, (DWORD)strlen(prompt), &written, NULL);
        fine = read_line(input, out, room, problem);
        SetConsoleMode(input, mode);
        WriteConsoleA(output, "\n", 1, &written, NULL);
    }
    if (input != INVALID_HANDLE_VALUE)
        CloseHandle(input);
    if (output != INVALID_HANDLE_VALUE)
        CloseHandle(output);
    return fine;
}
