/* firmware_client.c - connects as Gen-2 firmware does, then sends and checks, sends and checks.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Sources: mu_msvm for what that firmware sets up (SINT 2, vector 0x41, a 10 ms timer, GUEST_OS_ID,
 * everything given back at ExitBootServices).
 */
#include "firmware_client.h"

#include "devices.h"
#include "host.h"
#include "kd/vmbus.h"
#include "x86.h"

#define SINT           KD_VMBUS_SINT
#define VECTOR         0x41
#define VERSION        KD_VMBUS_VERSION_WIN10
#define RING_PAGES     2u
#define TICK           UINT64_C(100000) /* 10 ms in units of 100 ns */
#define PATIENCE_TICKS 1000u
#define REPORT_ROUNDS  250u
#define READ_AT_ONCE   8u

enum page { PAGE_HYPERCALL, PAGE_MESSAGES, PAGE_EVENTS, PAGE_POST, PAGE_RINGS };

static uint8_t *page(const struct firmware_client *client, unsigned index)
{
    return client->pages + (size_t)index * GUEST_PAGE;
}

static void set_up_registers(const struct firmware_client *client)
{
    x86_wrmsr(KD_HV_MSR_GUEST_OS_ID, KD_HV_OS_ID_FIRMWARE);
    x86_wrmsr(KD_HV_MSR_HYPERCALL, (uintptr_t)page(client, PAGE_HYPERCALL) | KD_HV_PAGE_ENABLE);
    x86_wrmsr(KD_HV_MSR_SIEFP, (uintptr_t)page(client, PAGE_EVENTS) | KD_HV_PAGE_ENABLE);
    x86_wrmsr(KD_HV_MSR_SIMP, (uintptr_t)page(client, PAGE_MESSAGES) | KD_HV_PAGE_ENABLE);
    x86_wrmsr(KD_HV_MSR_SINT0 + SINT, VECTOR | KD_HV_SINT_AUTO_EOI);
    x86_wrmsr(KD_HV_MSR_SCONTROL, KD_HV_PAGE_ENABLE);
}

/* --- the exchange --- */

static uint32_t packet_size(uint32_t sequence)
{
    return 4 + sequence * 37 % (FIRMWARE_PACKET_MAX - 4);
}

static void make_packet(uint32_t sequence, uint8_t out[FIRMWARE_PACKET_MAX])
{
    uint32_t noise = sequence * UINT32_C(2654435761);

    for (uint32_t i = 0; i < packet_size(sequence); i++) {
        noise = noise * UINT32_C(1664525) + UINT32_C(1013904223);
        out[i] = i < 4 ? (uint8_t)(sequence >> 8 * i) : (uint8_t)(noise >> 24);
    }
}

static void mistake(struct firmware_client *client, const char *what)
{
    client->errors++;
    log_line(&client->host->log, LOG_BAD, "the firmware's client: %s, round %u", what,
             client->rounds);
}

static void send(struct firmware_client *client)
{
    uint8_t bytes[FIRMWARE_PACKET_MAX];

    client->sequence++;
    make_packet(client->sequence, bytes);
    client->waiting = client_send(&client->bus, bytes, packet_size(client->sequence));
    client->waited = 0;
    if (!client->waiting)
        mistake(client, "its ring takes no packet");
}

static void check(struct firmware_client *client, const struct kd_ring_view *view)
{
    uint8_t bytes[FIRMWARE_PACKET_MAX], expected[FIRMWARE_PACKET_MAX];
    uint32_t size = packet_size(client->sequence);
    struct kd_vmbus_pipe header;

    make_packet(client->sequence, expected);
    kd_ring_copy(&client->bus.in, view, view->payload, &header, sizeof header);
    if (!client->waiting || kd_get32(header.size) != size ||
        kd_ring_copy(&client->bus.in, view, view->payload + sizeof header, bytes, size) != size ||
        __builtin_memcmp(bytes, expected, size))
        mistake(client, "something else came back than was sent");
    else
        client->rounds++;
    client->waiting = false;
    if (client->rounds % REPORT_ROUNDS == 0)
        firmware_report(client, "lives");
}

static void receive(struct firmware_client *client)
{
    struct kd_ring_view view;

    for (unsigned i = 0; i < READ_AT_ONCE; i++) {
        enum kd_ring_status status = kd_ring_peek(&client->bus.in, &view);

        if (status == KD_RING_EMPTY)
            break;
        if (status != KD_RING_OK) {
            mistake(client, "its ring is broken");
            break;
        }
        check(client, &view);
        kd_ring_consume(&client->bus.in, &view);
    }
    if (kd_ring_publish(&client->bus.in))
        client_signal(&client->bus);
}

static void EFIAPI tick(EFI_EVENT event, void *context)
{
    struct firmware_client *client = context;
    uint8_t message[KD_HV_MESSAGE_MAX];
    uint8_t *flags = page(client, PAGE_EVENTS) + SINT * KD_HV_SLOT_SIZE;

    (void)event;
    if (client_take(&client->bus, message))
        mistake(client, "a message that it did not ask for");
    __atomic_fetch_and(flags + client->bus.relid / 8, (uint8_t) ~(1u << client->bus.relid % 8),
                       __ATOMIC_SEQ_CST);
    receive(client);
    if (!client->waiting)
        send(client);
    else if (++client->waited == PATIENCE_TICKS)
        mistake(client, "no echo for 10 seconds");
}

/* Interrupts only wake it; the timer does the work. The vector is all the handler is told. */
static void EFIAPI interrupted(int64_t vector, uint8_t *context)
{
    (void)vector;
    (void)context;
}

/* ExitBootServices: the operating system finds nothing of this client's. */
static void EFIAPI leave(EFI_EVENT event, void *context)
{
    struct firmware_client *client = context;
    const char *failed;

    (void)event;
    firmware_report(client, "leaves");
    client->services->SetTimer(client->timer, TimerCancel, 0);
    failed = client_close(&client->bus);
    if (!failed)
        failed = client_unload(&client->bus);
    if (failed)
        mistake(client, failed);
    client->host->firmware_owns = false;
    x86_wrmsr(KD_HV_MSR_SINT0 + SINT, KD_HV_SINT_MASKED);
    x86_wrmsr(KD_HV_MSR_SIMP, 0);
    x86_wrmsr(KD_HV_MSR_SIEFP, 0);
    x86_wrmsr(KD_HV_MSR_HYPERCALL, 0);
    x86_wrmsr(KD_HV_MSR_GUEST_OS_ID, 0);
}

const char *firmware_start(struct firmware_client *client, struct host *host,
                           EFI_BOOT_SERVICES *services)
{
    static const EFI_GUID cpu_guid = EFI_CPU_ARCH_PROTOCOL_GUID;
    EFI_CPU_ARCH_PROTOCOL *cpu;
    const char *failed;
    void *found = NULL;
    uint64_t memory = UINT32_MAX;

    *client = (struct firmware_client){.host = host, .services = services};
    if (EFI_ERROR(services->AllocatePages(AllocateMaxAddress, EfiBootServicesData, FIRMWARE_PAGES,
                                          &memory)))
        return "no memory";
    client->pages = (uint8_t *)(uintptr_t)memory;
    __builtin_memset(client->pages, 0, FIRMWARE_PAGES * GUEST_PAGE);
    if (EFI_ERROR(services->LocateProtocol(&cpu_guid, NULL, &found)))
        return "no CPU protocol";
    cpu = found;
    if (EFI_ERROR(cpu->RegisterInterruptHandler(cpu, VECTOR, interrupted)))
        return "the vector is taken";
    client->bus = (struct client){
        .hypercall = page(client, PAGE_HYPERCALL),
        .messages = page(client, PAGE_MESSAGES),
        .events = page(client, PAGE_EVENTS),
        .post = page(client, PAGE_POST),
        .rings = page(client, PAGE_RINGS),
        .ring_pages = RING_PAGES,
        .sint = SINT,
        .version = VERSION,
        .connection = KD_VMBUS_CONNECTION_MESSAGE,
        .type = device_firmware.type,
    };
    set_up_registers(client);
    failed = client_connect(&client->bus);
    if (!failed)
        failed = client_open(&client->bus);
    if (failed)
        return failed;
    if (EFI_ERROR(services->CreateEvent(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_NOTIFY, tick, client,
                                        &client->timer)) ||
        EFI_ERROR(services->CreateEvent(EVT_SIGNAL_EXIT_BOOT_SERVICES, TPL_NOTIFY, leave, client,
                                        &client->leaving)) ||
        EFI_ERROR(services->SetTimer(client->timer, TimerPeriodic, TICK)))
        return "no timer";
    host->firmware_owns = true;
    firmware_report(client, "connected");
    return NULL;
}

void firmware_report(const struct firmware_client *client, const char *when)
{
    log_line(&client->host->log, LOG_FW, "%s: %u rounds, %u errors", when, client->rounds,
             client->errors);
}
