/* host.cpp - a host for WinDbg's engine (dbgeng.dll): commands in, text and marks out.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   host.exe [option...] CONNECTION      as windbg -k has it: com:ipport=5555,port=127.0.0.1
 *   host.exe [option...] --dump FILE     a dump or an image
 *
 *   --initial-break     break in as soon as a target is there
 *   --symbols PATH      the symbol path
 *   --limit SECONDS     end after this time, whatever happens (600)
 *   --show-protocol     print the engine's own notes on packets, too
 *
 * Standard input: commands of the debugger, one a line, run in order while the target is stopped;
 * lines that begin with '>' are for the host, at once:
 *   >break          break in
 *   >answer TEXT    what a target that asks for input is given from now on
 * The end of the input ends the program after the last command.
 *
 * Standard output: what the engine prints, and between that marks for a program, each of them
 * 0x1e, words, 0x1f. The engine's text has neither byte, because they are replaced in it.
 *   attached            the engine waits for the target
 *   stopped             the target is stopped, and commands are run
 *   begin N             the Nth command: its text is between this and
 *   done N STATE        STATE: stopped; running until the next stop, what the engine says meanwhile
 *                       comes after this mark; ended
 *   asked               the target asked for input
 *   failed WHAT CODE    a call of the engine failed
 *   expired             the limit is reached
 *
 * Exit status: 0 after "q" or the end of the input, 1 when the engine refused, 2 for wrong usage,
 * 3 after the limit.
 */
#define INITGUID
#include <windows.h>

#include <dbgeng.h>

#include "windowssockets.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK_BEGIN          '\x1e'
#define MARK_END            '\x1f'
#define LINE_SIZE           4096
#define ENGINE_NOTES        0x80000000u /* what the engine writes on packets: not in dbgeng.h */
#define ALL_OF_NORMAL       0x3f7u /* the output mask that an engine begins with, and symbols */
#define EXIT_REFUSED        1
#define EXIT_USAGE          2
#define EXIT_LIMIT          3
#define DEFAULT_LIMIT       600u
#define SIZE_OF_ANSWER      256
#define PAUSE_AFTER_FAILURE 100 /* ms */

/* A command that waits for its turn. */
struct line {
    struct line *next;
    char text[LINE_SIZE];
};

static IDebugClient *client;
static IDebugControl *control;
static CRITICAL_SECTION output_lock;
static CRITICAL_SECTION queue_lock;
static CONDITION_VARIABLE queue_changed;
static struct line *queue_first;
static struct line **queue_last = &queue_first;
static bool input_ended;
static char answer[SIZE_OF_ANSWER]; /* under queue_lock */

/* --- output */

static void write_bytes(const char *bytes, size_t size)
{
    HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
    DWORD written;

    for (; size > 0; bytes += written, size -= written)
        if (!WriteFile(out, bytes, (DWORD)size, &written, NULL))
            ExitProcess(EXIT_REFUSED); /* nobody reads */
}

__attribute__((format(gnu_printf, 1, 2))) static void mark(const char *format, ...)
{
    char text[200];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text + 1, sizeof text - 2, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length > sizeof text - 3)
        length = (int)sizeof text - 3;
    text[0] = MARK_BEGIN;
    text[1 + length] = MARK_END;
    EnterCriticalSection(&output_lock);
    write_bytes(text, (size_t)length + 2);
    LeaveCriticalSection(&output_lock);
}

static bool worked(const char *what, HRESULT result)
{
    if (FAILED(result))
        mark("failed %s %08lx", what, (unsigned long)result);
    return SUCCEEDED(result);
}

/* The engine's objects are static here, so nobody counts references. */
template <class Interface, const IID &own> struct callbacks : Interface {
    STDMETHOD(QueryInterface)(REFIID id, void **object) override
    {
        bool known = IsEqualIID(id, IID_IUnknown) || IsEqualIID(id, own);

        *object = known ? this : NULL;
        return known ? S_OK : E_NOINTERFACE;
    }
    STDMETHOD_(ULONG, AddRef)() override
    {
        return 1;
    }
    STDMETHOD_(ULONG, Release)() override
    {
        return 1;
    }
};

struct printer : callbacks<IDebugOutputCallbacks, IID_IDebugOutputCallbacks> {
    STDMETHOD(Output)(ULONG mask, PCSTR text) override
    {
        size_t size = strlen(text);
        char *copy = (char *)malloc(size + 1);

        (void)mask;
        if (!copy)
            return E_OUTOFMEMORY;
        memcpy(copy, text, size);
        for (size_t i = 0; i < size; i++)
            if (copy[i] == MARK_BEGIN || copy[i] == MARK_END)
                copy[i] = '?';
        EnterCriticalSection(&output_lock);
        write_bytes(copy, size);
        LeaveCriticalSection(&output_lock);
        free(copy);
        return S_OK;
    }
};

struct answerer : callbacks<IDebugInputCallbacks, IID_IDebugInputCallbacks> {
    STDMETHOD(StartInput)(ULONG size) override
    {
        char text[SIZE_OF_ANSWER];

        (void)size;
        EnterCriticalSection(&queue_lock);
        memcpy(text, answer, sizeof text);
        LeaveCriticalSection(&queue_lock);
        mark("asked");
        return control->ReturnInput(text);
    }
    STDMETHOD(EndInput)() override
    {
        return S_OK;
    }
};

/* --- input */

static void take_line(const char *text)
{
    struct line *line;

    if (strcmp(text, ">break") == 0) {
        worked("SetInterrupt", control->SetInterrupt(DEBUG_INTERRUPT_ACTIVE));
        return;
    }
    EnterCriticalSection(&queue_lock);
    if (strncmp(text, ">answer ", 8) == 0) {
        snprintf(answer, sizeof answer, "%s", text + 8);
    } else if ((line = (struct line *)calloc(1, sizeof *line)) != NULL) {
        snprintf(line->text, sizeof line->text, "%s", text);
        *queue_last = line;
        queue_last = &line->next;
        WakeConditionVariable(&queue_changed);
    }
    LeaveCriticalSection(&queue_lock);
}

static DWORD WINAPI read_input(void *unused)
{
    static char text[LINE_SIZE];

    (void)unused;
    while (fgets(text, sizeof text, stdin)) {
        text[strcspn(text, "\r\n")] = '\0';
        if (text[0] != '\0')
            take_line(text);
    }
    EnterCriticalSection(&queue_lock);
    input_ended = true;
    WakeConditionVariable(&queue_changed);
    LeaveCriticalSection(&queue_lock);
    return 0;
}

/* The next command; NULL when there will be none. */
static struct line *next_line(void)
{
    struct line *line;

    EnterCriticalSection(&queue_lock);
    while (!queue_first && !input_ended)
        SleepConditionVariableCS(&queue_changed, &queue_lock, INFINITE);
    line = queue_first;
    if (line) {
        queue_first = line->next;
        if (!queue_first)
            queue_last = &queue_first;
    }
    LeaveCriticalSection(&queue_lock);
    return line;
}

static DWORD WINAPI watch_limit(void *seconds)
{
    Sleep((DWORD)(ULONG_PTR)seconds * 1000);
    mark("expired");
    ExitProcess(EXIT_LIMIT);
}

/* --- the engine */

struct settings {
    const char *connection;
    const char *dump;
    const char *symbols;
    bool initial_break;
    bool show_protocol;
    unsigned long limit;
};

static bool load_engine(void)
{
    typedef HRESULT(WINAPI * create_function)(REFIID, void **);
    HMODULE library = LoadLibraryA("dbgeng.dll");
    create_function create;

    if (!library)
        return worked("LoadLibrary", HRESULT_FROM_WIN32(GetLastError()));
    forgive_socket_options(library);
    create = (create_function)(void *)GetProcAddress(library, "DebugCreate");
    return create && worked("DebugCreate", create(IID_IDebugClient, (void **)&client)) &&
           worked("IDebugControl", client->QueryInterface(IID_IDebugControl, (void **)&control));
}

static bool set_symbols(const char *path)
{
    IDebugSymbols *symbols;

    if (!worked("IDebugSymbols", client->QueryInterface(IID_IDebugSymbols, (void **)&symbols)))
        return false;
    return worked("SetSymbolPath", symbols->SetSymbolPath(path));
}

static bool attach(const struct settings *settings)
{
    static printer print;
    static answerer answer_input;

    client->SetOutputCallbacks(&print);
    client->SetInputCallbacks(&answer_input);
    if (settings->show_protocol)
        client->SetOutputMask(ENGINE_NOTES | ALL_OF_NORMAL);
    if (settings->initial_break)
        control->AddEngineOptions(DEBUG_ENGOPT_INITIAL_BREAK);
    if (settings->symbols && !set_symbols(settings->symbols))
        return false;
    if (settings->dump)
        return worked("OpenDumpFile", client->OpenDumpFile(settings->dump));
    return worked("AttachKernel",
                  client->AttachKernel(DEBUG_ATTACH_KERNEL_CONNECTION, settings->connection));
}

/* The engine takes no time-out but INFINITE for a live kernel. When the link to the target fails
 * while it reads what it wants to know at a stop, the wait fails, but the target may be stopped. */
static bool wait_for_stop(void)
{
    ULONG status = DEBUG_STATUS_GO;

    while (!worked("WaitForEvent", control->WaitForEvent(0, INFINITE))) {
        if (FAILED(control->GetExecutionStatus(&status)) || status == DEBUG_STATUS_NO_DEBUGGEE)
            return false;
        if (status == DEBUG_STATUS_BREAK)
            break;
        Sleep(PAUSE_AFTER_FAILURE);
    }
    mark("stopped");
    return true;
}

/* False when this was the last one. */
static bool run_line(const char *text, unsigned number)
{
    ULONG status = DEBUG_STATUS_NO_DEBUGGEE;
    bool stopped, ended;

    mark("begin %u", number);
    worked("Execute", control->Execute(DEBUG_OUTCTL_THIS_CLIENT, text, DEBUG_EXECUTE_NO_REPEAT));
    control->GetExecutionStatus(&status);
    stopped = status == DEBUG_STATUS_BREAK;
    ended = status == DEBUG_STATUS_NO_DEBUGGEE && text[0] == 'q'; /* .reboot comes back */
    mark("done %u %s", number, stopped ? "stopped" : ended ? "ended" : "running");
    return stopped || (!ended && wait_for_stop());
}

static int run(const struct settings *settings)
{
    bool more;
    unsigned number = 0;
    struct line *line;

    if (!load_engine() || !attach(settings))
        return EXIT_REFUSED;
    mark("attached");
    CreateThread(NULL, 0, read_input, NULL, 0, NULL);
    if (!wait_for_stop())
        return EXIT_REFUSED;
    for (more = true; more && (line = next_line()) != NULL;) {
        more = run_line(line->text, ++number);
        free(line);
    }
    client->EndSession(DEBUG_END_ACTIVE_DETACH);
    return 0;
}

/* --- the command line */

static bool parse(struct settings *settings, int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        const char *option = arguments[i];
        const char *value = i + 1 < count ? arguments[i + 1] : NULL;

        if (strcmp(option, "--initial-break") == 0) {
            settings->initial_break = true;
        } else if (strcmp(option, "--show-protocol") == 0) {
            settings->show_protocol = true;
        } else if (option[0] != '-') {
            settings->connection = option;
        } else if (!value) {
            return false;
        } else {
            i++;
            if (strcmp(option, "--symbols") == 0)
                settings->symbols = value;
            else if (strcmp(option, "--dump") == 0)
                settings->dump = value;
            else if (strcmp(option, "--limit") == 0)
                settings->limit = strtoul(value, NULL, 10);
            else
                return false;
        }
    }
    return !settings->connection != !settings->dump && settings->limit > 0;
}

int main(int count, char **arguments)
{
    struct settings settings = {};
    int status;

    settings.limit = DEFAULT_LIMIT;
    if (!parse(&settings, count, arguments)) {
        fprintf(stderr, "usage: host.exe [--initial-break] [--symbols PATH] [--limit SECONDS] "
                        "[--show-protocol] CONNECTION | --dump FILE\n");
        return EXIT_USAGE;
    }
    InitializeCriticalSection(&output_lock);
    InitializeCriticalSection(&queue_lock);
    InitializeConditionVariable(&queue_changed);
    CreateThread(NULL, 0, watch_limit, (void *)(ULONG_PTR)settings.limit, 0, NULL);
    status = run(&settings);
    ExitProcess((UINT)status); /* other threads still wait for input */
}
