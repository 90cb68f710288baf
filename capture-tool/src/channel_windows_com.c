/* channel_windows_com.c - COM ports.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Time-outs that end a read with the first byte are not the same everywhere. Without time-outs a
 * read waits until it has all it asked for, on every system: so one byte is read, then as many as
 * the driver says have come with it.
 */
#include "channel_windows.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define DRIVER_BUFFER 65536u
#define NAME_SIZE     128u

/* "COM1, COM3", from what the system calls devices. */
static void list_ports(char *out, size_t room)
{
    size_t used = 0;

    out[0] = '\0';
    for (unsigned number = 1; number <= 256; number++) {
        wchar_t name[16], device[512];
        int length;

        swprintf(name, sizeof name / sizeof name[0], L"COM%u", number);
        if (QueryDosDeviceW(name, device, sizeof device / sizeof device[0]) == 0)
            continue;
        length = snprintf(out + used, room - used, "%s%ls", used ? ", " : "", name);
        if (length < 0 || (size_t)length >= room - used)
            return;
        used += (size_t)length;
    }
}

static void explain_open(struct job *job, DWORD error)
{
    char ports[256];

    if (error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND) {
        list_ports(ports, sizeof ports);
        if (ports[0])
            job_failed(job, false, "there is no port of this name; there are %s", ports);
        else
            job_failed(job, false, "there is no port of this name, nor any other");
    } else if (error == ERROR_ACCESS_DENIED || error == ERROR_SHARING_VIOLATION) {
        job_failed_system(job, false, error, "another program is using the port");
    } else {
        job_failed_system(job, false, error, "opening the port failed");
    }
}

/* Raw, 8N1, no flow control. */
static bool set_line(HANDLE port, uint32_t baud)
{
    COMMTIMEOUTS none = {0};
    DCB line = {.DCBlength = sizeof line};

    SetupComm(port, DRIVER_BUFFER, DRIVER_BUFFER);
    if (!GetCommState(port, &line))
        return false;
    line.BaudRate = baud;
    line.ByteSize = 8;
    line.Parity = NOPARITY;
    line.StopBits = ONESTOPBIT;
    line.fBinary = TRUE;
    line.fParity = FALSE;
    line.fOutxCtsFlow = FALSE;
    line.fOutxDsrFlow = FALSE;
    line.fDtrControl = DTR_CONTROL_ENABLE;
    line.fRtsControl = RTS_CONTROL_ENABLE;
    line.fDsrSensitivity = FALSE;
    line.fOutX = FALSE;
    line.fInX = FALSE;
    line.fErrorChar = FALSE;
    line.fNull = FALSE;
    line.fAbortOnError = FALSE;
    return SetCommState(port, &line) && SetCommTimeouts(port, &none);
}

static void com_run(struct job *job)
{
    bool whole = strncmp(job->place, "\\\\", 2) == 0;
    wchar_t path[NAME_SIZE] = L"\\\\.\\";
    size_t used = whole ? 0 : wcslen(path);
    HANDLE handle;

    if (MultiByteToWideChar(CP_UTF8, 0, job->place, -1, path + used, (int)(NAME_SIZE - used)) ==
        0) {
        job_failed(job, true, "this cannot be the name of a port");
        return;
    }
    handle = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                         FILE_FLAG_OVERLAPPED, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        explain_open(job, GetLastError());
        return;
    }
    job->handle = handle;
    if (!set_line(handle, job->baud)) {
        DWORD error = GetLastError();

        job_failed_system(job, error == ERROR_INVALID_PARAMETER, error,
                          "%s cannot be set to %u baud, 8N1", job->place, (unsigned)job->baud);
    }
}

static DWORD com_rest(struct stream *stream)
{
    COMSTAT status;
    DWORD errors;

    if (!ClearCommError(stream->in.handle, &errors, &status))
        return 0;
    if (errors & (CE_OVERRUN | CE_RXOVER | CE_FRAME))
        stream->channel->events->notice(stream->channel->context,
                                        errors & CE_FRAME
                                            ? "the line has framing errors; is the speed right?"
                                            : "the port's driver has lost bytes");
    return status.cbInQue;
}

static const struct stream_calls com_calls = {.read = stream_handle_read,
                                              .write = stream_handle_write,
                                              .close = stream_handle_close,
                                              .rest = com_rest,
                                              .first_size = 1};

static void com_finish(struct channel *channel, struct job *job)
{
    if (!loop_adopt(channel->loop, job->handle)) {
        DWORD error = GetLastError();

        CloseHandle(job->handle);
        channel_failed_system(channel, false, error, "cannot be waited for");
        return;
    }
    stream_open_handle(channel, &com_calls, job->handle, "");
}

static void com_open(struct channel *channel)
{
    static const struct job_work work = {
        .run = com_run, .finish = com_finish, .discard = job_discard_handle};

    job_start(channel, &work);
}

static void com_failed(struct channel *channel, DWORD error)
{
    channel_failed_system(channel, false, error, "the port is gone or does not work");
}

const struct channel_kind channel_com = {.open = com_open, .failed = com_failed};
