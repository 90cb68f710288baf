/* channel_windows_vmbus.c - the VMBus channel of a Hyper-V machine's debug agent.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The host offers a channel to one virtual machine by vmbuspiper.dll, of which there is no header:
 * names, structure and values below are what is publicly known of it. The agent in the machine
 * opens the channel, which then is a pipe that carries the frames of kd/pipe_link.h. Closing the
 * handle takes the offer back.
 *
 *   OPENING  job: find the machine, load the library, offer. Then a second job: the agent opens
 *   OPEN     frames both ways
 *   CLOSED   nothing is offered
 */
#include "channel_windows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "clock.h"
#include "kd/pipe_link.h"
#include "powershell.h"

#define LIBRARY L"vmbuspiper.dll"

/* {a67dfbae-7897-42ad-9d10-d96156b36958}, {9c7fe450-67fc-41aa-9732-8d4c3ed93db4} */
static const GUID agent_type = {
    0xa67dfbae, 0x7897, 0x42ad, {0x9d, 0x10, 0xd9, 0x61, 0x56, 0xb3, 0x69, 0x58}};
static const GUID agent_instance = {
    0x9c7fe450, 0x67fc, 0x41aa, {0x97, 0x32, 0x8d, 0x4c, 0x3e, 0xd9, 0x3d, 0xb4}};

struct offer {
    GUID machine;
    DWORD interrupt_latency; /* milliseconds */
    GUID type;
    GUID instance;
    DWORD revision;
    USHORT mmio_megabytes;
    USHORT flags;
    BYTE user_defined[112];
};
_Static_assert(sizeof(struct offer) == 0xac, "as the library expects it");

#define OFFER_OVERLAPPED FILE_FLAG_OVERLAPPED
#define OFFER_BYTES      0u

typedef HANDLE(WINAPI *offer_function)(const struct offer *offer, DWORD open_mode, DWORD pipe_mode);
typedef BOOL(WINAPI *connect_function)(HANDLE pipe, OVERLAPPED *overlapped);

/* A function of the library in a struct job. */
union function {
    FARPROC any;
    void *pointer;
    connect_function connect;
    offer_function offer;
};

/* --- jobs */

static HMODULE load_library(struct job *job)
{
    wchar_t path[MAX_PATH];
    HMODULE library;

    if (job->library) {
        /* A whole path: it must not be looked for. */
        if (strlen(job->library) < 3 || job->library[1] != ':' ||
            MultiByteToWideChar(CP_UTF8, 0, job->library, -1, path, MAX_PATH) == 0) {
            job_failed(job, true, "library=: it must be a whole path, C:\\...");
            return NULL;
        }
        library = LoadLibraryExW(path, NULL,
                                 LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
    } else {
        library = LoadLibraryExW(LIBRARY, NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
    }
    if (!library)
        job_failed_system(job, true, GetLastError(),
                          "vmbuspiper.dll cannot be loaded from the system folder; it comes with "
                          "the Windows feature Hyper-V");
    return library;
}

static bool find_function(struct job *job, HMODULE library, const char *name,
                          union function *function)
{
    function->any = GetProcAddress(library, name);
    if (!function->any)
        job_failed(job, true,
                   "vmbuspiper.dll has no function %s: this Windows has another version "
                   "of it",
                   name);
    return function->any != NULL;
}

/* The machine's identifier: given as such, or asked for by its name. */
static bool find_machine(struct job *job, GUID *machine)
{
    char id[POWERSHELL_ID_SIZE];
    unsigned long first;
    unsigned part[10];

    if (!powershell_is_id(job->place, id) &&
        !powershell_find_machine(job->place, id, &job->problem)) {
        job->failed = job->lasting = true;
        return false;
    }
    if (sscanf(id, "%8lx-%4x-%4x-%2x%2x-%2x%2x%2x%2x%2x%2x", &first, &part[0], &part[1], &part[2],
               &part[3], &part[4], &part[5], &part[6], &part[7], &part[8], &part[9]) != 11) {
        job_failed(job, true, "\"%s\" is not the identifier of a virtual machine", id);
        return false;
    }
    machine->Data1 = first;
    machine->Data2 = (unsigned short)part[0];
    machine->Data3 = (unsigned short)part[1];
    for (size_t i = 0; i < 8; i++)
        machine->Data4[i] = (unsigned char)part[2 + i];
    return true;
}

static void explain_offer(struct job *job, DWORD error)
{
    if (error == ERROR_ACCESS_DENIED)
        job_failed_system(job, true, error,
                          "a channel can only be offered by an administrator; run this from an "
                          "elevated prompt (membership in Hyper-V Administrators is not enough)");
    else if (error == ERROR_FILE_NOT_FOUND || error == ERROR_NOT_FOUND ||
             error == ERROR_INVALID_PARAMETER || error == ERROR_PATH_NOT_FOUND)
        job_failed_system(job, false, error,
                          "Hyper-V knows no running virtual machine %s; start it, or see \"kdlens "
                          "vm show\"",
                          job->place);
    else
        job_failed_system(job, false, error, "the channel cannot be offered to %s", job->place);
}

static void offer_run(struct job *job)
{
    struct offer offer = {.type = agent_type, .instance = agent_instance};
    union function function, connect;
    HMODULE library = load_library(job);

    if (!library || !find_function(job, library, "VmbusPipeServerOfferChannel", &function) ||
        !find_function(job, library, "VmbusPipeServerConnectPipe", &connect) ||
        !find_machine(job, &offer.machine))
        return;
    job->handle = function.offer(&offer, OFFER_OVERLAPPED, OFFER_BYTES);
    if (job->handle == INVALID_HANDLE_VALUE || !job->handle) {
        job->handle = NULL;
        explain_offer(job, GetLastError());
        return;
    }
    job->call = connect.pointer;
}

/* Waits by an event: whether this call would report to a port is not known. */
static void wait_run(struct job *job)
{
    union function function = {.pointer = job->call};
    OVERLAPPED overlapped = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
    HANDLE waited[2] = {overlapped.hEvent, job->cancel};
    DWORD error = ERROR_SUCCESS, size;

    if (!overlapped.hEvent) {
        job_failed_system(job, false, GetLastError(), "no event");
        return;
    }
    if (!function.connect(job->handle, &overlapped))
        error = GetLastError();
    if (error == ERROR_IO_PENDING) {
        if (WaitForMultipleObjects(2, waited, FALSE, INFINITE) != WAIT_OBJECT_0)
            CancelIoEx(job->handle, &overlapped);
        error = GetOverlappedResult(job->handle, &overlapped, &size, TRUE) ? ERROR_SUCCESS
                                                                           : GetLastError();
    }
    CloseHandle(overlapped.hEvent);
    if (error != ERROR_SUCCESS && error != ERROR_PIPE_CONNECTED)
        job_failed_system(job, false, error, "waiting for the agent failed");
}

/* --- the channel */

struct vmbus {
    struct kd_pipe_link link;
    struct bytes plain;    /* to be framed when the agent has acknowledged */
    struct bytes received; /* out of frames */
    struct bytes frames;   /* to be written */
    bool failed;           /* out of memory */
    struct channel *channel;
};

static void wait_finish(struct channel *channel, struct job *job)
{
    job_finish_handle(channel, job);
}

static void offer_finish(struct channel *channel, struct job *job)
{
    struct job_work work = {.run = wait_run,
                            .finish = wait_finish,
                            .discard = job_discard_handle,
                            .handle = job->handle,
                            .call = job->call};

    job_start(channel, &work);
    if (channel->state == CHANNEL_OPENING)
        channel->events->notice(channel->context,
                                "offered to the virtual machine; waiting for its agent");
}

static void link_received(void *context, const uint8_t *bytes, size_t size)
{
    struct vmbus *vmbus = context;

    if (!bytes_add(&vmbus->received, bytes, size))
        vmbus->failed = true;
}

static void link_send(void *context, const uint8_t *frame, size_t size)
{
    struct vmbus *vmbus = context;

    if (!bytes_add(&vmbus->frames, frame, size))
        vmbus->failed = true;
}

static void link_news(void *context, enum kd_pipe_news news, uint64_t number)
{
    struct vmbus *vmbus = context;
    unsigned long long count = number;
    char text[128];

    switch (news) {
    case KD_PIPE_ACKNOWLEDGES:
        snprintf(text, sizeof text, "the agent acknowledges what it gets; so does the tap");
        break;
    case KD_PIPE_DAMAGED:
        snprintf(text, sizeof text, "damaged bytes of the agent left out: %llu", count);
        break;
    case KD_PIPE_MISSING:
        snprintf(text, sizeof text, "messages of the agent missing: %llu", count);
        break;
    case KD_PIPE_RESTARTED:
        snprintf(text, sizeof text, "the agent has started again");
        break;
    case KD_PIPE_RESENT:
        snprintf(text, sizeof text, "the agent has not acknowledged a message; sent again (%llu)",
                 count);
        break;
    case KD_PIPE_GIVEN_UP:
        snprintf(text, sizeof text, "the agent never acknowledged %llu bytes; they may be lost",
                 count);
        break;
    case KD_PIPE_SENDS_PLAIN:
        snprintf(text, sizeof text, "the agent sends plain bytes; so does the tap");
        break;
    }
    vmbus->channel->events->notice(vmbus->channel->context, text);
}

static const struct kd_pipe_link_events link_events = {
    .received = link_received, .send = link_send, .news = link_news};

static const struct kd_pipe_link_config link_config = {
    .end = KD_PIPE_HOST, .framing = KD_PIPE_AUTO, .send_max = KD_PIPE_SEND_BYTE_MODE};

static void vmbus_step(struct channel *channel);

/* Frames what may go, and writes it. False: out of memory, or writing has failed. */
static bool pump(struct channel *channel)
{
    struct vmbus *vmbus = channel->own;
    uint64_t now = clock_monotonic();
    size_t taken;
    bool fine = true;

    do {
        taken = kd_pipe_link_take(&vmbus->link, now, vmbus->plain.data + vmbus->plain.start,
                                  bytes_size(&vmbus->plain));
        vmbus->plain.start += taken;
    } while (taken > 0);
    if (bytes_size(&vmbus->frames) > 0)
        fine = stream_write(channel->stream, vmbus->frames.data + vmbus->frames.start,
                            bytes_size(&vmbus->frames));
    vmbus->frames.start = vmbus->frames.end = 0;
    channel_step_at(channel, kd_pipe_link_deadline(&vmbus->link), vmbus_step);
    return fine && !vmbus->failed;
}

/* Pumps where nobody takes the result. */
static void pump_on(struct channel *channel)
{
    size_t before = channel_queued(channel);

    if (channel->broken)
        return;
    if (!pump(channel))
        channel_write_failed(channel);
    if (before > 0 && channel_queued(channel) == 0)
        channel->events->drained(channel->context);
}

static void vmbus_step(struct channel *channel)
{
    struct vmbus *vmbus = channel->own;

    kd_pipe_link_tick(&vmbus->link, clock_monotonic());
    pump_on(channel);
}

static void vmbus_received(struct channel *channel, uint64_t when, const uint8_t *bytes,
                           size_t size)
{
    struct vmbus *vmbus = channel->own;
    struct bytes payload;

    kd_pipe_link_push(&vmbus->link, when, bytes, size);
    payload = vmbus->received;
    vmbus->received = (struct bytes){0};
    pump_on(channel);
    /* The event may close the channel and so free what belongs to it. */
    while (bytes_size(&payload) > 0 && channel->own == vmbus) {
        size_t left = bytes_size(&payload),
               part = left < CHANNEL_READ_SIZE ? left : CHANNEL_READ_SIZE;

        channel->events->received(channel->context, when, payload.data + payload.start, part);
        payload.start += part;
    }
    bytes_clear(&payload);
}

static bool vmbus_write(struct channel *channel, const uint8_t *bytes, size_t size)
{
    struct vmbus *vmbus = channel->own;

    return bytes_add(&vmbus->plain, bytes, size) && pump(channel);
}

static size_t vmbus_queued(const struct channel *channel)
{
    const struct vmbus *vmbus = channel->own;

    return bytes_size(&vmbus->plain);
}

static void vmbus_open(struct channel *channel)
{
    static const struct job_work work = {
        .run = offer_run, .finish = offer_finish, .discard = job_discard_handle};
    struct vmbus *vmbus = calloc(1, sizeof *vmbus);

    if (!vmbus) {
        channel_failed(channel, false, "out of memory");
        return;
    }
    vmbus->channel = channel;
    kd_pipe_link_init(&vmbus->link, &link_config, &link_events, vmbus);
    channel->own = vmbus;
    job_start(channel, &work);
}

static void vmbus_gone(struct channel *channel)
{
    struct vmbus *vmbus = channel->own;

    channel->own = NULL;
    if (!vmbus)
        return;
    bytes_clear(&vmbus->plain);
    bytes_clear(&vmbus->received);
    bytes_clear(&vmbus->frames);
    free(vmbus);
}

static void vmbus_failed(struct channel *channel, DWORD error)
{
    if (error == ERROR_BROKEN_PIPE || error == ERROR_PIPE_NOT_CONNECTED || error == ERROR_NO_DATA ||
        error == ERROR_HANDLE_EOF)
        channel_failed(channel, false,
                       "the agent closed the channel, or its virtual machine stopped");
    else
        channel_failed_system(channel, false, error, "reading from the virtual machine failed");
}

const struct channel_kind channel_vmbus = {.open = vmbus_open,
                                           .gone = vmbus_gone,
                                           .received = vmbus_received,
                                           .write = vmbus_write,
                                           .queued = vmbus_queued,
                                           .piece = kd_pipe_frame_length,
                                           .failed = vmbus_failed};
