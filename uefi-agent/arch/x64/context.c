/* context.c - the interrupted program's registers as a CONTEXT.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Segment registers other than cs and ss are not in the frame: nothing of ours changes them, so
 * the processor still has the program's.
 */
#include "cpu.h"
#include "kd/protocol.h"
#include "x64.h"
#include "x64_internal.h"

#define X64_FX_MXCSR      24u
#define X64_FX_MXCSR_MASK 28u
#define X64_MXCSR_DEFAULT UINT32_C(0xFFBF) /* what may be set where the mask field is 0 */
#define X64_FX_SIZE                                       \
    (offsetof(struct kd_context_amd64, vector_register) - \
     offsetof(struct kd_context_amd64, control_word))
_Static_assert(X64_FX_SIZE == 512, "the floating point area is an FXSAVE image");

/* rflags the debugger may set: all but the fixed ones and those of virtual 8086 mode. */
#define X64_RFLAGS_LEGAL UINT64_C(0x257FD5)
#define X64_RFLAGS_ONE   UINT64_C(0x2)

/* Access rights as lar gives them. */
#define X64_RIGHTS_MASK 0xFA00u /* present, ring, code or data, kind */
#define X64_RIGHTS_CODE 0x9A00u
#define X64_RIGHTS_DATA 0x9200u
#define X64_RIGHTS_LONG 0x200000u

static uint32_t get32(const uint8_t *bytes)
{
    kd_u32 value;

    __builtin_memcpy(&value, bytes, sizeof value);
    return kd_get32(value);
}

static void put32(uint8_t *bytes, uint32_t number)
{
    kd_u32 value = kd_put32(number);

    __builtin_memcpy(bytes, &value, sizeof value);
}

static void get_integer(const struct x64_frame *frame, struct kd_context_amd64 *out)
{
    out->rax = kd_put64(frame->rax);
    out->rcx = kd_put64(frame->rcx);
    out->rdx = kd_put64(frame->rdx);
    out->rbx = kd_put64(frame->rbx);
    out->rbp = kd_put64(frame->rbp);
    out->rsi = kd_put64(frame->rsi);
    out->rdi = kd_put64(frame->rdi);
    out->r8 = kd_put64(frame->r8);
    out->r9 = kd_put64(frame->r9);
    out->r10 = kd_put64(frame->r10);
    out->r11 = kd_put64(frame->r11);
    out->r12 = kd_put64(frame->r12);
    out->r13 = kd_put64(frame->r13);
    out->r14 = kd_put64(frame->r14);
    out->r15 = kd_put64(frame->r15);
}

static void set_integer(struct x64_frame *frame, const struct kd_context_amd64 *in)
{
    frame->rax = kd_get64(in->rax);
    frame->rcx = kd_get64(in->rcx);
    frame->rdx = kd_get64(in->rdx);
    frame->rbx = kd_get64(in->rbx);
    frame->rbp = kd_get64(in->rbp);
    frame->rsi = kd_get64(in->rsi);
    frame->rdi = kd_get64(in->rdi);
    frame->r8 = kd_get64(in->r8);
    frame->r9 = kd_get64(in->r9);
    frame->r10 = kd_get64(in->r10);
    frame->r11 = kd_get64(in->r11);
    frame->r12 = kd_get64(in->r12);
    frame->r13 = kd_get64(in->r13);
    frame->r14 = kd_get64(in->r14);
    frame->r15 = kd_get64(in->r15);
}

static void get_debug(const struct x64_frame *frame, struct kd_context_amd64 *out)
{
    out->dr0 = kd_put64(frame->dr[0]);
    out->dr1 = kd_put64(frame->dr[1]);
    out->dr2 = kd_put64(frame->dr[2]);
    out->dr3 = kd_put64(frame->dr[3]);
    out->dr6 = kd_put64(frame->dr6);
    out->dr7 = kd_put64(frame->dr7);
}

static void set_debug(struct x64_frame *frame, const struct kd_context_amd64 *in)
{
    frame->dr[0] = kd_get64(in->dr0);
    frame->dr[1] = kd_get64(in->dr1);
    frame->dr[2] = kd_get64(in->dr2);
    frame->dr[3] = kd_get64(in->dr3);
    frame->dr6 = kd_get64(in->dr6) & UINT64_C(0xFFFFFFFF);
    frame->dr7 = x64_legal_dr7(kd_get64(in->dr7));
}

void x64_get_context(void *self, struct kd_context_amd64 *out)
{
    static const struct kd_context_amd64 empty;
    const struct x64_frame *frame = x64_current();

    (void)self;
    *out = empty;
    if (!frame)
        return;
    out->context_flags =
        kd_put32(KD_CONTEXT_AMD64 | KD_CONTEXT_AMD64_CONTROL | KD_CONTEXT_AMD64_INTEGER |
                 KD_CONTEXT_AMD64_SEGMENTS | KD_CONTEXT_AMD64_FLOATING_POINT |
                 KD_CONTEXT_AMD64_DEBUG_REGISTERS);
    out->seg_cs = kd_put16((uint16_t)frame->cs);
    out->seg_ss = kd_put16((uint16_t)frame->ss);
    out->rip = kd_put64(frame->rip);
    out->rsp = kd_put64(frame->rsp);
    out->eflags = kd_put32((uint32_t)frame->rflags);
    out->seg_ds = kd_put16((uint16_t)x64_read_ds());
    out->seg_es = kd_put16((uint16_t)x64_read_es());
    out->seg_fs = kd_put16((uint16_t)x64_read_fs());
    out->seg_gs = kd_put16((uint16_t)x64_read_gs());
    get_integer(frame, out);
    get_debug(frame, out);
    out->mx_csr = kd_put32(get32(frame->fx + X64_FX_MXCSR));
    __builtin_memcpy(&out->control_word, frame->fx, X64_FX_SIZE);
}

/* Selectors that iretq would refuse are not taken: nobody could be told about it later. */
static void set_control(struct x64_frame *frame, const struct kd_context_amd64 *in)
{
    uint16_t cs = kd_get16(in->seg_cs);
    uint16_t ss = kd_get16(in->seg_ss);
    uint32_t code = x64_access_rights(cs);

    if ((code & X64_RIGHTS_MASK) == X64_RIGHTS_CODE && code & X64_RIGHTS_LONG && (cs & 3) == 0)
        frame->cs = cs;
    if ((x64_access_rights(ss) & X64_RIGHTS_MASK) == X64_RIGHTS_DATA && (ss & 3) == 0)
        frame->ss = ss;
    frame->rip = kd_get64(in->rip);
    frame->rsp = kd_get64(in->rsp);
    frame->rflags = (kd_get32(in->eflags) & X64_RFLAGS_LEGAL) | X64_RFLAGS_ONE;
}

/* Loading fs or gs loads their bases, too, so only what differs is loaded. */
static void set_segments(const struct kd_context_amd64 *in)
{
    if (kd_get16(in->seg_ds) != (uint16_t)x64_read_ds())
        x64_safe_write_ds(kd_get16(in->seg_ds));
    if (kd_get16(in->seg_es) != (uint16_t)x64_read_es())
        x64_safe_write_es(kd_get16(in->seg_es));
    if (kd_get16(in->seg_fs) != (uint16_t)x64_read_fs())
        x64_safe_write_fs(kd_get16(in->seg_fs));
    if (kd_get16(in->seg_gs) != (uint16_t)x64_read_gs())
        x64_safe_write_gs(kd_get16(in->seg_gs));
}

void x64_set_mxcsr(struct x64_frame *frame, uint32_t value)
{
    uint32_t mask = get32(frame->fx + X64_FX_MXCSR_MASK);

    put32(frame->fx + X64_FX_MXCSR, value & (mask ? mask : X64_MXCSR_DEFAULT));
}

/* MXCSR stands in a CONTEXT twice; the one that was changed counts. */
static void set_floating(struct x64_frame *frame, const struct kd_context_amd64 *in)
{
    uint32_t old = get32(frame->fx + X64_FX_MXCSR);
    uint32_t mask = get32(frame->fx + X64_FX_MXCSR_MASK);
    uint32_t value = kd_get32(in->mx_csr);

    if (value == old)
        value = kd_get32(in->fx_mx_csr);
    __builtin_memcpy(frame->fx, &in->control_word, X64_FX_SIZE);
    put32(frame->fx + X64_FX_MXCSR_MASK, mask);
    x64_set_mxcsr(frame, value);
}

void x64_set_context(void *self, const struct kd_context_amd64 *in)
{
    struct x64_frame *frame = x64_current();
    uint32_t flags = kd_get32(in->context_flags);

    (void)self;
    if (!frame || !(flags & KD_CONTEXT_AMD64))
        return;
    if (flags & KD_CONTEXT_AMD64_CONTROL)
        set_control(frame, in);
    if (flags & KD_CONTEXT_AMD64_INTEGER)
        set_integer(frame, in);
    if (flags & KD_CONTEXT_AMD64_SEGMENTS)
        set_segments(in);
    if (flags & KD_CONTEXT_AMD64_FLOATING_POINT)
        set_floating(frame, in);
    if (flags & KD_CONTEXT_AMD64_DEBUG_REGISTERS)
        set_debug(frame, in);
}
