/* selftest.c - CPUID, MSRs, hypercalls, interrupts, debug exceptions and timers in the guest.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "selftest.h"

#include "host.h"
#include "kd/vmbus.h"
#include "x86.h"

#define ECX_SVM         UINT32_C(0x4)
#define SINT            3u
#define VECTOR_AUTO     0x51
#define VECTOR_EOI      0x52
#define APIC_EOI        UINT64_C(0xFEE000B0)
#define VECTOR_DEBUG    1
#define VECTOR_BREAK    3
#define FLAGS_TRAP      UINT64_C(0x100)
#define FLAGS_RESUME    UINT64_C(0x10000)
#define DR6_STEP        UINT64_C(0x4000)
#define DR7_EXECUTE0    UINT64_C(0x402)
#define DR7_NONE        UINT64_C(0x400)
#define WAIT_US         UINT64_C(2000000)
#define STALL_US        200000u
#define STALL_TOO_SHORT UINT64_C(150000)
#define TICK            UINT64_C(100000) /* 10 ms */
#define MESSAGE_SIZE    8u

/* Handlers are told nothing of ours, so what they find is kept beside them. */
static volatile uint32_t interrupts, steps, hits, breaks;

struct test {
    struct host *host;
    EFI_BOOT_SERVICES *services;
    EFI_CPU_ARCH_PROTOCOL *cpu;
    uint8_t *pages; /* hypercall, messages, events */
    bool good;
};

static void check(struct test *test, bool passed, const char *what)
{
    log_line(&test->host->log, passed ? LOG_PASS : LOG_FAIL, "self test: %s", what);
    test->good = test->good && passed;
}

static void EFIAPI on_auto(int64_t vector, uint8_t *context)
{
    (void)vector;
    (void)context;
    interrupts++;
}

static void EFIAPI on_eoi(int64_t vector, uint8_t *context)
{
    (void)vector;
    (void)context;
    interrupts++;
    guest_put32((void *)(uintptr_t)APIC_EOI, 0);
}

static void EFIAPI on_debug(int64_t vector, uint8_t *context)
{
    uint64_t *flags = (uint64_t *)(void *)(context + EFI_CONTEXT_RFLAGS);
    uint64_t *dr6 = (uint64_t *)(void *)(context + EFI_CONTEXT_DR6);

    (void)vector;
    if (*dr6 & DR6_STEP)
        steps++;
    if (*dr6 & 1)
        hits++;
    *dr6 = 0;
    *flags &= ~FLAGS_TRAP;
    *flags |= FLAGS_RESUME;
}

static void EFIAPI on_break(int64_t vector, uint8_t *context)
{
    (void)vector;
    (void)context;
    breaks++;
}

static void test_cpuid(struct test *test)
{
    struct x86_cpuid range = x86_cpuid(KD_HV_CPUID_RANGE, 0);
    struct x86_cpuid features = x86_cpuid(KD_HV_CPUID_FEATURES, 0);

    check(test, (x86_cpuid(1, 0).ecx & KD_HV_CPUID_PRESENT) != 0, "CPUID shows a hypervisor");
    check(test,
          range.ebx == KD_HV_VENDOR_EBX && range.ecx == KD_HV_VENDOR_ECX &&
              range.edx == KD_HV_VENDOR_EDX && range.eax >= KD_HV_CPUID_LIMITS,
          "CPUID names Hyper-V");
    check(test, x86_cpuid(KD_HV_CPUID_INTERFACE, 0).eax == KD_HV_INTERFACE, "CPUID interface");
    check(test,
          features.eax & KD_HV_ACCESS_SYNIC && features.eax & KD_HV_ACCESS_HYPERCALL &&
              features.ebx & KD_HV_POST_MESSAGES && features.ebx & KD_HV_SIGNAL_EVENTS,
          "CPUID privileges");
    check(test, !(x86_cpuid(UINT32_C(0x80000001), 0).ecx & ECX_SVM), "CPUID hides SVM");
}

static void test_registers(struct test *test)
{
    uint64_t time = x86_rdmsr(KD_HV_MSR_TIME_REF_COUNT), efer = x86_rdmsr(SVM_MSR_EFER);

    check(test, x86_rdmsr(KD_HV_MSR_VP_INDEX) == 0, "VP_INDEX");
    check(test, !(efer & SVM_EFER_SVME), "EFER hides SVM");
    x86_wrmsr(SVM_MSR_EFER, efer);
    x86_wrmsr(KD_HV_MSR_SINT15, KD_HV_SINT_MASKED | 0x77);
    check(test, x86_rdmsr(KD_HV_MSR_SINT15) == (KD_HV_SINT_MASKED | 0x77),
          "a SINT keeps its value");
    x86_wrmsr(KD_HV_MSR_SINT15, KD_HV_SINT_MASKED);
    test->services->Stall(1000);
    check(test, x86_rdmsr(KD_HV_MSR_TIME_REF_COUNT) - time >= 9000, "the reference counter counts");
}

static void test_hypercall(struct test *test)
{
    uint64_t result, control = 0x7FFF, input = 0;

    x86_wrmsr(KD_HV_MSR_GUEST_OS_ID, KD_HV_OS_ID_FIRMWARE);
    x86_wrmsr(KD_HV_MSR_HYPERCALL, (uintptr_t)test->pages | KD_HV_PAGE_ENABLE);
    check(test, test->pages[0] != 0, "the hypercall page has code");
    __asm__ volatile("callq *%[page]"
                     : "=a"(result), "+c"(control), "+d"(input)
                     : [page] "r"(test->pages)
                     : "r8", "r9", "r10", "r11", "memory", "cc");
    check(test, result == KD_HV_STATUS_INVALID_CODE, "an unknown hypercall is refused");
}

static bool wait_interrupts(const struct test *test, uint32_t wanted)
{
    uint64_t start = log_now(&test->host->log);

    while (interrupts < wanted && log_now(&test->host->log) - start < WAIT_US)
        x86_pause();
    return interrupts == wanted;
}

/* A message of the host, which the guest may post itself here: both are the same program. */
static void test_interrupt(struct test *test, uint64_t sint, const char *what)
{
    static const uint8_t message[MESSAGE_SIZE] = {1};
    uint8_t *slot = test->pages + GUEST_PAGE + SINT * KD_HV_SLOT_SIZE;
    uint64_t flags = x86_interrupts_off();

    interrupts = 0;
    x86_wrmsr(KD_HV_MSR_SINT0 + SINT, sint);
    synic_post(test->host, SINT, message, sizeof message, 0);
    x86_pause();
    check(test, guest_get32(slot) == KD_HV_MESSAGE_VMBUS && slot[4] == sizeof message,
          "a message lies in its slot");
    check(test, interrupts == 0, "no interrupt while they are off");
    x86_flags(flags);
    check(test, wait_interrupts(test, 1), what);
    guest_put32(slot, KD_HV_MESSAGE_NONE);
    x86_wrmsr(KD_HV_MSR_SINT0 + SINT, KD_HV_SINT_MASKED);
}

static void test_interrupts(struct test *test)
{
    x86_wrmsr(KD_HV_MSR_SIMP, (uintptr_t)(test->pages + GUEST_PAGE) | KD_HV_PAGE_ENABLE);
    x86_wrmsr(KD_HV_MSR_SIEFP, (uintptr_t)(test->pages + 2 * GUEST_PAGE) | KD_HV_PAGE_ENABLE);
    x86_wrmsr(KD_HV_MSR_SCONTROL, KD_HV_PAGE_ENABLE);
    test->cpu->RegisterInterruptHandler(test->cpu, VECTOR_AUTO, on_auto);
    test->cpu->RegisterInterruptHandler(test->cpu, VECTOR_EOI, on_eoi);
    test_interrupt(test, VECTOR_AUTO | KD_HV_SINT_AUTO_EOI, "one interrupt with AutoEOI");
    test_interrupt(test, VECTOR_EOI, "one interrupt that the guest ends");
    test->cpu->RegisterInterruptHandler(test->cpu, VECTOR_AUTO, NULL);
    test->cpu->RegisterInterruptHandler(test->cpu, VECTOR_EOI, NULL);
    x86_wrmsr(KD_HV_MSR_SIMP, 0);
    x86_wrmsr(KD_HV_MSR_SIEFP, 0);
    x86_wrmsr(KD_HV_MSR_HYPERCALL, 0);
    x86_wrmsr(KD_HV_MSR_GUEST_OS_ID, 0);
}

/* A step over an instruction that the host emulates must stop behind that instruction. */
static void test_debug(struct test *test)
{
    uint32_t a = 0, b, c = 0, d;

    test->cpu->RegisterInterruptHandler(test->cpu, VECTOR_DEBUG, on_debug);
    test->cpu->RegisterInterruptHandler(test->cpu, VECTOR_BREAK, on_break);
    steps = hits = breaks = 0;
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tcpuid"
                     : "+a"(a), "=b"(b), "+c"(c), "=d"(d)
                     :
                     : "memory", "cc");
    check(test, steps == 1, "a single step over CPUID");
    __asm__ volatile("int3" : : : "memory");
    check(test, breaks == 1, "a breakpoint instruction");
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rax, %%dr0\n\t"
                     "movq %[on], %%rax\n\t"
                     "movq %%rax, %%dr7\n"
                     "1:\tnop\n\t"
                     "movq %[off], %%rax\n\t"
                     "movq %%rax, %%dr7"
                     :
                     : [on] "i"(DR7_EXECUTE0), [off] "i"(DR7_NONE)
                     : "rax", "memory");
    check(test, hits == 1, "a breakpoint register");
    test->cpu->RegisterInterruptHandler(test->cpu, VECTOR_DEBUG, NULL);
    test->cpu->RegisterInterruptHandler(test->cpu, VECTOR_BREAK, NULL);
}

static void EFIAPI on_tick(EFI_EVENT event, void *context)
{
    (void)event;
    ++*(volatile uint32_t *)context;
}

static void test_timers(struct test *test)
{
    volatile uint32_t ticks = 0;
    EFI_EVENT event;
    uint64_t start = log_now(&test->host->log);

    if (EFI_ERROR(test->services->CreateEvent(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_CALLBACK, on_tick,
                                              (void *)(uintptr_t)&ticks, &event))) {
        check(test, false, "a timer event");
        return;
    }
    test->services->SetTimer(event, TimerPeriodic, TICK);
    test->services->Stall(STALL_US);
    test->services->CloseEvent(event);
    check(test, log_now(&test->host->log) - start >= STALL_TOO_SHORT, "Stall takes its time");
    check(test, ticks > 0, "the firmware's timer runs");
}

bool selftest_run(struct host *host, EFI_BOOT_SERVICES *services)
{
    static const EFI_GUID cpu_guid = EFI_CPU_ARCH_PROTOCOL_GUID;
    struct test test = {.host = host, .services = services, .good = true};
    uint64_t memory = UINT32_MAX;
    void *found = NULL;

    if (EFI_ERROR(services->AllocatePages(AllocateMaxAddress, EfiBootServicesData, 3, &memory)) ||
        EFI_ERROR(services->LocateProtocol(&cpu_guid, NULL, &found))) {
        check(&test, false, "memory and the CPU protocol");
        return false;
    }
    test.cpu = found;
    test.pages = (uint8_t *)(uintptr_t)memory;
    __builtin_memset(test.pages, 0, 3 * GUEST_PAGE);
    test_cpuid(&test);
    test_registers(&test);
    test_hypercall(&test);
    test_interrupts(&test);
    test_debug(&test);
    test_timers(&test);
    services->FreePages(memory, 3);
    return test.good;
}
