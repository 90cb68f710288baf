/* hvecho.c - a client to try hvhost with: opens the debugger's pipe beside the firmware and sends
 * back what comes in.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Load options: "VERSION" in hexadecimal (50000 when there are none). It ends when a packet "quit"
 * comes in, or after some failures, each on a connection of its own. What it has to say goes to the
 * log, as lines of the kind CLIENT.
 */
#include "client.h"
#include "efi_extra.h"
#include "log.h"
#include "x86.h"

#define SINT       5u
#define VECTOR     0x62
#define RING_PAGES 3u
#define PAGES      (1 + 2 * RING_PAGES)
#define PACKET_MAX 8192u
#define ATTEMPTS   8u
#define SLOT(page) ((uint8_t *)(uintptr_t)(x86_rdmsr(page) & KD_HV_PAGE_ADDRESS))

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

struct echo {
    struct client bus;
    EFI_BOOT_SERVICES *services;
    bool quit;
    bool broken; /* what came in makes no sense */
    uint8_t bytes[PACKET_MAX];
};

static void say(const char *text)
{
    static const char head[] = "0.000000 CLIENT ";

    for (const char *at = head; *at; at++)
        x86_out8(LOG_PORT, (uint8_t)*at);
    for (; *text; text++)
        x86_out8(LOG_PORT, (uint8_t)*text);
    x86_out8(LOG_PORT, '\n');
}

static void EFIAPI interrupted(int64_t vector, uint8_t *context)
{
    (void)vector;
    (void)context;
}

/* How often a packet goes back: to measure one direction alone. */
static uint32_t times(const uint8_t *bytes, uint32_t size)
{
    uint32_t count = 1;

    if (size > 8 && !__builtin_memcmp(bytes, "send", 4))
        __builtin_memcpy(&count, bytes + 4, sizeof count);
    return count;
}

/* One packet in, the same out; false: there is none. */
static bool echo_one(struct echo *echo)
{
    struct kd_vmbus_pipe header;
    struct kd_ring_view view;
    uint32_t size;
    enum kd_ring_status status = kd_ring_peek(&echo->bus.in, &view);

    if (status != KD_RING_OK) {
        if (status != KD_RING_EMPTY)
            say("the ring is broken");
        echo->broken = status != KD_RING_EMPTY;
        return false;
    }
    kd_ring_copy(&echo->bus.in, &view, view.payload, &header, sizeof header);
    size = kd_get32(header.size);
    if (size > sizeof echo->bytes || size > view.length - view.payload - sizeof header) {
        say("a pipe packet of an impossible size");
        echo->broken = true;
        return false;
    }
    kd_ring_copy(&echo->bus.in, &view, view.payload + sizeof header, echo->bytes, size);
    kd_ring_consume(&echo->bus.in, &view);
    if (kd_ring_publish(&echo->bus.in))
        client_signal(&echo->bus);
    echo->quit = size == 4 && !__builtin_memcmp(echo->bytes, "quit", 4);
    for (uint32_t i = times(echo->bytes, size); i > 0; i--) {
        while (!echo->bus.rescinded && !client_send(&echo->bus, echo->bytes, size))
            x86_pause();
    }
    return true;
}

/* Until it is told to quit, or the channel is taken away. */
static void serve(struct echo *echo)
{
    uint8_t message[KD_HV_MESSAGE_MAX];

    while (!echo->quit && !echo->broken && !echo->bus.rescinded) {
        client_take(&echo->bus, message);
        if (!echo_one(echo))
            echo->services->Stall(200);
    }
}

static const char *wait_offer(struct echo *echo)
{
    uint8_t message[KD_HV_MESSAGE_MAX];

    client_release(&echo->bus);
    return client_wait(&echo->bus, KD_VMBUS_OFFER_CHANNEL, message) ? NULL : "no new offer";
}

/* Open and serve, and again when the channel was taken away and has come back. */
static const char *live(struct echo *echo)
{
    const char *failed = NULL;

    echo->broken = false;
    while (!echo->quit && !echo->broken && !failed) {
        bool rescinded;

        failed = client_open(&echo->bus);
        if (failed)
            break;
        say("open");
        serve(echo);
        rescinded = echo->bus.rescinded;
        say(rescinded ? "rescinded" : "closing");
        failed = client_close(&echo->bus);
        if (rescinded && !failed)
            failed = wait_offer(echo);
    }
    return failed;
}

/* A connection anew after each failure, some times. */
static const char *try(struct echo *echo)
{
    const char *failed = NULL;

    for (unsigned i = 0; i < ATTEMPTS && !echo->quit; i++) {
        const char *unload;

        echo->bus.relid = 0;
        failed = client_connect(&echo->bus);
        if (!failed)
            failed = live(echo);
        if (failed)
            say(failed);
        if (!echo->bus.connected)
            continue;
        unload = client_unload(&echo->bus);
        if (unload)
            failed = unload;
    }
    return failed;
}

static uint32_t wanted_version(const EFI_LOADED_IMAGE_PROTOCOL *loaded)
{
    const CHAR16 *text = loaded->LoadOptions;
    uint32_t version = 0;

    for (uint32_t i = 0; i < loaded->LoadOptionsSize / sizeof *text && text[i]; i++) {
        if (text[i] >= '0' && text[i] <= '9')
            version = version << 4 | (uint32_t)(text[i] - '0');
    }
    return version ? version : KD_VMBUS_VERSION_5_0;
}

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    static const EFI_GUID loaded_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    static const EFI_GUID cpu_guid = EFI_CPU_ARCH_PROTOCOL_GUID;
    static struct echo echo;
    EFI_CPU_ARCH_PROTOCOL *cpu;
    void *found = NULL, *loaded = NULL;
    uint64_t memory = UINT32_MAX;
    const char *failed;

    echo.services = system->BootServices;
    if (EFI_ERROR(echo.services->AllocatePages(AllocateMaxAddress, EfiBootServicesData, PAGES,
                                               &memory)) ||
        EFI_ERROR(echo.services->HandleProtocol(image, &loaded_guid, &loaded)) ||
        EFI_ERROR(echo.services->LocateProtocol(&cpu_guid, NULL, &found)))
        return EFI_OUT_OF_RESOURCES;
    cpu = found;
    cpu->RegisterInterruptHandler(cpu, VECTOR, interrupted);
    echo.bus = (struct client){
        .hypercall = SLOT(KD_HV_MSR_HYPERCALL),
        .messages = SLOT(KD_HV_MSR_SIMP),
        .events = SLOT(KD_HV_MSR_SIEFP),
        .post = (uint8_t *)(uintptr_t)memory,
        .rings = (uint8_t *)(uintptr_t)memory + KD_HV_PAGE_SIZE,
        .ring_pages = RING_PAGES,
        .sint = SINT,
        .version = wanted_version(loaded),
        .connection = KD_VMBUS_CONNECTION_MULTI,
        .type = kd_vmbus_guids[KD_VMBUS_GUID_KD_PIPE],
    };
    x86_wrmsr(KD_HV_MSR_SINT0 + SINT, VECTOR | KD_HV_SINT_AUTO_EOI);
    failed = try(&echo);
    x86_wrmsr(KD_HV_MSR_SINT0 + SINT, KD_HV_SINT_MASKED);
    cpu->RegisterInterruptHandler(cpu, VECTOR, NULL);
    say(failed ? "gave up" : "done");
    return failed ? EFI_ABORTED : EFI_SUCCESS;
}
