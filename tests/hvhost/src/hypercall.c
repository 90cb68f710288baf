/* hypercall.c - PostMessage and SignalEvent; what a call must look like.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "exits.h"
#include "host.h"
#include "kd/vmbus.h"

#define RESERVED_BITS UINT64_C(0xF000F000F8000000)
#define VARIABLE_BITS UINT64_C(0x07FE0000)
#define REP_BITS      UINT64_C(0x0FFF0FFF00000000)
#define ALIGNMENT     8u

/* The input block; NULL: *status says why not. */
static const void *input(struct host *host, uint64_t address, uint32_t size, uint32_t *status)
{
    const void *block = guest_memory(&host->guest, address, size);

    *status = KD_HV_STATUS_SUCCESS;
    if (address % ALIGNMENT || address % GUEST_PAGE + size > GUEST_PAGE) {
        log_line(&host->log, LOG_BAD, "hypercall: input at %X is not aligned, or crosses a page",
                 address);
        *status = KD_HV_STATUS_INVALID_ALIGNMENT;
        return NULL;
    }
    if (!block) {
        log_line(&host->log, LOG_BAD, "hypercall: input at %X is not in RAM", address);
        *status = KD_HV_STATUS_INVALID_PARAMETER;
    }
    return block;
}

static bool firmware_connection(const struct host *host, uint32_t id)
{
    return id == KD_VMBUS_CONNECTION_MESSAGE &&
           (vmbus_is_firmware(host, KD_VMBUS_SINT) ||
            (!host->options.no_firmware && !host->firmware_seen));
}

/* Faults that strike posts before they are looked at; success: none did. */
static uint32_t post_faults(struct host *host, uint32_t id)
{
    struct faults *faults = &host->options.faults;

    if (firmware_connection(host, id))
        return KD_HV_STATUS_SUCCESS;
    if (host->vmbus.away_until)
        return KD_HV_STATUS_INSUFFICIENT_BUFFERS;
    if (fault_strikes(&host->log, &faults->busy, "post refused: insufficient buffers"))
        return KD_HV_STATUS_INSUFFICIENT_BUFFERS;
    if (fault_strikes(&host->log, &faults->bad_id, "post refused: invalid connection id"))
        return KD_HV_STATUS_INVALID_CONNECTION_ID;
    if (id == KD_VMBUS_CONNECTION_MULTI && faults->no_multiclient)
        return KD_HV_STATUS_INVALID_CONNECTION_ID;
    return KD_HV_STATUS_SUCCESS;
}

/* A connection's port stays when the connection has ended. */
static bool posts_to(const struct host *host, uint32_t id)
{
    if (id == KD_VMBUS_CONNECTION_MESSAGE || id == KD_VMBUS_CONNECTION_MULTI)
        return true;
    for (uint32_t sint = 0; sint < SYNIC_SINTS; sint++) {
        if (host->vmbus.ports & 1u << sint && id == vmbus_message_id(sint))
            return true;
    }
    return false;
}

/* The SINT of the connection that posts with this id, for the record. */
static uint8_t sint_of(const struct host *host, uint32_t id)
{
    for (unsigned i = 0; i < VMBUS_CONNECTIONS; i++) {
        if (host->vmbus.connections[i].used && host->vmbus.connections[i].message_id == id)
            return host->vmbus.connections[i].sint;
    }
    return KD_VMBUS_RECORD_NO_SINT;
}

static uint32_t post(struct host *host, const struct kd_hv_post_message *message)
{
    uint32_t id = kd_get32(message->connection_id), size = kd_get32(message->payload_size);
    struct host_part parts[2] = {{message, sizeof *message}, {message + 1, size}};
    uint32_t status = post_faults(host, id);

    if (status == KD_HV_STATUS_SUCCESS && !posts_to(host, id)) {
        if (!host->options.faults.wrong_id)
            log_line(&host->log, LOG_BAD, "post to connection id %x, which does not exist", id);
        status = KD_HV_STATUS_INVALID_CONNECTION_ID;
    }
    if (status == KD_HV_STATUS_SUCCESS &&
        (size > KD_HV_MESSAGE_MAX || kd_get32(message->type) != KD_HV_MESSAGE_VMBUS)) {
        log_line(&host->log, LOG_BAD, "post of type %x and %u bytes", kd_get32(message->type),
                 size);
        status = KD_HV_STATUS_INVALID_PARAMETER;
    }
    if (size > KD_HV_MESSAGE_MAX)
        parts[1].size = KD_HV_MESSAGE_MAX;
    trace_message(host, KD_VMBUS_TO_HOST, sint_of(host, id), id, status, parts);
    return status == KD_HV_STATUS_SUCCESS ? vmbus_post(host, id, parts[1].bytes, size) : status;
}

static uint32_t call_post(struct host *host, const struct svm_registers *registers)
{
    uint32_t status;
    const void *block =
        input(host, registers->rdx, sizeof(struct kd_hv_post_message) + KD_HV_MESSAGE_MAX, &status);

    if (registers->rcx & KD_HV_CALL_FAST) {
        log_line(&host->log, LOG_BAD, "PostMessage as a fast call");
        return KD_HV_STATUS_INVALID_INPUT;
    }
    return block ? post(host, block) : status;
}

static uint32_t call_signal(struct host *host, const struct svm_registers *registers)
{
    struct kd_hv_signal_event event;
    uint32_t status;

    if (registers->rcx & KD_HV_CALL_FAST) {
        __builtin_memcpy(&event, &registers->rdx, sizeof event);
    } else {
        const void *block = input(host, registers->rdx, sizeof event, &status);

        if (!block)
            return status;
        __builtin_memcpy(&event, block, sizeof event);
    }
    return vmbus_signal(host, kd_get32(event.connection_id), kd_get16(event.flag));
}

uint64_t hypercall(struct host *host, const struct svm_registers *registers)
{
    uint64_t control = registers->rcx;

    if (!(host->synic.hypercall & KD_HV_PAGE_ENABLE) || host->svm.vmcb->save.rip % GUEST_PAGE != 0)
        log_line(&host->log, LOG_BAD, "hypercall at %X, not through the hypercall page",
                 host->svm.vmcb->save.rip);
    if (control & (RESERVED_BITS | VARIABLE_BITS | REP_BITS)) {
        log_line(&host->log, LOG_BAD, "hypercall: control %X has bits that must be zero", control);
        return KD_HV_STATUS_INVALID_INPUT;
    }
    switch (control & KD_HV_CALL_CODE) {
    case KD_HV_CALL_POST_MESSAGE:
        return call_post(host, registers);
    case KD_HV_CALL_SIGNAL_EVENT:
        return call_signal(host, registers);
    default:
        log_line(&host->log, LOG_WARN, "hypercall %x does not exist here",
                 (uint32_t)(control & KD_HV_CALL_CODE));
        return KD_HV_STATUS_INVALID_CODE;
    }
}
