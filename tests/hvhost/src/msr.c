/* msr.c - Hyper-V's synthetic registers, and those that would show SVM.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "exits.h"
#include "host.h"
#include "kd/vmbus.h"
#include "x86.h"

#define FIRST_SYNTHETIC UINT32_C(0x40000000)
#define LAST_SYNTHETIC  UINT32_C(0x400001FF)
#define SYNIC_VERSION   UINT64_C(1)
#define SINT_DEFINED    UINT64_C(0x001F00FF)
#define UNITS_PER_US    10u /* of the reference counter */

static bool synthetic_read(struct host *host, uint32_t index, uint64_t *value)
{
    const struct synic *synic = &host->synic;

    switch (index) {
    case KD_HV_MSR_GUEST_OS_ID:
        *value = synic->os_id;
        return true;
    case KD_HV_MSR_HYPERCALL:
        *value = synic->hypercall;
        return true;
    case KD_HV_MSR_VP_INDEX:
    case KD_HV_MSR_EOM:
        *value = 0;
        return true;
    case KD_HV_MSR_TIME_REF_COUNT:
        *value = log_now(&host->log) * UNITS_PER_US;
        return true;
    case KD_HV_MSR_VP_ASSIST_PAGE:
        *value = synic->assist_page;
        return true;
    case KD_HV_MSR_SCONTROL:
        *value = synic->control;
        return true;
    case KD_HV_MSR_SVERSION:
        *value = SYNIC_VERSION;
        return true;
    case KD_HV_MSR_SIEFP:
        *value = synic->event_page;
        return true;
    case KD_HV_MSR_SIMP:
        *value = synic->message_page;
        return true;
    default:
        break;
    }
    if (index >= KD_HV_MSR_SINT0 && index <= KD_HV_MSR_SINT15) {
        *value = synic->sint[index - KD_HV_MSR_SINT0].value;
        return true;
    }
    return false;
}

bool msr_read(struct host *host, uint32_t index, uint64_t *value)
{
    switch (index) {
    case SVM_MSR_EFER:
        *value = host->svm.vmcb->save.efer & ~SVM_EFER_SVME;
        return true;
    case SVM_MSR_VM_CR:
    case SVM_MSR_HSAVE:
        *value = 0;
        return true;
    default:
        break;
    }
    if (index < FIRST_SYNTHETIC || index > LAST_SYNTHETIC)
        return false;
    if (synthetic_read(host, index, value))
        return true;
    log_line(&host->log, LOG_WARN, "rdmsr %x: there is no such synthetic register", index);
    return false;
}

/* A page that the host is to write to. */
static bool check_page(struct host *host, const char *name, uint64_t value)
{
    if (!(value & KD_HV_PAGE_ENABLE) ||
        guest_memory(&host->guest, value & KD_HV_PAGE_ADDRESS, GUEST_PAGE))
        return true;
    log_line(&host->log, LOG_BAD, "%s: %X is not in RAM", name, value & KD_HV_PAGE_ADDRESS);
    return false;
}

/* The firmware's registers are nobody else's while its client lives. */
static void check_owner(struct host *host, const char *name, uint64_t old, uint64_t value)
{
    if (host->firmware_owns && old != value)
        log_line(&host->log, LOG_BAD, "%s: %X written over the firmware's %X", name, value, old);
}

/* vmmcall; ret */
static void write_hypercall_page(const struct host *host, uint64_t value)
{
    static const uint8_t code[] = {0x0F, 0x01, 0xD9, 0xC3};
    uint8_t *page = guest_memory(&host->guest, value & KD_HV_PAGE_ADDRESS, GUEST_PAGE);

    for (unsigned i = 0; page && i < sizeof code; i++)
        page[i] = code[i];
}

static bool set_hypercall(struct host *host, uint64_t value)
{
    struct synic *synic = &host->synic;

    check_owner(host, "HYPERCALL", synic->hypercall, value);
    if (synic->hypercall & KD_HV_PAGE_LOCKED)
        return false;
    if (value & KD_HV_PAGE_ENABLE && synic->os_id == 0) {
        log_line(&host->log, LOG_BAD, "HYPERCALL: enabled before GUEST_OS_ID was written");
        value &= ~(uint64_t)KD_HV_PAGE_ENABLE;
    }
    if (!check_page(host, "HYPERCALL", value))
        return false;
    synic->hypercall = value;
    if (value & KD_HV_PAGE_ENABLE)
        write_hypercall_page(host, value);
    return true;
}

static bool set_os_id(struct host *host, uint64_t value)
{
    check_owner(host, "GUEST_OS_ID", host->synic.os_id, value);
    host->synic.os_id = value;
    if (value == 0)
        host->synic.hypercall &= ~(uint64_t)KD_HV_PAGE_ENABLE;
    return true;
}

static bool set_page(struct host *host, const char *name, uint64_t *page, uint64_t value)
{
    check_owner(host, name, *page, value);
    if (!check_page(host, name, value))
        return false;
    *page = value;
    synic_unblock(host);
    return true;
}

static bool set_control(struct host *host, uint64_t value)
{
    check_owner(host, "SCONTROL", host->synic.control, value);
    host->synic.control = value;
    synic_unblock(host);
    return true;
}

static bool set_sint(struct host *host, uint8_t sint, uint64_t value)
{
    struct synic_sint *state = &host->synic.sint[sint];

    if (vmbus_is_firmware(host, sint))
        check_owner(host, "SINT of the firmware", state->value, value);
    if (!(value & KD_HV_SINT_MASKED) && (value & 0xFF) < SYNIC_VECTOR_FIRST) {
        log_line(&host->log, LOG_BAD, "SINT%u: vector %u is reserved", (uint32_t)sint,
                 (uint32_t)(value & 0xFF));
        return false;
    }
    if (value & ~SINT_DEFINED)
        log_line(&host->log, LOG_WARN, "SINT%u: reserved bits set, %X", (uint32_t)sint, value);
    state->value = value;
    synic_unblock(host);
    return true;
}

static bool synthetic_write(struct host *host, uint32_t index, uint64_t value)
{
    struct synic *synic = &host->synic;

    switch (index) {
    case KD_HV_MSR_GUEST_OS_ID:
        return set_os_id(host, value);
    case KD_HV_MSR_HYPERCALL:
        return set_hypercall(host, value);
    case KD_HV_MSR_VP_ASSIST_PAGE:
        synic->assist_page = value;
        return check_page(host, "VP_ASSIST_PAGE", value);
    case KD_HV_MSR_SCONTROL:
        return set_control(host, value);
    case KD_HV_MSR_SIEFP:
        return set_page(host, "SIEFP", &synic->event_page, value);
    case KD_HV_MSR_SIMP:
        return set_page(host, "SIMP", &synic->message_page, value);
    case KD_HV_MSR_EOM:
        synic_unblock(host);
        return true;
    default:
        break;
    }
    if (index >= KD_HV_MSR_SINT0 && index <= KD_HV_MSR_SINT15)
        return set_sint(host, (uint8_t)(index - KD_HV_MSR_SINT0), value);
    return false;
}

bool msr_write(struct host *host, uint32_t index, uint64_t value)
{
    switch (index) {
    case SVM_MSR_EFER:
        /* The processor refuses to run a guest without it; the guest does not see it. */
        host->svm.vmcb->save.efer = value | SVM_EFER_SVME;
        return true;
    case SVM_MSR_VM_CR:
    case SVM_MSR_HSAVE:
        return false;
    default:
        break;
    }
    if (index < FIRST_SYNTHETIC || index > LAST_SYNTHETIC)
        return false;
    if (index != KD_HV_MSR_EOM)
        trace_msr(host, KD_VMBUS_TO_HOST, index, value);
    if (synthetic_write(host, index, value))
        return true;
    log_line(&host->log, LOG_WARN, "wrmsr %x = %X: refused", index, value);
    return false;
}
