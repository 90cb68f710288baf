/* special.c - control registers, descriptor tables, MSRs: KSPECIAL_REGISTERS, and ports.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Debug registers, cr0 and cr2 are the program's, in the frame, and loaded when it continues; the
 * others are the processor's own, written at once.
 */
#include "cpu.h"
#include "kd/protocol.h"
#include "x64.h"
#include "x64_internal.h"

#define X64_CR0_TASK UINT64_C(0xC) /* TS and EM: off while the engine works */

static uint64_t msr(uint32_t number)
{
    uint64_t value = 0;

    x64_safe_read_msr(number, &value);
    return value;
}

static uint32_t mxcsr(const struct x64_frame *frame)
{
    return (uint32_t)frame->fx[24] | (uint32_t)frame->fx[25] << 8 | (uint32_t)frame->fx[26] << 16 |
           (uint32_t)frame->fx[27] << 24;
}

static bool has_xcr(void)
{
    return (x64_read_cr4() & X64_CR4_OSXSAVE) != 0;
}

static void get_tables(struct kd_special_registers_amd64 *out)
{
    struct x64_table gdtr = x64_read_gdtr();
    struct x64_table idtr = x64_read_idtr();

    out->gdtr_limit = kd_put16(gdtr.limit);
    out->gdtr_base = kd_put64(gdtr.base);
    out->idtr_limit = kd_put16(idtr.limit);
    out->idtr_base = kd_put64(idtr.base);
    out->tr = kd_put16(x64_read_tr());
    out->ldtr = kd_put16(x64_read_ldtr());
}

static void get_msrs(struct kd_special_registers_amd64 *out)
{
    out->debug_control = kd_put64(msr(X64_MSR_DEBUGCTL));
    out->msr_gs_base = kd_put64(msr(X64_MSR_GS_BASE));
    out->msr_gs_swap = kd_put64(msr(X64_MSR_GS_SWAP));
    out->msr_star = kd_put64(msr(X64_MSR_STAR));
    out->msr_lstar = kd_put64(msr(X64_MSR_LSTAR));
    out->msr_cstar = kd_put64(msr(X64_MSR_CSTAR));
    out->msr_syscall_mask = kd_put64(msr(X64_MSR_SYSCALL_MASK));
    out->msr_fs_base = kd_put64(msr(X64_MSR_FS_BASE));
    out->xcr0 = kd_put64(has_xcr() ? x64_read_xcr0() : 0);
}

void x64_get_special(void *self, struct kd_special_registers_amd64 *out)
{
    static const struct kd_special_registers_amd64 empty;
    const struct x64_frame *frame = x64_current();

    (void)self;
    *out = empty;
    if (!frame)
        return;
    out->cr0 = kd_put64(frame->cr0);
    out->cr2 = kd_put64(frame->cr2);
    out->cr3 = kd_put64(x64_read_cr3());
    out->cr4 = kd_put64(x64_read_cr4());
    out->cr8 = kd_put64(x64_read_cr8());
    out->dr0 = kd_put64(frame->dr[0]);
    out->dr1 = kd_put64(frame->dr[1]);
    out->dr2 = kd_put64(frame->dr[2]);
    out->dr3 = kd_put64(frame->dr[3]);
    out->dr6 = kd_put64(frame->dr6);
    out->dr7 = kd_put64(frame->dr7);
    out->mx_csr = kd_put32(mxcsr(frame));
    get_tables(out);
    get_msrs(out);
}

/* cr0 is tried now, so that a value the processor refuses is refused here and not on the way out.
 */
static bool set_cr0(struct x64_frame *frame, uint64_t value)
{
    uint64_t now = x64_read_cr0();

    if (value == frame->cr0)
        return true;
    if (!x64_safe_write_cr0(value & ~X64_CR0_TASK))
        return false;
    x64_write_cr0(now);
    frame->cr0 = value;
    return true;
}

static bool set_control(struct x64_frame *frame, const struct kd_special_registers_amd64 *in)
{
    bool done = set_cr0(frame, kd_get64(in->cr0));

    frame->cr2 = kd_get64(in->cr2);
    if (kd_get64(in->cr3) != x64_read_cr3())
        done &= x64_safe_write_cr3(kd_get64(in->cr3));
    if (kd_get64(in->cr4) != x64_read_cr4())
        done &= x64_safe_write_cr4(kd_get64(in->cr4));
    if (kd_get64(in->cr8) != x64_read_cr8())
        done &= x64_safe_write_cr8(kd_get64(in->cr8));
    if (has_xcr() && kd_get64(in->xcr0) != x64_read_xcr0())
        done &= x64_safe_write_xcr(0, kd_get64(in->xcr0));
    return done;
}

static void set_debug(struct x64_frame *frame, const struct kd_special_registers_amd64 *in)
{
    frame->dr[0] = kd_get64(in->dr0);
    frame->dr[1] = kd_get64(in->dr1);
    frame->dr[2] = kd_get64(in->dr2);
    frame->dr[3] = kd_get64(in->dr3);
    frame->dr6 = kd_get64(in->dr6) & UINT64_C(0xFFFFFFFF);
    frame->dr7 = x64_legal_dr7(kd_get64(in->dr7));
}

static bool set_tables(const struct kd_special_registers_amd64 *in)
{
    struct x64_table gdtr = {kd_get16(in->gdtr_limit), kd_get64(in->gdtr_base)};
    struct x64_table idtr = {kd_get16(in->idtr_limit), kd_get64(in->idtr_base)};
    struct x64_table now = x64_read_gdtr();
    bool done = true;

    if (gdtr.base != now.base || gdtr.limit != now.limit)
        x64_write_gdtr(&gdtr);
    now = x64_read_idtr();
    if (idtr.base != now.base || idtr.limit != now.limit)
        x64_write_idtr(&idtr);
    if (kd_get16(in->tr) != x64_read_tr())
        done &= x64_safe_write_tr(kd_get16(in->tr));
    if (kd_get16(in->ldtr) != x64_read_ldtr())
        done &= x64_safe_write_ldtr(kd_get16(in->ldtr));
    return done;
}

static bool set_msr(uint32_t number, kd_u64 wanted)
{
    uint64_t now;

    if (!x64_safe_read_msr(number, &now))
        return kd_get64(wanted) == 0;
    return now == kd_get64(wanted) || x64_safe_write_msr(number, kd_get64(wanted));
}

bool x64_set_special(void *self, const struct kd_special_registers_amd64 *in)
{
    struct x64_frame *frame = x64_current();
    bool done;

    (void)self;
    if (!frame)
        return false;
    done = set_control(frame, in);
    set_debug(frame, in);
    done &= set_tables(in);
    if (kd_get32(in->mx_csr) != mxcsr(frame))
        x64_set_mxcsr(frame, kd_get32(in->mx_csr));
    done &= set_msr(X64_MSR_DEBUGCTL, in->debug_control);
    done &= set_msr(X64_MSR_GS_BASE, in->msr_gs_base);
    done &= set_msr(X64_MSR_GS_SWAP, in->msr_gs_swap);
    done &= set_msr(X64_MSR_STAR, in->msr_star);
    done &= set_msr(X64_MSR_LSTAR, in->msr_lstar);
    done &= set_msr(X64_MSR_CSTAR, in->msr_cstar);
    done &= set_msr(X64_MSR_SYSCALL_MASK, in->msr_syscall_mask);
    done &= set_msr(X64_MSR_FS_BASE, in->msr_fs_base);
    return done;
}
