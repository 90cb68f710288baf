/* pipe_windows.c - names, access rights and peers of named pipes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "pipe_windows.h"

#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define BUFFER_SIZE 65536u
/* FILE_GENERIC_READ | FILE_GENERIC_WRITE without FILE_CREATE_PIPE_INSTANCE. */
#define READ_WRITE L"0x12019b"

bool pipe_path(const char *name, wchar_t path[PIPE_PATH_SIZE], struct problem *problem)
{
    static const wchar_t prefix[] = L"\\\\.\\pipe\\";
    bool whole = strncmp(name, "\\\\", 2) == 0 || strncmp(name, "//", 2) == 0;
    size_t used = 0;

    if (!whole) {
        used = sizeof prefix / sizeof prefix[0] - 1;
        memcpy(path, prefix, sizeof prefix);
    }
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, path + used,
                            (int)(PIPE_PATH_SIZE - used)) == 0) {
        problem_set(problem, "a pipe's name is UTF-8 text of at most %u characters",
                    (unsigned)(PIPE_PATH_SIZE - 1 - sizeof prefix / sizeof prefix[0]));
        return false;
    }
    for (wchar_t *at = path; whole && *at; at++)
        if (*at == L'/')
            *at = L'\\';
    return true;
}

/* The text of this process's user; to be freed by LocalFree. */
static wchar_t *user_text(void)
{
    union {
        TOKEN_USER user;
        BYTE room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    } info;
    HANDLE token;
    DWORD size;
    wchar_t *text = NULL;

    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return NULL;
    if (!GetTokenInformation(token, TokenUser, &info, sizeof info, &size) ||
        !ConvertSidToStringSidW(info.user.User.Sid, &text))
        text = NULL;
    CloseHandle(token);
    return text;
}

/* To be freed by LocalFree. */
static PSECURITY_DESCRIPTOR make_descriptor(void)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    wchar_t *user = user_text();
    wchar_t text[320];

    if (!user)
        return NULL;
    swprintf(text, sizeof text / sizeof text[0],
             L"D:P(A;;GA;;;%ls)(A;;" READ_WRITE L";;;SY)(A;;" READ_WRITE L";;;BA)", user);
    LocalFree(user);
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1, &descriptor,
                                                              NULL))
        return NULL;
    return descriptor;
}

static void narrow(const wchar_t *wide, char *out, size_t room)
{
    if (WideCharToMultiByte(CP_UTF8, 0, wide, -1, out, (int)room, NULL, NULL) == 0)
        out[0] = '\0';
}

HANDLE pipe_make(const wchar_t *path, DWORD access, bool first, struct problem *problem)
{
    SECURITY_ATTRIBUTES security = {.nLength = sizeof security,
                                    .lpSecurityDescriptor = make_descriptor()};
    char name[3 * PIPE_PATH_SIZE];
    DWORD error;
    HANDLE pipe;

    if (!security.lpSecurityDescriptor) {
        problem_system(problem, GetLastError(), "access rights of the pipe");
        return INVALID_HANDLE_VALUE;
    }
    pipe = CreateNamedPipeW(
        path, access | FILE_FLAG_OVERLAPPED | (first ? FILE_FLAG_FIRST_PIPE_INSTANCE : 0),
        PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
        PIPE_UNLIMITED_INSTANCES, BUFFER_SIZE, BUFFER_SIZE, 0, &security);
    error = GetLastError();
    LocalFree(security.lpSecurityDescriptor);
    if (pipe != INVALID_HANDLE_VALUE)
        return pipe;
    narrow(path, name, sizeof name);
    if (error == ERROR_ACCESS_DENIED || error == ERROR_PIPE_BUSY)
        problem_set(problem, "another program has made the pipe %s; end it, or use another name",
                    name);
    else
        problem_system(problem, error, "making the pipe %s", name);
    return INVALID_HANDLE_VALUE;
}

void pipe_peer(HANDLE pipe, bool client, char *out, size_t room)
{
    wchar_t path[MAX_PATH], *name;
    char text[3 * MAX_PATH];
    DWORD length = MAX_PATH;
    ULONG id = 0;
    HANDLE process;

    out[0] = '\0';
    if (!(client ? GetNamedPipeClientProcessId(pipe, &id) : GetNamedPipeServerProcessId(pipe, &id)))
        return;
    snprintf(out, room, "process %lu", id);
    process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, id);
    if (!process)
        return;
    if (QueryFullProcessImageNameW(process, 0, path, &length)) {
        name = wcsrchr(path, L'\\');
        narrow(name ? name + 1 : path, text, sizeof text);
        snprintf(out, room, "%s, process %lu", text, id);
    }
    CloseHandle(process);
}
