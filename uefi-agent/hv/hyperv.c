/* hyperv.c - hypercalls and the SynIC: registers, the pages behind them, one SINT.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "hyperv.h"

#include "bytes.h"
#include "cpu.h"

#define LEAF_FEATURES 1u
#define LEAVES_END    (KD_HV_CPUID_RANGE + 0x10000u)

#define SINT_FIRST 5u /* lower ones are the firmware's, or may be */

/* An open-source system, of no registered kind. */
#define IDENTITY (UINT64_C(1) << 63 | UINT64_C(0x4B44) << 16)

/* Firmware's timers and devices have lower vectors (seen: 20, 40, 41, 68 and up for old ones). */
#define VECTOR_FIRST 0x50u
#define VECTOR_LAST  0x5Fu

struct post_input {
    struct kd_hv_post_message head;
    uint8_t payload[KD_HV_MESSAGE_MAX];
};
_Static_assert(sizeof(struct post_input) == 256, "PostMessage");

bool kda_hyperv_present(void)
{
    return (x64_cpuid(LEAF_FEATURES).c & KD_HV_CPUID_PRESENT) != 0 &&
           x64_cpuid(KD_HV_CPUID_RANGE).a >= KD_HV_CPUID_HINTS &&
           x64_cpuid(KD_HV_CPUID_RANGE).a < LEAVES_END &&
           x64_cpuid(KD_HV_CPUID_INTERFACE).a == KD_HV_INTERFACE;
}

static bool has_rights(void)
{
    struct x64_cpuid rights = x64_cpuid(KD_HV_CPUID_FEATURES);
    uint32_t registers = KD_HV_ACCESS_SYNIC | KD_HV_ACCESS_HYPERCALL,
             calls = KD_HV_POST_MESSAGES | KD_HV_SIGNAL_EVENTS;

    return (rights.a & registers) == registers && (rights.b & calls) == calls;
}

/* --- registers that belong to whoever set them up */

static uint64_t read_msr(uint32_t number)
{
    uint64_t value = 0;

    return x64_safe_read_msr(number, &value) ? value : 0;
}

/* Enables the page behind a register, unless somebody has; *page is the one in use. */
static bool enable_page(uint32_t number, void *ours, uint8_t **page, bool *own)
{
    uint64_t value;

    if (!x64_safe_read_msr(number, &value))
        return false;
    if (!(value & KD_HV_PAGE_ENABLE)) {
        value = (value & ~KD_HV_PAGE_ADDRESS) | (uint64_t)(uintptr_t)ours | KD_HV_PAGE_ENABLE;
        if (!x64_safe_write_msr(number, value))
            return false;
        *own = true;
    }
    *page = (uint8_t *)(uintptr_t)(value & KD_HV_PAGE_ADDRESS);
    return true;
}

static void disable_page(uint32_t number, bool *own)
{
    if (*own)
        x64_safe_write_msr(number, read_msr(number) & ~(KD_HV_PAGE_ADDRESS | KD_HV_PAGE_ENABLE));
    *own = false;
}

static bool identify(struct kda_hyperv *hyperv)
{
    uint64_t identity;

    if (!x64_safe_read_msr(KD_HV_MSR_GUEST_OS_ID, &identity))
        return false;
    if (identity != 0)
        return true;
    hyperv->own_identity = x64_safe_write_msr(KD_HV_MSR_GUEST_OS_ID, IDENTITY);
    return hyperv->own_identity;
}

static enum kda_hyperv_state enable_calls(struct kda_hyperv *hyperv)
{
    const volatile uint8_t *code;
    uint8_t *page = NULL;

    if (!identify(hyperv) ||
        !enable_page(KD_HV_MSR_HYPERCALL, hyperv->memory.code, &page, &hyperv->own_hypercalls))
        return KDA_HYPERV_MSR;
    code = page;
    hyperv->hypercalls = page;
    return code[0] || code[1] || code[2] ? KDA_HYPERV_OK : KDA_HYPERV_NO_CALLS;
}

static enum kda_hyperv_state enable_synic(struct kda_hyperv *hyperv)
{
    uint8_t *pages = hyperv->memory.data;
    uint64_t control;

    if (!enable_page(KD_HV_MSR_SIEFP, pages + KD_HV_PAGE_SIZE, &hyperv->events,
                     &hyperv->own_events) ||
        !enable_page(KD_HV_MSR_SIMP, pages, &hyperv->messages, &hyperv->own_messages) ||
        !x64_safe_read_msr(KD_HV_MSR_SCONTROL, &control))
        return KDA_HYPERV_MSR;
    if (!(control & KD_HV_PAGE_ENABLE)) {
        hyperv->own_control = x64_safe_write_msr(KD_HV_MSR_SCONTROL, control | KD_HV_PAGE_ENABLE);
        return hyperv->own_control ? KDA_HYPERV_OK : KDA_HYPERV_MSR;
    }
    return KDA_HYPERV_OK;
}

/* --- the SINT */

static bool vector_is_used(unsigned vector)
{
    for (unsigned i = 0; i < KD_HV_SINT_COUNT; i++) {
        uint64_t value = read_msr(KD_HV_MSR_SINT0 + i);

        if (!(value & KD_HV_SINT_MASKED) && (value & KD_HV_SINT_VECTOR) == vector)
            return true;
    }
    return false;
}

static enum kda_hyperv_state hook_vector(struct kda_hyperv *hyperv)
{
    for (unsigned vector = VECTOR_FIRST; vector <= VECTOR_LAST; vector++) {
        if (!vector_is_used(vector) && hyperv->gates->hook(vector)) {
            hyperv->vector = vector;
            return KDA_HYPERV_OK;
        }
    }
    return KDA_HYPERV_NO_GATE;
}

static void mask(struct kda_hyperv *hyperv)
{
    if (hyperv->sint_on)
        x64_safe_write_msr(KD_HV_MSR_SINT0 + hyperv->sint, hyperv->sint_before | KD_HV_SINT_MASKED);
    hyperv->sint_on = false;
}

static uint8_t *slot_of(const struct kda_hyperv *hyperv)
{
    return hyperv->messages + hyperv->sint * KD_HV_SLOT_SIZE;
}

/* The host writes the slot while it is empty, we while it is not. */
static volatile uint32_t *slot_type(const struct kda_hyperv *hyperv)
{
    return (volatile uint32_t *)(void *)(slot_of(hyperv) + offsetof(struct kd_hv_message, type));
}

static void release_slot(const struct kda_hyperv *hyperv)
{
    const volatile uint8_t *flags = slot_of(hyperv) + offsetof(struct kd_hv_message, flags);

    *slot_type(hyperv) = KD_HV_MESSAGE_NONE;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (*flags & KD_HV_MESSAGE_PENDING)
        x64_safe_write_msr(KD_HV_MSR_EOM, 0);
}

static uint64_t *event_words(const struct kda_hyperv *hyperv)
{
    return (uint64_t *)(void *)(hyperv->events + hyperv->sint * KD_HV_SLOT_SIZE);
}

/* What is left of whoever had this SINT before. */
static void empty_slot(const struct kda_hyperv *hyperv)
{
    if (*slot_type(hyperv) != KD_HV_MESSAGE_NONE)
        release_slot(hyperv);
    memset(event_words(hyperv), 0, KD_HV_SLOT_SIZE);
}

static bool take_sint(struct kda_hyperv *hyperv, unsigned sint)
{
    uint64_t before, value;

    if (!x64_safe_read_msr(KD_HV_MSR_SINT0 + sint, &before) || !(before & KD_HV_SINT_MASKED))
        return false;
    value =
        (before & ~(KD_HV_SINT_VECTOR | KD_HV_SINT_MASKED | KD_HV_SINT_AUTO_EOI)) | hyperv->vector;
    if (hyperv->auto_eoi)
        value |= KD_HV_SINT_AUTO_EOI;
    hyperv->sint = sint;
    hyperv->sint_before = before;
    empty_slot(hyperv);
    hyperv->sint_on = x64_safe_write_msr(KD_HV_MSR_SINT0 + sint, value);
    return hyperv->sint_on;
}

static bool take_any_sint(struct kda_hyperv *hyperv)
{
    for (unsigned sint = SINT_FIRST; sint < KD_HV_SINT_COUNT; sint++) {
        if (take_sint(hyperv, sint))
            return true;
    }
    return false;
}

enum kda_hyperv_state kda_hyperv_open(struct kda_hyperv *hyperv,
                                      const struct kda_hyperv_memory *memory,
                                      const struct kda_hyperv_gates *gates,
                                      uint64_t (*now)(void *self))
{
    enum kda_hyperv_state state;

    memset(hyperv, 0, sizeof *hyperv);
    hyperv->memory = *memory;
    hyperv->gates = gates;
    hyperv->now = now;
    if (!kda_hyperv_present())
        return KDA_HYPERV_NONE;
    if (!has_rights())
        return KDA_HYPERV_RIGHTS;
    hyperv->auto_eoi = !(x64_cpuid(KD_HV_CPUID_HINTS).a & KD_HV_NO_AUTO_EOI);
    if (x64_cpuid(KD_HV_CPUID_FEATURES).a & KD_HV_ACCESS_VP_INDEX)
        hyperv->processor = (uint32_t)read_msr(KD_HV_MSR_VP_INDEX);
    state = enable_calls(hyperv);
    if (state == KDA_HYPERV_OK)
        state = enable_synic(hyperv);
    if (state == KDA_HYPERV_OK)
        state = hook_vector(hyperv);
    if (state == KDA_HYPERV_OK && !take_any_sint(hyperv))
        state = KDA_HYPERV_NO_SINT;
    if (state != KDA_HYPERV_OK)
        kda_hyperv_close(hyperv);
    return state;
}

/* The control register stays on: clearing it hangs some hosts (iPXE's experience with Windows
 * Server 2016). */
void kda_hyperv_close(struct kda_hyperv *hyperv)
{
    mask(hyperv);
    if (hyperv->vector)
        hyperv->gates->unhook(hyperv->vector);
    hyperv->vector = 0;
    disable_page(KD_HV_MSR_SIEFP, &hyperv->own_events);
    disable_page(KD_HV_MSR_SIMP, &hyperv->own_messages);
    disable_page(KD_HV_MSR_HYPERCALL, &hyperv->own_hypercalls);
    if (hyperv->own_identity)
        x64_safe_write_msr(KD_HV_MSR_GUEST_OS_ID, 0);
    hyperv->own_identity = false;
}

static bool is_at(uint32_t number, const void *page)
{
    uint64_t value = read_msr(number);

    return value & KD_HV_PAGE_ENABLE && (value & KD_HV_PAGE_ADDRESS) == (uint64_t)(uintptr_t)page;
}

bool kda_hyperv_usable(const struct kda_hyperv *hyperv)
{
    return is_at(KD_HV_MSR_HYPERCALL, hyperv->hypercalls) &&
           is_at(KD_HV_MSR_SIMP, hyperv->messages) && is_at(KD_HV_MSR_SIEFP, hyperv->events);
}

void kda_hyperv_end_interrupt(const struct kda_hyperv *hyperv)
{
    if (!hyperv->auto_eoi)
        x64_safe_write_msr(KD_HV_MSR_EOI, 0);
}

const char *kda_hyperv_text(enum kda_hyperv_state state)
{
    switch (state) {
    case KDA_HYPERV_OK:
        return "works";
    case KDA_HYPERV_NONE:
        return "there is no Hyper-V (CPUID has no Hv#1 interface)";
    case KDA_HYPERV_RIGHTS:
        return "Hyper-V does not let this machine post messages and signal events";
    case KDA_HYPERV_MSR:
        return "a register of Hyper-V's SynIC refuses to be read or written";
    case KDA_HYPERV_NO_CALLS:
        return "Hyper-V leaves the hypercall page empty";
    case KDA_HYPERV_NO_SINT:
        return "all interrupt sources (SINT 5 to 15) are in use";
    case KDA_HYPERV_NO_GATE:
        return "no interrupt vector from 50 to 5f can be had";
    }
    return "?";
}

/* --- the ports of vmbus.h */

static uint16_t post(void *self, uint32_t connection, const void *message, size_t size)
{
    struct kda_hyperv *hyperv = self;
    struct post_input *input = (void *)((uint8_t *)hyperv->memory.data + 2 * KD_HV_PAGE_SIZE);

    memset(input, 0, sizeof *input);
    input->head.connection_id = kd_put32(connection);
    input->head.type = kd_put32(KD_HV_MESSAGE_VMBUS);
    input->head.payload_size = kd_put32((uint32_t)size);
    memcpy(input->payload, message, size);
    return (uint16_t)x64_hypercall(hyperv->hypercalls, KD_HV_CALL_POST_MESSAGE,
                                   (uint64_t)(uintptr_t)input, 0);
}

static uint16_t signal(void *self, uint32_t connection)
{
    const struct kda_hyperv *hyperv = self;

    return (uint16_t)x64_hypercall(hyperv->hypercalls, KD_HV_CALL_SIGNAL_EVENT | KD_HV_CALL_FAST,
                                   connection, 0);
}

static size_t receive(void *self, uint8_t *out)
{
    struct kda_hyperv *hyperv = self;
    const uint8_t *slot = slot_of(hyperv);
    uint32_t type = *slot_type(hyperv);
    size_t size = 0;

    if (type == KD_HV_MESSAGE_NONE)
        return 0;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (type == KD_HV_MESSAGE_VMBUS) {
        size = *(const volatile uint8_t *)(slot + offsetof(struct kd_hv_message, payload_size));
        size = kda_min(size, KD_HV_MESSAGE_MAX);
        memcpy(out, slot + sizeof(struct kd_hv_message), size);
    }
    release_slot(hyperv);
    return size;
}

static bool take_event(void *self, uint32_t relid)
{
    uint64_t *word = event_words(self) + relid / 64;
    uint64_t bit = UINT64_C(1) << relid % 64;

    if (relid >= KD_HV_EVENT_FLAGS || !(*(volatile uint64_t *)word & bit))
        return false;
    return (__atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST) & bit) != 0;
}

static bool use_legacy_sint(void *self)
{
    struct kda_hyperv *hyperv = self;

    if (hyperv->sint_on && hyperv->sint == KD_VMBUS_SINT)
        return true;
    if (!hyperv->own_messages)
        return false;
    mask(hyperv);
    return take_sint(hyperv, KD_VMBUS_SINT);
}

static bool use_own_sint(void *self)
{
    struct kda_hyperv *hyperv = self;

    if (hyperv->sint_on && hyperv->sint != KD_VMBUS_SINT)
        return true;
    mask(hyperv);
    return take_any_sint(hyperv);
}

static unsigned sint_of(void *self)
{
    return ((const struct kda_hyperv *)self)->sint;
}

static uint32_t processor_of(void *self)
{
    return ((const struct kda_hyperv *)self)->processor;
}

static uint64_t now_of(void *self)
{
    return ((const struct kda_hyperv *)self)->now(NULL);
}

static void relax(void *self)
{
    (void)self;
    x64_pause();
}

const struct kda_vmbus_ports kda_hyperv_ports = {.post = post,
                                                 .signal = signal,
                                                 .receive = receive,
                                                 .take_event = take_event,
                                                 .use_legacy_sint = use_legacy_sint,
                                                 .use_own_sint = use_own_sint,
                                                 .sint = sint_of,
                                                 .processor = processor_of,
                                                 .now = now_of,
                                                 .relax = relax};
