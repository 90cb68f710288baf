/* synic.c - message slots, event flags and interrupts.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "synic.h"

#include "host.h"
#include "kd/vmbus.h"
#include "x86.h"

#define APIC_BASE_MSR UINT32_C(0x1B)
#define APIC_X2       UINT64_C(0x400)
#define APIC_COMMAND  0x300u
#define X2_SELF       UINT32_C(0x83F)
#define SELF_ASSERT   UINT32_C(0x00044000) /* to this processor itself, fixed, asserted */
#define STUCK_US      UINT64_C(1000000)

void synic_reset(struct synic *synic)
{
    synic->queued = 0;
    for (unsigned i = 0; i < SYNIC_SINTS; i++)
        synic->sint[i] = (struct synic_sint){.value = KD_HV_SINT_MASKED};
}

/* The SINT's part of a page that an MSR names; NULL: not enabled, or no memory. */
static uint8_t *part_of_page(const struct host *host, uint64_t msr, uint8_t sint)
{
    if (!(host->synic.control & KD_HV_PAGE_ENABLE) || !(msr & KD_HV_PAGE_ENABLE))
        return NULL;
    if (!guest_memory(&host->guest, msr & KD_HV_PAGE_ADDRESS, GUEST_PAGE))
        return NULL;
    return (uint8_t *)(uintptr_t)((msr & KD_HV_PAGE_ADDRESS) + sint * (uint64_t)SYNIC_SLOT);
}

bool synic_listens(const struct synic *synic, uint8_t sint)
{
    return synic->control & KD_HV_PAGE_ENABLE && synic->message_page & KD_HV_PAGE_ENABLE &&
           !(synic->sint[sint].value & KD_HV_SINT_MASKED);
}

static void interrupt_now(struct host *host, uint8_t sint)
{
    uint64_t value = host->synic.sint[sint].value;
    uint8_t vector = (uint8_t)value;

    if (value & (KD_HV_SINT_MASKED | KD_HV_SINT_POLLING))
        return;
    if (value & KD_HV_SINT_AUTO_EOI) {
        host->synic.vectors[vector / 64] |= UINT64_C(1) << vector % 64;
        return;
    }
    /* A real interrupt of its own APIC: the guest has to end it. */
    if (x86_rdmsr(APIC_BASE_MSR) & APIC_X2)
        x86_wrmsr(X2_SELF, vector);
    else
        guest_put32(
            (void *)(uintptr_t)((x86_rdmsr(APIC_BASE_MSR) & KD_HV_PAGE_ADDRESS) + APIC_COMMAND),
            SELF_ASSERT | vector);
}

static bool faulty(const struct host *host, uint8_t sint)
{
    return !vmbus_is_firmware(host, sint);
}

static void interrupt(struct host *host, uint8_t sint)
{
    const struct faults *faults = &host->options.faults;
    struct synic_sint *state = &host->synic.sint[sint];

    if (!faulty(host, sint)) {
        interrupt_now(host, sint);
        return;
    }
    host->synic.interrupts++;
    if (faults->no_interrupt)
        return;
    if (faults->lose_interrupt && host->synic.interrupts % faults->lose_interrupt == 0) {
        log_line(&host->log, LOG_FAULT, "sint %u: interrupt lost", (uint32_t)sint);
        return;
    }
    if (faults->late_interrupt)
        state->interrupt_due = log_now(&host->log) + faults->late_interrupt * UINT64_C(1000);
    else
        interrupt_now(host, sint);
}

static bool more_for(const struct synic *synic, uint32_t after, uint8_t sint)
{
    for (uint32_t i = after + 1; i < synic->queued; i++) {
        if (synic->queue[i].sint == sint)
            return true;
    }
    return false;
}

static void remove_message(struct synic *synic, uint32_t index)
{
    synic->queued--;
    for (uint32_t i = index; i < synic->queued; i++)
        synic->queue[i] = synic->queue[i + 1];
}

/* Puts the message into its slot; false: not now. */
static bool deliver(struct host *host, uint32_t index)
{
    struct synic_message *message = &host->synic.queue[index];
    struct synic_sint *sint = &host->synic.sint[message->sint];
    struct kd_hv_message *slot =
        (struct kd_hv_message *)(void *)part_of_page(host, host->synic.message_page, message->sint);
    const struct host_part parts[2] = {{slot, sizeof *slot}, {message->payload, message->size}};
    volatile uint8_t *flags;

    if (!slot || sint->value & KD_HV_SINT_MASKED || sint->blocked)
        return false;
    flags = slot->flags.b;
    if (guest_get32(slot) != KD_HV_MESSAGE_NONE) {
        *flags |= KD_HV_MESSAGE_PENDING;
        sint->blocked = true;
        sint->blocked_time = 0;
        return false;
    }
    for (uint32_t i = 0; i < message->size; i++)
        ((uint8_t *)(slot + 1))[i] = message->payload[i];
    slot->payload_size = kd_put8((uint8_t)message->size);
    slot->sender = kd_put64(0);
    *flags = more_for(&host->synic, index, message->sint) ? KD_HV_MESSAGE_PENDING : 0;
    x86_fence();
    guest_put32(slot, KD_HV_MESSAGE_VMBUS);
    trace_message(host, KD_VMBUS_TO_GUEST, message->sint, 0, 0, parts);
    return true;
}

/* In order for each SINT: a message that has to wait holds up those behind it. */
static void deliver_due(struct host *host)
{
    struct synic *synic = &host->synic;
    uint64_t now = log_now(&host->log);
    uint32_t waiting = 0;

    for (uint32_t i = 0; i < synic->queued;) {
        uint8_t sint = synic->queue[i].sint;

        if (waiting & 1u << sint || synic->queue[i].due > now || !deliver(host, i)) {
            waiting |= 1u << sint;
            i++;
            continue;
        }
        remove_message(synic, i);
        interrupt(host, sint);
    }
}

void synic_post(struct host *host, uint8_t sint, const void *payload, uint32_t size, uint64_t delay)
{
    struct synic *synic = &host->synic;
    struct synic_message *message;

    if (synic->queued == SYNIC_QUEUE || size > SYNIC_PAYLOAD) {
        log_line(&host->log, LOG_BAD, "sint %u: the guest does not take its messages, %u wait",
                 (uint32_t)sint, synic->queued);
        return;
    }
    message = &synic->queue[synic->queued++];
    *message =
        (struct synic_message){.due = log_now(&host->log) + delay, .size = size, .sint = sint};
    for (uint32_t i = 0; i < size; i++)
        message->payload[i] = ((const uint8_t *)payload)[i];
    deliver_due(host);
}

void synic_signal(struct host *host, uint8_t sint, uint32_t flag)
{
    uint8_t *page = part_of_page(host, host->synic.event_page, sint);
    uint8_t bit = (uint8_t)(1u << flag % 8), old;

    if (!page || flag >= SYNIC_FLAGS || host->synic.sint[sint].value & KD_HV_SINT_MASKED) {
        log_line(&host->log, LOG_WARN, "sint %u: event flag %u is lost, the SINT is not ready",
                 (uint32_t)sint, flag);
        return;
    }
    old = __atomic_fetch_or(page + flag / 8, bit, __ATOMIC_SEQ_CST);
    trace_signal(host, KD_VMBUS_TO_GUEST, sint, 0, flag, flag, 0, 0);
    if (!(old & bit))
        interrupt(host, sint);
}

void synic_forget(struct synic *synic, uint8_t sint)
{
    for (uint32_t i = synic->queued; i-- > 0;) {
        if (synic->queue[i].sint == sint)
            remove_message(synic, i);
    }
}

void synic_unblock(struct host *host)
{
    for (unsigned i = 0; i < SYNIC_SINTS; i++) {
        host->synic.sint[i].blocked = false;
        host->synic.sint[i].complained = false;
    }
    deliver_due(host);
}

/* A slot that was freed while it said MessagePending, and no EOM: the rest would never come. */
static void check_stuck(struct host *host, uint8_t index, uint64_t now)
{
    struct synic_sint *sint = &host->synic.sint[index];
    uint8_t *slot = part_of_page(host, host->synic.message_page, index);

    if (!sint->blocked || sint->complained || !slot || guest_get32(slot) != KD_HV_MESSAGE_NONE)
        return;
    if (sint->blocked_time == 0) {
        sint->blocked_time = now;
    } else if (now - sint->blocked_time > STUCK_US) {
        sint->complained = true;
        log_line(&host->log, LOG_BAD,
                 "sint %u: the slot was freed with MessagePending set and EOM was not written",
                 (uint32_t)index);
    }
}

static void inject(struct host *host)
{
    struct svm_control *control = &host->svm.vmcb->control;

    if (control->virtual_interrupt & SVM_VIRTUAL_IRQ)
        return;
    for (unsigned i = 4; i-- > 0;) {
        uint64_t set = host->synic.vectors[i];

        if (set) {
            unsigned bit = 63u - (unsigned)__builtin_clzll(set);

            host->synic.vectors[i] &= ~(UINT64_C(1) << bit);
            control->virtual_vector = i * 64 + bit;
            control->virtual_interrupt = SVM_VIRTUAL_IRQ | SVM_IRQ_PRIORITY | SVM_IGNORE_TPR;
            return;
        }
    }
}

void synic_poll(struct host *host)
{
    uint64_t now = log_now(&host->log);

    if (host->synic.queued > 0)
        deliver_due(host);
    for (uint8_t i = 0; i < SYNIC_SINTS; i++) {
        struct synic_sint *sint = &host->synic.sint[i];

        if (sint->interrupt_due && sint->interrupt_due <= now) {
            sint->interrupt_due = 0;
            interrupt_now(host, i);
        }
        check_stuck(host, i, now);
    }
    inject(host);
}
