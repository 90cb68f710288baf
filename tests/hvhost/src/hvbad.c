/* hvbad.c - a client that does everything wrong, one thing after the other: hvhost must see it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * For each case a line "case NAME" goes to the log, of the kind CLIENT; test_hvhost.py knows what
 * hvhost has to say about it. The channel is opened anew for each case that spoils a ring.
 */
#include "client.h"
#include "efi_extra.h"
#include "log.h"
#include "x86.h"

#define SINT           5u
#define VECTOR         0x62
#define RING_PAGES     2u
#define PAGES          (1 + 2 * RING_PAGES)
#define SLOT(page)     ((uint8_t *)(uintptr_t)(x86_rdmsr(page) & KD_HV_PAGE_ADDRESS))
#define NO_RAM_PAGE    UINT64_C(0xFEE00) /* the APIC's */
#define OTHER_GPADL    UINT32_C(0xBAD)
#define UNSIGNALLED_US 4500000u
#define FLOOD_US       3000000u

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

struct bad {
    struct client bus;
    EFI_BOOT_SERVICES *services;
};

static void say(const char *kind, const char *text)
{
    static const char head[] = "0.000000 CLIENT ";

    x86_out_string(LOG_PORT, head, sizeof head - 1);
    for (; *kind; kind++)
        x86_out8(LOG_PORT, (uint8_t)*kind);
    for (; *text; text++)
        x86_out8(LOG_PORT, (uint8_t)*text);
    x86_out8(LOG_PORT, '\n');
}

static void EFIAPI interrupted(int64_t vector, uint8_t *context)
{
    (void)vector;
    (void)context;
}

static uint32_t call(const struct bad *bad, uint64_t control, uint64_t input)
{
    uint64_t result;

    __asm__ volatile("callq *%[page]"
                     : "=a"(result), "+c"(control), "+d"(input)
                     : [page] "r"(bad->bus.hypercall)
                     : "r8", "r9", "r10", "r11", "memory", "cc");
    return (uint32_t)result;
}

/* --- hypercalls and registers --- */

static void fast_post(struct bad *bad)
{
    call(bad, KD_HV_CALL_POST_MESSAGE | KD_HV_CALL_FAST, 1);
}

static void unaligned_post(struct bad *bad)
{
    call(bad, KD_HV_CALL_POST_MESSAGE, (uintptr_t)bad->bus.post + 4);
}

static void post_from_nowhere(struct bad *bad)
{
    call(bad, KD_HV_CALL_POST_MESSAGE, UINT64_C(0xFEE00000));
}

static void reserved_control(struct bad *bad)
{
    call(bad, KD_HV_CALL_POST_MESSAGE | UINT64_C(1) << 27, (uintptr_t)bad->bus.post);
}

static void vmcall(struct bad *bad)
{
    uint64_t control = KD_HV_CALL_SIGNAL_EVENT | KD_HV_CALL_FAST, input = bad->bus.event_id, result;

    __asm__ volatile(".byte 0x0F, 0x01, 0xC1"
                     : "=a"(result), "+c"(control), "+d"(input)
                     :
                     : "r8", "r9", "r10", "r11", "memory", "cc");
}

static void own_vmmcall(struct bad *bad)
{
    uint64_t control = KD_HV_CALL_SIGNAL_EVENT | KD_HV_CALL_FAST, input = bad->bus.event_id, result;

    __asm__ volatile(".balign 16\n\tnop\n\t.byte 0x0F, 0x01, 0xD9"
                     : "=a"(result), "+c"(control), "+d"(input)
                     :
                     : "r8", "r9", "r10", "r11", "memory", "cc");
}

static void unknown_connection(struct bad *bad)
{
    struct client other = bad->bus;
    struct kd_vmbus_message request = {.message = kd_put32(KD_VMBUS_REQUEST_OFFERS)};

    other.message_id = 0x777;
    client_post(&other, &request, sizeof request);
}

static void firmware_page(struct bad *bad)
{
    uint64_t old = x86_rdmsr(KD_HV_MSR_SIEFP);

    x86_wrmsr(KD_HV_MSR_SIEFP, (uintptr_t)bad->bus.post | KD_HV_PAGE_ENABLE);
    x86_wrmsr(KD_HV_MSR_SIEFP, old);
}

static void firmware_sint(struct bad *bad)
{
    uint64_t old = x86_rdmsr(KD_HV_MSR_SINT2);

    (void)bad;
    x86_wrmsr(KD_HV_MSR_SINT2, KD_HV_SINT_MASKED);
    x86_wrmsr(KD_HV_MSR_SINT2, old);
}

static void contact(struct bad *bad, uint32_t connection, uint32_t version, uint64_t sint)
{
    struct kd_vmbus_initiate_contact message = {
        .message = kd_put32(KD_VMBUS_INITIATE_CONTACT),
        .version = kd_put32(version),
        .interrupt_page = kd_put64(sint),
    };
    struct client other = bad->bus;

    other.message_id = connection;
    client_post(&other, &message, sizeof message);
}

static void firmware_contact(struct bad *bad)
{
    contact(bad, KD_VMBUS_CONNECTION_MESSAGE, KD_VMBUS_VERSION_WIN10, 0);
}

static void masked_contact(struct bad *bad)
{
    contact(bad, KD_VMBUS_CONNECTION_MULTI, KD_VMBUS_VERSION_5_0, 7);
}

/* --- messages --- */

static void post(struct bad *bad, const void *message, uint32_t size)
{
    client_post(&bad->bus, message, size);
}

static void short_message(struct bad *bad)
{
    struct kd_vmbus_relid message = {.message = kd_put32(KD_VMBUS_CLOSE_CHANNEL)};

    post(bad, &message, 8);
}

static void unknown_message(struct bad *bad)
{
    struct kd_vmbus_relid message = {.message = kd_put32(99)};

    post(bad, &message, sizeof message);
}

static void host_message(struct bad *bad)
{
    struct kd_vmbus_relid message = {.message = kd_put32(KD_VMBUS_RESCIND_OFFER)};

    post(bad, &message, sizeof message);
}

static void second_request(struct bad *bad)
{
    struct kd_vmbus_message message = {.message = kd_put32(KD_VMBUS_REQUEST_OFFERS)};

    post(bad, &message, sizeof message);
}

static void relid_message(struct bad *bad, uint32_t type, uint32_t relid)
{
    struct kd_vmbus_relid message = {.message = kd_put32(type), .relid = kd_put32(relid)};

    post(bad, &message, sizeof message);
}

static void close_unopened(struct bad *bad)
{
    relid_message(bad, KD_VMBUS_CLOSE_CHANNEL, bad->bus.relid + 1);
}

static void release_offered(struct bad *bad)
{
    relid_message(bad, KD_VMBUS_RELID_RELEASED, bad->bus.relid);
}

static void gpadl(struct bad *bad, uint32_t handle, uint32_t bytes, uint64_t page)
{
    uint8_t message[KD_HV_MESSAGE_MAX];
    struct kd_vmbus_gpadl list = {.relid = bad->bus.relid,
                                  .gpadl = handle,
                                  .byte_count = bytes,
                                  .pages = &page,
                                  .page_count = 1};

    post(bad, message, (uint32_t)kd_vmbus_gpadl_message(&list, 0, message));
    client_wait(&bad->bus, KD_VMBUS_GPADL_CREATED, message);
}

static uint64_t own_page(const struct bad *bad)
{
    return (uintptr_t)bad->bus.post / KD_HV_PAGE_SIZE;
}

static void gpadl_zero(struct bad *bad)
{
    gpadl(bad, 0, KD_HV_PAGE_SIZE, own_page(bad));
}

static void gpadl_no_ram(struct bad *bad)
{
    gpadl(bad, OTHER_GPADL, KD_HV_PAGE_SIZE, NO_RAM_PAGE);
}

static void gpadl_bytes(struct bad *bad)
{
    gpadl(bad, OTHER_GPADL, 3 * KD_HV_PAGE_SIZE, own_page(bad));
}

static void gpadl_twice(struct bad *bad)
{
    gpadl(bad, OTHER_GPADL, KD_HV_PAGE_SIZE, own_page(bad));
    gpadl(bad, OTHER_GPADL, KD_HV_PAGE_SIZE, own_page(bad));
}

static void body_alone(struct bad *bad)
{
    struct kd_vmbus_gpadl_body message = {
        .message = kd_put32(KD_VMBUS_GPADL_BODY),
        .number = kd_put32(1),
        .gpadl = kd_put32(OTHER_GPADL + 1),
    };

    post(bad, &message, sizeof message);
}

static void teardown(struct bad *bad, uint32_t handle)
{
    struct kd_vmbus_gpadl_teardown message = {
        .message = kd_put32(KD_VMBUS_GPADL_TEARDOWN),
        .relid = kd_put32(bad->bus.relid),
        .gpadl = kd_put32(handle),
    };

    post(bad, &message, sizeof message);
}

static void teardown_unknown(struct bad *bad)
{
    teardown(bad, OTHER_GPADL + 7);
}

static void teardown_open(struct bad *bad)
{
    teardown(bad, CLIENT_GPADL);
}

static void open_again(struct bad *bad)
{
    uint8_t answer[KD_HV_MESSAGE_MAX];
    struct kd_vmbus_open message = {
        .message = kd_put32(KD_VMBUS_OPEN_CHANNEL),
        .relid = kd_put32(bad->bus.relid),
        .gpadl = kd_put32(CLIENT_GPADL),
        .ring_page_offset = kd_put32(RING_PAGES),
    };

    post(bad, &message, KD_VMBUS_OPEN_SIZE);
    client_wait(&bad->bus, KD_VMBUS_OPEN_RESULT, answer);
}

/* --- signals --- */

static void signal_unknown(struct bad *bad)
{
    call(bad, KD_HV_CALL_SIGNAL_EVENT | KD_HV_CALL_FAST, 0x5FFF);
}

static void signal_flag(struct bad *bad)
{
    call(bad, KD_HV_CALL_SIGNAL_EVENT | KD_HV_CALL_FAST, bad->bus.event_id | UINT64_C(3) << 32);
}

static void signal_unopened(struct bad *bad)
{
    call(bad, KD_HV_CALL_SIGNAL_EVENT | KD_HV_CALL_FAST, bad->bus.event_id + 1);
}

/* --- rings: 40 bytes of a packet that would be good, changed --- */

struct packet {
    struct kd_vmbus_descriptor descriptor;
    struct kd_vmbus_pipe pipe;
    uint8_t payload[8];
    struct kd_vmbus_footer footer;
};

_Static_assert(sizeof(struct packet) == 40, "packet");

static struct packet good_packet(void)
{
    return (struct packet){
        .descriptor = {.type = kd_put16(KD_VMBUS_PACKET_IN_BAND),
                       .offset8 = kd_put16(2),
                       .length8 = kd_put16(4)},
        .pipe = {.type = kd_put32(KD_VMBUS_PIPE_DATA), .size = kd_put32(8)},
    };
}

static void publish(struct bad *bad, const struct packet *packet, uint32_t index, bool tell)
{
    __builtin_memcpy(bad->bus.out.data, packet, sizeof *packet);
    *(volatile uint32_t *)(void *)bad->bus.out.control = index;
    if (tell)
        client_signal(&bad->bus);
}

static void ring_offset(struct bad *bad)
{
    struct packet packet = good_packet();

    packet.descriptor.offset8 = kd_put16(1);
    publish(bad, &packet, sizeof packet, true);
}

static void ring_length(struct bad *bad)
{
    struct packet packet = good_packet();

    packet.descriptor.length8 = kd_put16(5);
    publish(bad, &packet, sizeof packet, true);
}

static void ring_type(struct bad *bad)
{
    struct packet packet = good_packet();

    packet.descriptor.type = kd_put16(2);
    publish(bad, &packet, sizeof packet, true);
}

static void ring_flags(struct bad *bad)
{
    struct packet packet = good_packet();

    packet.descriptor.flags = kd_put16(4);
    publish(bad, &packet, sizeof packet, true);
}

static void ring_footer(struct bad *bad)
{
    struct packet packet = good_packet();

    packet.footer.start = kd_put32(8);
    publish(bad, &packet, sizeof packet, true);
}

static void ring_unaligned(struct bad *bad)
{
    struct packet packet = good_packet();

    publish(bad, &packet, sizeof packet + 4, true);
}

static void ring_outside(struct bad *bad)
{
    struct packet packet = good_packet();

    publish(bad, &packet, 0x10000, true);
}

static void ring_piece(struct bad *bad)
{
    struct packet packet = good_packet();

    publish(bad, &packet, 8, true);
}

static void ring_read_index(struct bad *bad)
{
    struct packet packet = good_packet();

    ((volatile uint32_t *)(void *)bad->bus.out.control)[1] = 16;
    publish(bad, &packet, sizeof packet, true);
}

static void ring_silent(struct bad *bad)
{
    struct packet packet = good_packet();

    publish(bad, &packet, sizeof packet, false);
    bad->services->Stall(UNSIGNALLED_US);
}

/* The test floods the bridge meanwhile. All is read at once, and the host that waits is not told.
 */
static void room_silent(struct bad *bad)
{
    volatile uint32_t *control = (volatile uint32_t *)(void *)bad->bus.in.control;

    bad->services->Stall(FLOOD_US);
    control[1] = control[0];
    bad->services->Stall(UNSIGNALLED_US);
}

static void pipe_size(struct bad *bad)
{
    struct packet packet = good_packet();

    packet.pipe.size = kd_put32(9);
    publish(bad, &packet, sizeof packet, true);
}

static void pipe_type(struct bad *bad)
{
    struct packet packet = good_packet();

    packet.pipe.type = kd_put32(6);
    publish(bad, &packet, sizeof packet, true);
}

static void nothing_wrong(struct bad *bad)
{
    struct packet packet = good_packet();

    publish(bad, &packet, sizeof packet, true);
}

static const struct {
    const char *name;
    void (*commit)(struct bad *bad);
} cases[] = {
    {"nothing_wrong", nothing_wrong},
    {"fast_post", fast_post},
    {"unaligned_post", unaligned_post},
    {"post_from_nowhere", post_from_nowhere},
    {"reserved_control", reserved_control},
    {"vmcall", vmcall},
    {"own_vmmcall", own_vmmcall},
    {"unknown_connection", unknown_connection},
    {"firmware_page", firmware_page},
    {"firmware_sint", firmware_sint},
    {"firmware_contact", firmware_contact},
    {"masked_contact", masked_contact},
    {"short_message", short_message},
    {"unknown_message", unknown_message},
    {"host_message", host_message},
    {"second_request", second_request},
    {"close_unopened", close_unopened},
    {"release_offered", release_offered},
    {"gpadl_zero", gpadl_zero},
    {"gpadl_no_ram", gpadl_no_ram},
    {"gpadl_bytes", gpadl_bytes},
    {"gpadl_twice", gpadl_twice},
    {"body_alone", body_alone},
    {"teardown_unknown", teardown_unknown},
    {"teardown_open", teardown_open},
    {"open_again", open_again},
    {"signal_unknown", signal_unknown},
    {"signal_flag", signal_flag},
    {"signal_unopened", signal_unopened},
    {"ring_offset", ring_offset},
    {"ring_length", ring_length},
    {"ring_type", ring_type},
    {"ring_flags", ring_flags},
    {"ring_footer", ring_footer},
    {"ring_unaligned", ring_unaligned},
    {"ring_outside", ring_outside},
    {"ring_piece", ring_piece},
    {"ring_read_index", ring_read_index},
    {"ring_silent", ring_silent},
    {"room_silent", room_silent},
    {"pipe_size", pipe_size},
    {"pipe_type", pipe_type},
};

static const char *commit_all(struct bad *bad)
{
    const char *failed = client_connect(&bad->bus);

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0] && !failed; i++) {
        failed = client_open(&bad->bus);
        if (failed)
            break;
        say("case ", cases[i].name);
        cases[i].commit(bad);
        bad->services->Stall(1000);
        say("end ", cases[i].name);
        failed = client_close(&bad->bus);
    }
    return failed ? failed : client_unload(&bad->bus);
}

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    static const EFI_GUID cpu_guid = EFI_CPU_ARCH_PROTOCOL_GUID;
    struct bad bad = {.services = system->BootServices};
    EFI_CPU_ARCH_PROTOCOL *cpu;
    void *found = NULL;
    uint64_t memory = UINT32_MAX;
    const char *failed;

    (void)image;
    if (EFI_ERROR(
            bad.services->AllocatePages(AllocateMaxAddress, EfiBootServicesData, PAGES, &memory)) ||
        EFI_ERROR(bad.services->LocateProtocol(&cpu_guid, NULL, &found)))
        return EFI_OUT_OF_RESOURCES;
    cpu = found;
    cpu->RegisterInterruptHandler(cpu, VECTOR, interrupted);
    bad.bus = (struct client){
        .hypercall = SLOT(KD_HV_MSR_HYPERCALL),
        .messages = SLOT(KD_HV_MSR_SIMP),
        .events = SLOT(KD_HV_MSR_SIEFP),
        .post = (uint8_t *)(uintptr_t)memory,
        .rings = (uint8_t *)(uintptr_t)memory + KD_HV_PAGE_SIZE,
        .ring_pages = RING_PAGES,
        .sint = SINT,
        .version = KD_VMBUS_VERSION_5_0,
        .connection = KD_VMBUS_CONNECTION_MULTI,
        .type = kd_vmbus_guids[KD_VMBUS_GUID_KD_PIPE],
    };
    x86_wrmsr(KD_HV_MSR_SINT0 + SINT, VECTOR | KD_HV_SINT_AUTO_EOI);
    failed = commit_all(&bad);
    x86_wrmsr(KD_HV_MSR_SINT0 + SINT, KD_HV_SINT_MASKED);
    say("", failed ? failed : "done");
    return failed ? EFI_ABORTED : EFI_SUCCESS;
}
