/* synic.h - the synthetic interrupt controller of the one virtual processor: MSRs, message slots,
 * event flags, interrupts.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Messages wait in a queue until their slot is free. Nothing reaches a masked SINT: a message
 * waits, an event flag is lost.
 */
#ifndef HVHOST_SYNIC_H
#define HVHOST_SYNIC_H

#include <stdbool.h>
#include <stdint.h>

struct host;

#define SYNIC_SINTS        16u
#define SYNIC_QUEUE        128u
#define SYNIC_PAYLOAD      240u
#define SYNIC_SLOT         256u
#define SYNIC_FLAGS        2048u
#define SYNIC_VECTOR_FIRST 16u

struct synic_message {
    uint64_t due; /* log_now time */
    uint32_t size;
    uint8_t sint;
    uint8_t fault; /* delayed or doubled on purpose */
    uint8_t payload[SYNIC_PAYLOAD];
};

struct synic_sint {
    uint64_t value;
    bool blocked;          /* its slot was full, and has MessagePending */
    uint64_t blocked_time; /* when the host saw the slot freed without an end of message */
    bool complained;
    uint64_t interrupt_due; /* of an interrupt that comes late; 0: none */
};

struct synic {
    uint64_t os_id, hypercall, assist_page;
    uint64_t control, event_page, message_page;
    struct synic_sint sint[SYNIC_SINTS];
    struct synic_message queue[SYNIC_QUEUE];
    uint32_t queued;
    uint64_t vectors[4]; /* to be injected */
    uint32_t interrupts; /* counted, for the faults */
};

void synic_reset(struct synic *synic);

/* A VMBus message to the guest; delay in microseconds. */
void synic_post(struct host *host, uint8_t sint, const void *payload, uint32_t size,
                uint64_t delay);

/* An event flag. */
void synic_signal(struct host *host, uint8_t sint, uint32_t flag);

/* Messages that became due, interrupts that were late, one interrupt into the guest. */
void synic_poll(struct host *host);

/* Messages to this SINT that wait are taken back. */
void synic_forget(struct synic *synic, uint8_t sint);

/* After the guest wrote EOM, or changed an MSR that deliveries depend on. */
void synic_unblock(struct host *host);

/* Could anything be delivered to this SINT? */
bool synic_listens(const struct synic *synic, uint8_t sint);

#endif
