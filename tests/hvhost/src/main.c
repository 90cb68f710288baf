/* main.c - EfiMain: moves out of the firmware's reach, makes the firmware a guest, starts the
 * client.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "efi_extra.h"
#include "exits.h"
#include "firmware_client.h"
#include "host.h"
#include "relocate.h"
#include "selftest.h"
#include "start_image.h"

#define MAP_SIZE       32768u
#define OPTIONS_SIZE   1024u
#define COMMAND_SIZE   512u
#define DEFAULT_LINGER 200u
#define STALL_US       10000u

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

/* What this program is while it is the firmware's guest. */
struct run {
    struct host *host;
    EFI_HANDLE image;
    EFI_SYSTEM_TABLE *system;
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    struct firmware_client firmware;
    char options[OPTIONS_SIZE];
    uint8_t file[COMMAND_SIZE];
    CHAR16 command[COMMAND_SIZE + 1];
    uint8_t map[MAP_SIZE];
};

static size_t pages_of(uint64_t size)
{
    return (size_t)((size + GUEST_PAGE - 1) / GUEST_PAGE);
}

/* The end of RAM below 4 GB. */
static uint64_t find_ram_end(struct run *run)
{
    UINTN size = sizeof run->map, key, step = 0;
    uint32_t version;
    uint64_t end = 0;

    if (EFI_ERROR(run->system->BootServices->GetMemoryMap(&size, run->map, &key, &step, &version)))
        return 0;
    for (UINTN at = 0; step && at + step <= size; at += step) {
        const EFI_MEMORY_DESCRIPTOR *entry = (const void *)(run->map + at);
        uint64_t last = entry->PhysicalStart + entry->NumberOfPages * GUEST_PAGE;
        bool ram = (entry->Type >= EfiLoaderCode && entry->Type <= EFI_CONVENTIONAL_MEMORY) ||
                   entry->Type == EFI_ACPI_RECLAIM_MEMORY || entry->Type == EFI_ACPI_MEMORY_NVS;

        if (ram && last <= UINT32_MAX && last > end)
            end = last;
    }
    return end;
}

/* \cmdline.txt as the client's load options; their size in bytes, 0: there is none. */
static size_t read_command(struct run *run)
{
    static const EFI_GUID guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
    EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *volume;
    EFI_FILE_PROTOCOL *root, *file;
    UINTN size = sizeof run->file;
    void *found = NULL;
    size_t count = 0;

    if (EFI_ERROR(
            run->system->BootServices->HandleProtocol(run->loaded->DeviceHandle, &guid, &found)))
        return 0;
    volume = found;
    if (EFI_ERROR(volume->OpenVolume(volume, &root)))
        return 0;
    if (!EFI_ERROR(root->Open(root, &file, u"\\cmdline.txt", EFI_FILE_MODE_READ, 0))) {
        if (EFI_ERROR(file->Read(file, &size, run->file)))
            size = 0;
        file->Close(file);
        while (count < size && run->file[count] >= ' ') {
            run->command[count] = run->file[count];
            count++;
        }
        run->command[count] = 0;
    }
    root->Close(root);
    return count ? (count + 1) * sizeof(CHAR16) : 0;
}

static void power_off(struct run *run)
{
    run->system->RuntimeServices->ResetSystem(EfiResetShutdown, EFI_SUCCESS, 0, NULL);
}

static void start_client(struct run *run)
{
    struct host *host = run->host;
    EFI_BOOT_SERVICES *services = run->system->BootServices;
    size_t size = read_command(run);
    EFI_STATUS status;

    log_line(&host->log, LOG_INFO, "starting \\client.efi");
    status = kda_start_image(services, run->image, run->loaded->DeviceHandle, u"\\client.efi",
                             run->command, size);
    log_line(&host->log, LOG_INFO, "the client returned %X", status);
    for (uint32_t i = 0; i < host->options.linger * 1000; i += STALL_US)
        services->Stall(STALL_US);
    if (host->firmware_owns)
        firmware_report(&run->firmware, "after the client");
}

/* From here on as the guest. */
static EFI_STATUS live(struct run *run)
{
    struct host *host = run->host;
    EFI_BOOT_SERVICES *services = run->system->BootServices;
    const char *failed;

    log_line(&host->log, LOG_INFO, "the firmware is a guest now");
    services->SetWatchdogTimer(0, 0, 0, NULL);
    if (host->options.selftest) {
        bool good = selftest_run(host, services);

        log_line(&host->log, good ? LOG_PASS : LOG_FAIL, "self test");
        log_tally(&host->log, "end");
        power_off(run);
    }
    if (!host->options.no_firmware) {
        failed = firmware_start(&run->firmware, host, services);
        if (failed)
            log_line(&host->log, LOG_FAIL, "the firmware's client: %s", failed);
    }
    if (!host->options.no_client)
        start_client(run);
    if (host->options.no_client || host->options.stay)
        return EFI_SUCCESS;
    power_off(run);
    return EFI_SUCCESS;
}

/* In the copy; still the machine itself. */
static EFI_STATUS become_host(struct run *run, uint8_t *svm_memory)
{
    struct host *host = run->host;
    const char *missing;
    bool good;

    log_start(&host->log);
    missing = svm_missing();
    if (missing) {
        log_line(&host->log, LOG_SKIP, "%s", missing);
        power_off(run);
        return EFI_UNSUPPORTED;
    }
    host->options.linger = DEFAULT_LINGER;
    options_read(run->options, sizeof run->options);
    log_line(&host->log, LOG_INFO, "hvhost, options: %s", run->options);
    good = options_parse(&host->options, &host->log, run->options);
    host->guest.ram_end = find_ram_end(run);
    synic_reset(&host->synic);
    host->vmbus.next_relid = VMBUS_RELID_FIRST;
    trace_start(&host->trace);
    bridge_start(host);
    control_start(host);
    if (!good || !host->guest.ram_end) {
        log_tally(&host->log, "end");
        power_off(run);
        return EFI_INVALID_PARAMETER;
    }
    svm_prepare(&host->svm, svm_memory);
    svm_intercept_port(&host->svm, EXITS_PM_CONTROL, 2);
    svm_intercept_port(&host->svm, EXITS_PM_TIMER, 4);
    svm_intercept_port(&host->svm, EXITS_RESET, 1);
    svm_intercept_port(&host->svm, EXITS_DEBUG_EXIT, 1);
    svm_enter(&host->svm, host);
    return live(run);
}

/* One block: this program's copy, the host's state, the pages of SVM. */
EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    static const EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_STATUS (*go)(struct run *, uint8_t *);
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    size_t image_pages, host_pages = pages_of(sizeof(struct host));
    size_t run_pages = pages_of(sizeof(struct run)), pages;
    uint64_t memory = UINT32_MAX, delta;
    struct run *run;
    void *found = NULL;

    if (EFI_ERROR(system->BootServices->HandleProtocol(image, &guid, &found)))
        return EFI_UNSUPPORTED;
    loaded = found;
    image_pages = pages_of(loaded->ImageSize);
    pages = image_pages + host_pages + run_pages + SVM_PAGES;
    if (EFI_ERROR(system->BootServices->AllocatePages(AllocateMaxAddress, EfiReservedMemoryType,
                                                      pages, &memory)))
        return EFI_OUT_OF_RESOURCES;
    __builtin_memset((void *)(uintptr_t)memory, 0, pages * GUEST_PAGE);
    delta = relocate_copy((uint8_t *)(uintptr_t)memory, loaded->ImageBase, loaded->ImageSize);
    if (!delta)
        return EFI_LOAD_ERROR;
    run = (void *)(uintptr_t)(memory + (image_pages + host_pages) * GUEST_PAGE);
    run->host = (void *)(uintptr_t)(memory + image_pages * GUEST_PAGE);
    run->host->guest.host_begin = memory;
    run->host->guest.host_end = memory + pages * GUEST_PAGE;
    run->image = image;
    run->system = system;
    run->loaded = loaded;
    go = (EFI_STATUS(*)(struct run *, uint8_t *))((uintptr_t)become_host + delta);
    return go(run, (uint8_t *)(uintptr_t)(memory + (pages - SVM_PAGES) * GUEST_PAGE));
}
