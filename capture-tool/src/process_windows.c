/* process_windows.c - process.h by Win32.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A Windows program gets one command line and divides it itself; nearly all do it by the rules of
 * CommandLineToArgvW, which quote_argument inverts. Programs with rules of their own (cmd.exe) must
 * not be run from here.
 */
#include "process.h"

#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define CHUNK 4096u

/* One of the program's two output streams, read by a thread of its own. */
struct stream {
    HANDLE pipe;
    struct thread thread;
    bool started;
    char *text;
    size_t size;
};

struct command_line {
    wchar_t *text;
    size_t size;
    size_t room;
    bool failed;
};

static wchar_t *widen(const char *text)
{
    int size = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *wide = size > 0 ? malloc((size_t)size * sizeof *wide) : NULL;

    if (wide)
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, size);
    return wide;
}

static bool narrow(const wchar_t *wide, char *text, size_t room)
{
    return WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, (int)room, NULL, NULL) > 0;
}

static void add(struct command_line *line, wchar_t c, size_t times)
{
    if (line->size + times + 1 > line->room) {
        size_t room = 2 * (line->room + times) + 256;
        wchar_t *text = realloc(line->text, room * sizeof *text);

        if (!text) {
            line->failed = true;
            return;
        }
        line->text = text;
        line->room = room;
    }
    while (times-- > 0)
        line->text[line->size++] = c;
    line->text[line->size] = L'\0';
}

/* Always in quotes. Backslashes count double before a quote, and only there. */
static void quote_argument(struct command_line *line, const wchar_t *argument)
{
    size_t backslashes = 0;

    add(line, L'"', 1);
    for (; *argument; argument++) {
        if (*argument == L'\\') {
            backslashes++;
            continue;
        }
        add(line, L'\\', *argument == L'"' ? 2 * backslashes + 1 : backslashes);
        add(line, *argument, 1);
        backslashes = 0;
    }
    add(line, L'\\', 2 * backslashes);
    add(line, L'"', 1);
}

static wchar_t *make_command_line(const char *const *arguments)
{
    struct command_line line = {0};

    for (size_t i = 0; arguments[i]; i++) {
        wchar_t *wide = widen(arguments[i]);

        if (i > 0)
            add(&line, L' ', 1);
        if (wide)
            quote_argument(&line, wide);
        else
            line.failed = true;
        free(wide);
    }
    if (line.failed) {
        free(line.text);
        return NULL;
    }
    return line.text;
}

static void read_stream(void *context)
{
    struct stream *stream = context;
    char chunk[CHUNK];
    DWORD got;

    while (ReadFile(stream->pipe, chunk, sizeof chunk, &got, NULL) && got > 0) {
        char *text = stream->size < PROCESS_OUTPUT_MAX
                         ? realloc(stream->text, stream->size + got + 1)
                         : NULL;

        if (!text)
            continue;
        memcpy(text + stream->size, chunk, got);
        stream->text = text;
        stream->size += got;
        text[stream->size] = '\0';
    }
}

static void close_handle(HANDLE *handle)
{
    if (*handle)
        CloseHandle(*handle);
    *handle = NULL;
}

/* Only these three handles go to the program, whatever else is inheritable. */
static bool create(const char *const *arguments, HANDLE handles[3], PROCESS_INFORMATION *process)
{
    STARTUPINFOEXW startup = {.StartupInfo = {.cb = sizeof startup,
                                              .dwFlags = STARTF_USESTDHANDLES,
                                              .hStdInput = handles[0],
                                              .hStdOutput = handles[1],
                                              .hStdError = handles[2]}};
    wchar_t *path = widen(arguments[0]), *line = make_command_line(arguments);
    SIZE_T size = 0;
    bool fine = false;

    InitializeProcThreadAttributeList(NULL, 1, 0, &size);
    startup.lpAttributeList = malloc(size);
    if (path && line && startup.lpAttributeList &&
        InitializeProcThreadAttributeList(startup.lpAttributeList, 1, 0, &size)) {
        fine =
            UpdateProcThreadAttribute(startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
                                      handles, 3 * sizeof *handles, NULL, NULL) &&
            CreateProcessW(path, line, NULL, NULL, TRUE,
                           EXTENDED_STARTUPINFO_PRESENT | CREATE_NO_WINDOW, NULL, NULL,
                           &startup.StartupInfo, process);
        DeleteProcThreadAttributeList(startup.lpAttributeList);
    }
    free(startup.lpAttributeList);
    free(path);
    free(line);
    return fine;
}

/* The program with its streams connected to ours; the handles given to it are closed here. */
static bool start(const char *const *arguments, struct stream streams[2],
                  PROCESS_INFORMATION *process)
{
    SECURITY_ATTRIBUTES inherit = {.nLength = sizeof inherit, .bInheritHandle = TRUE};
    HANDLE given[3] = {0};
    bool fine;

    given[0] = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherit,
                           OPEN_EXISTING, 0, NULL);
    fine = given[0] != INVALID_HANDLE_VALUE;
    for (size_t i = 0; fine && i < 2; i++)
        fine = CreatePipe(&streams[i].pipe, &given[1 + i], &inherit, 0) &&
               SetHandleInformation(streams[i].pipe, HANDLE_FLAG_INHERIT, 0);
    fine = fine && create(arguments, given, process);
    for (size_t i = 0; i < 3; i++)
        if (given[i] != INVALID_HANDLE_VALUE)
            close_handle(&given[i]);
    return fine;
}

/* False when it had to be stopped. */
static bool wait_for(HANDLE process, uint32_t milliseconds, DWORD *status)
{
    bool ended = WaitForSingleObject(process, milliseconds) == WAIT_OBJECT_0;

    if (!ended) {
        TerminateProcess(process, 1);
        WaitForSingleObject(process, INFINITE);
    }
    GetExitCodeProcess(process, status);
    return ended;
}

static char *text_of(struct stream *stream)
{
    char *text = stream->text ? stream->text : calloc(1, 1);

    stream->text = NULL;
    return text;
}

bool process_run(const char *const *arguments, uint32_t milliseconds, struct process_result *result,
                 struct problem *problem)
{
    struct stream streams[2] = {0};
    PROCESS_INFORMATION process = {0};
    DWORD status = 0;
    bool fine = start(arguments, streams, &process);

    if (!fine)
        problem_system(problem, GetLastError(), "cannot run %s", arguments[0]);
    for (size_t i = 0; fine && i < 2; i++)
        streams[i].started = thread_start(&streams[i].thread, read_stream, &streams[i]);
    if (fine && !wait_for(process.hProcess, milliseconds, &status)) {
        problem_set(problem, "%s did not end within %u seconds and was stopped", arguments[0],
                    milliseconds / 1000);
        fine = false;
    }
    for (size_t i = 0; i < 2; i++)
        if (streams[i].started)
            thread_join(&streams[i].thread);
    if (fine) {
        *result = (struct process_result){
            .status = (int)status, .output = text_of(&streams[0]), .errors = text_of(&streams[1])};
        if (!result->output || !result->errors) {
            problem_set(problem, "out of memory");
            process_result_clear(result);
            fine = false;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        free(streams[i].text);
        close_handle(&streams[i].pipe);
    }
    close_handle(&process.hThread);
    close_handle(&process.hProcess);
    return fine;
}

void process_result_clear(struct process_result *result)
{
    free(result->output);
    free(result->errors);
    *result = (struct process_result){0};
}

static bool is_program(const char *path)
{
    wchar_t *wide = widen(path);
    DWORD attributes = wide ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;

    free(wide);
    return attributes != INVALID_FILE_ATTRIBUTES && !(attributes & FILE_ATTRIBUTE_DIRECTORY);
}

/* As DIRECTORY\NAME, with ".exe" when the name has no suffix. */
static bool try_folder(const char *folder, size_t size, const char *name, char *path, size_t room)
{
    const char *suffix = strrchr(name, '.') ? "" : ".exe";
    int length =
        snprintf(path, room, "%.*s%s%s%s", (int)size, folder, size ? "\\" : "", name, suffix);

    return length >= 0 && (size_t)length < room && is_program(path);
}

bool process_find(const char *name, char *path, size_t room)
{
    wchar_t *wide;
    char *folders;
    size_t size = 32768;
    bool found = false;

    if (strpbrk(name, "/\\"))
        return try_folder("", 0, name, path, room);
    wide = malloc(size * sizeof *wide);
    folders = malloc(3 * size);
    if (wide && folders && GetEnvironmentVariableW(L"PATH", wide, (DWORD)size) - 1 < size - 1 &&
        narrow(wide, folders, 3 * size)) {
        for (const char *at = folders; *at && !found;) {
            size_t length = strcspn(at, ";");

            found = length > 2 && at[1] == ':' && try_folder(at, length, name, path, room);
            at += length + (at[length] == ';');
        }
    }
    free(wide);
    free(folders);
    return found;
}

bool process_own_path(char *path, size_t room, struct problem *problem)
{
    wchar_t wide[PROCESS_PATH_SIZE];
    DWORD size = GetModuleFileNameW(NULL, wide, PROCESS_PATH_SIZE);

    if (size == 0 || size >= PROCESS_PATH_SIZE || !narrow(wide, path, room)) {
        problem_system(problem, GetLastError(), "cannot tell where this program is");
        return false;
    }
    return true;
}
