/* guarded.c - a UEFI program with a fault in guarded code, linked with uefi-agent/rt.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * It asks in the debugger for words: "handler", "debugger", "never" set the policy; "guarded" and
 * "bare" fault, inside __try and outside, "declined" inside one that does not want it; "where"
 * prints its own call stack.
 */
#include "efi.h"

#include "kdagent_protocol.h"
#include "rt/rt.h"

#define WORD_ROOM 32u
#define ABSENT    UINT64_C(0xFFFFFFFF80000000) /* no firmware maps memory here */

extern const uint8_t __ImageBase[];

static KDAGENT_PROTOCOL *agent;
static volatile uint32_t calls; /* of the handler */

static EFI_STATUS EFIAPI on_fault(void *context, KDAGENT_FAULT *fault)
{
    struct rt_fault told = {(uint32_t)fault->Vector, (uint32_t)fault->ErrorCode, fault->Address,
                            fault->Registers};

    (void)context;
    calls = calls + 1;
    return rt_fault(&told) == RT_FAULT_RESUME ? EFI_SUCCESS : EFI_NOT_FOUND;
}

/* Two bytes, which a debugger can step over: mov [rcx], eax. */
__attribute__((naked, noinline, used)) void GuardedWrite(uint64_t address)
{
    __asm__ volatile("movl %eax, (%rcx)\n\tret");
}

__attribute__((noinline, used)) void GuardedCall(void)
{
    __try {
        GuardedWrite(ABSENT);
        agent->Print(agent, u"guarded: went on\n");
    } __except (1) {
        agent->Print(agent, u"guarded: caught\n");
    }
}

__attribute__((noinline, used)) void GuardedDeclined(void)
{
    __try {
        GuardedWrite(ABSENT);
        agent->Print(agent, u"guarded: declined went on\n");
    } __except (0) {
        agent->Print(agent, u"guarded: taken after all\n");
    }
}

static bool same(const CHAR16 *a, const CHAR16 *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static void run(const CHAR16 *word)
{
    if (same(word, u"handler"))
        agent->SetExceptionPolicy(agent, KDAGENT_HANDLER_FIRST);
    else if (same(word, u"debugger"))
        agent->SetExceptionPolicy(agent, KDAGENT_DEBUGGER_FIRST);
    else if (same(word, u"never"))
        agent->SetExceptionPolicy(agent, KDAGENT_NEVER);
    else if (same(word, u"guarded"))
        GuardedCall();
    else if (same(word, u"declined"))
        GuardedDeclined();
    else if (same(word, u"where"))
        agent->Backtrace(agent, NULL);
    else if (same(word, u"bare")) {
        GuardedWrite(ABSENT);
        agent->Print(agent, u"guarded: bare went on\n");
    }
}

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    static const EFI_GUID guid = KDAGENT_PROTOCOL_GUID;
    static const struct rt_port port;
    CHAR16 word[WORD_ROOM];
    void *found = NULL;

    (void)image;
    if (EFI_ERROR(table->BootServices->LocateProtocol(&guid, NULL, &found)))
        return EFI_NOT_FOUND;
    agent = found;
    if (agent->Revision < 0x00010001u || !rt_init(__ImageBase, &port) ||
        EFI_ERROR(agent->RegisterFaultHandler(agent, __ImageBase, on_fault, NULL)))
        agent->Print(agent, u"guarded: no handler\n");
    while (!EFI_ERROR(agent->Prompt(agent, u"guarded> ", word, WORD_ROOM)))
        run(word);
    return agent->RegisterFaultHandler(agent, __ImageBase, NULL, NULL);
}
