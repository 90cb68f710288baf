/* kdagent_protocol.h - what the kdlens agent offers to other UEFI programs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * For your own program: include it after the EFI headers you have (EDK2: Uefi.h; gnu-efi: efi.h).
 * It uses UINTN, CHAR16, EFI_STATUS and EFIAPI of them, and nothing else; without EFI headers it
 * brings its own. Find the agent by
 *
 *   EFI_GUID Guid = KDAGENT_PROTOCOL_GUID;
 *   KDAGENT_PROTOCOL *Agent;
 *   Status = BootServices->LocateProtocol(&Guid, NULL, (VOID **)&Agent);
 *
 * and look for it again when it may have come or gone meanwhile: its functions are gone with it.
 *
 * Rules
 *   - Functions may be called at any TPL, and stop the machine while they talk to the debugger.
 *   - Handlers are called by the agent while the machine is stopped, with interrupts off, between
 *     any two instructions of the program: they must not call the firmware, must not wait, and
 *     must not call the agent (which answers EFI_NOT_READY).
 *   - Text is CHAR16, shown as it is: a percent sign has no meaning. A surrogate without its other
 *     half becomes U+FFFD. No text is longer than KDAGENT_TEXT_MAX characters; what is, is cut.
 *   - EFI_NO_RESPONSE: no debugger has answered. EFI_NOT_READY: called from a handler.
 */
#ifndef KDAGENT_PROTOCOL_H
#define KDAGENT_PROTOCOL_H

#ifndef EFIAPI
#include <stdint.h>
typedef uint16_t CHAR16;
typedef uintptr_t UINTN;
typedef UINTN EFI_STATUS;
#if defined(__x86_64__) && !defined(_WIN32)
#define EFIAPI __attribute__((ms_abi))
#else
#define EFIAPI
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef unsigned long long KDAGENT_UINT64;

/* 10e7f084-454b-4d6f-9513-21bf4af5155b */
#define KDAGENT_PROTOCOL_GUID                              \
    {                                                      \
        0x10e7f084, 0x454b, 0x4d6f,                        \
        {                                                  \
            0x95, 0x13, 0x21, 0xbf, 0x4a, 0xf5, 0x15, 0x5b \
        }                                                  \
    }

/* The major number (upper 16 bits) changes when a program made for an earlier one would fail;
 * functions are only ever added at the end, which changes the minor number. */
#define KDAGENT_PROTOCOL_REVISION 0x00010002u

#define KDAGENT_TEXT_MAX   2048u  /* characters of a text */
#define KDAGENT_NAME_MAX   31u    /* characters of a command's name or a record's tag */
#define KDAGENT_RECORD_MAX 65536u /* bytes of a record */

typedef struct KDAGENT_PROTOCOL KDAGENT_PROTOCOL;

/* A command of the program. Answer holds AnswerRoom characters, at least 256; the handler ends it
 * with 0. The status is shown when it is an error. */
typedef EFI_STATUS(EFIAPI *KDAGENT_COMMAND)(void *Context, const CHAR16 *Arguments, CHAR16 *Answer,
                                            UINTN AnswerRoom);

/* Bytes at Offset of the handler's range. Returns how many from the start could be read or
 * written; less than Size tells the debugger that the rest is absent. */
typedef UINTN(EFIAPI *KDAGENT_READ)(void *Context, KDAGENT_UINT64 Offset, void *Bytes, UINTN Size);
typedef UINTN(EFIAPI *KDAGENT_WRITE)(void *Context, KDAGENT_UINT64 Offset, const void *Bytes,
                                     UINTN Size);

/* A fault of the program. Registers: a CONTEXT as Windows x64 lays it out, 1232 bytes, complete. */
typedef struct {
    KDAGENT_UINT64 Vector; /* of the processor: 14, a page fault */
    KDAGENT_UINT64 ErrorCode;
    KDAGENT_UINT64 Address; /* CR2, of a page fault */
    void *Registers;
} KDAGENT_FAULT;

/* EFI_SUCCESS: the program goes on with Registers, which the handler may have changed. An error:
 * the fault was not handled, and whatever changed does not count. It is called with interrupts
 * off, on a stack of 32 KiB, perhaps twice for one fault; a fault in it goes to the debugger. It
 * must not call the firmware. */
typedef EFI_STATUS(EFIAPI *KDAGENT_FAULT_HANDLER)(void *Context, KDAGENT_FAULT *Fault);

/* What Guard calls. */
typedef void(EFIAPI *KDAGENT_FUNCTION)(void *Argument);

/* Who sees a fault first, the program's handler and guards or the debugger. NEVER: only the
 * debugger. */
#define KDAGENT_HANDLER_FIRST  0u
#define KDAGENT_DEBUGGER_FIRST 1u
#define KDAGENT_NEVER          2u

struct KDAGENT_PROTOCOL {
    KDAGENT_UINT64 Revision; /* KDAGENT_PROTOCOL_REVISION of the agent */
    KDAGENT_UINT64 Size;     /* bytes of this structure; a function beyond it is not there */

    /* EFI_SUCCESS: a debugger is connected, that is, acknowledged what the agent sent last. */
    EFI_STATUS(EFIAPI *Connected)(KDAGENT_PROTOCOL *This);

    /* Shows Text in the debugger. No line end is added. */
    EFI_STATUS(EFIAPI *Print)(KDAGENT_PROTOCOL *This, const CHAR16 *Text);

    /* Shows Text in the debugger and waits until its user has typed a line, which comes to Answer,
     * ended by 0 and without the line end. AnswerRoom: in characters, 1 to 512. */
    EFI_STATUS(EFIAPI *Prompt)
    (KDAGENT_PROTOCOL *This, const CHAR16 *Text, CHAR16 *Answer, UINTN AnswerRoom);

    /* An image that the program has mapped by itself. (Those that the firmware loads are known.)
     * Base: its PE headers in memory. Path: as the debugger shall know it; its symbols are found by
     * the PDB record of the image. EFI_UNSUPPORTED: no PE32+ image. EFI_ALREADY_STARTED: an image
     * with this base is known. */
    EFI_STATUS(EFIAPI *ReportModule)(KDAGENT_PROTOCOL *This, const CHAR16 *Path, const void *Base);
    EFI_STATUS(EFIAPI *ForgetModule)(KDAGENT_PROTOCOL *This, const void *Base);

    /* Stops, as an int3 does, after Text (NULL: none) has been shown: inside the agent, with the
     * caller a few frames up the stack. Returns when the debugger goes on. */
    EFI_STATUS(EFIAPI *Break)(KDAGENT_PROTOCOL *This, const CHAR16 *Text);

    /* A command that the debugger's user can give while the machine is stopped, by writing "NAME
     * ARGUMENTS" to the agent's variable kdagent!KdAgentCommand, and reading the answer in
     * kdagent!KdAgentAnswer; see docs/agent.md. Name: letters, digits, "-", "_"; Help: one line.
     * The same Handler and Context may have several names. EFI_ALREADY_STARTED: the name is taken.
     */
    EFI_STATUS(EFIAPI *AddCommand)
    (KDAGENT_PROTOCOL *This, const CHAR16 *Name, const CHAR16 *Help, KDAGENT_COMMAND Handler,
     void *Context);
    EFI_STATUS(EFIAPI *RemoveCommand)(KDAGENT_PROTOCOL *This, const CHAR16 *Name);

    /* A range of addresses whose content Read and Write (NULL: read-only) supply to the debugger,
     * whether or not there is memory. Only the debugger sees it, at virtual addresses.
     * EFI_ALREADY_STARTED: it overlaps another handler's. */
    EFI_STATUS(EFIAPI *AddMemory)
    (KDAGENT_PROTOCOL *This, KDAGENT_UINT64 Base, KDAGENT_UINT64 Size, KDAGENT_READ Read,
     KDAGENT_WRITE Write, void *Context);
    EFI_STATUS(EFIAPI *RemoveMemory)(KDAGENT_PROTOCOL *This, KDAGENT_UINT64 Base);

    /* User packets. SendCommand: the debugger runs Text as if its user had typed it (the protocol's
     * command string; WinDbg knows it), then the program goes on. SendRecord: Bytes under a name,
     * as lines of hexadecimal text that a reader of the debugger's output or of a recorded line
     * can put together again:
     *   {Tag OFFSET BYTES}     {gop 0000 0102...}
     *   {Tag end SIZE}
     */
    EFI_STATUS(EFIAPI *SendCommand)(KDAGENT_PROTOCOL *This, const CHAR16 *Text);
    EFI_STATUS(EFIAPI *SendRecord)
    (KDAGENT_PROTOCOL *This, const CHAR16 *Tag, const void *Bytes, UINTN Size);

    /* From here on: revision 1.1. */

    /* Prints a call stack in the debugger: of Registers (a CONTEXT as above), or with NULL of the
     * caller, with the agent's own functions before it. EFI_INVALID_PARAMETER: there is no memory
     * at Registers. */
    EFI_STATUS(EFIAPI *Backtrace)(KDAGENT_PROTOCOL *This, const void *Registers);

    /* For all programs; KDAGENT_HANDLER_FIRST until somebody says otherwise. Breakpoints and single
     * steps are always the debugger's. */
    EFI_STATUS(EFIAPI *SetExceptionPolicy)(KDAGENT_PROTOCOL *This, UINTN Policy);

    /* Faults of instructions in the image with its PE headers at Image go to Handler. NULL: no
     * longer; do that before the image goes. EFI_ALREADY_STARTED: the image has a handler.
     * EFI_UNSUPPORTED: no PE32+ image. EFI_NOT_FOUND: there is no handler to take away. */
    EFI_STATUS(EFIAPI *RegisterFaultHandler)
    (KDAGENT_PROTOCOL *This, const void *Image, KDAGENT_FAULT_HANDLER Handler, void *Context);

    /* From here on: revision 1.2. */

    /* Calls Function(Argument). EFI_SUCCESS: it returned. EFI_ABORTED: a fault of the processor,
     * in it or in whatever ran meanwhile, ended it; *Fault (NULL: not wanted) tells which. On entry
     * Fault->Registers is NULL, or room for a CONTEXT, 1232 bytes, which then has the registers at
     * the fault. A handler of the image that faulted (RegisterFaultHandler) is asked before. Calls
     * may be nested. The TPL is as before the call; what Function changed or held otherwise
     * (memory, locks, a device half programmed) stays so, and nothing is unwound: programs with
     * rt.h have rt_guard instead. Function must not leave by longjmp. */
    EFI_STATUS(EFIAPI *Guard)
    (KDAGENT_PROTOCOL *This, KDAGENT_FUNCTION Function, void *Argument, KDAGENT_FAULT *Fault);
};

/* The protocol of an earlier UEFI debug engine; programs made for it find ours under the same GUID.
 * D6EF2483-A5DE-4FA4-8BC3-839250B6FFFD */
#define KDAGENT_OUTPUT_PROTOCOL_GUID                       \
    {                                                      \
        0xd6ef2483, 0xa5de, 0x4fa4,                        \
        {                                                  \
            0x8b, 0xc3, 0x83, 0x92, 0x50, 0xb6, 0xff, 0xfd \
        }                                                  \
    }

typedef struct {
    KDAGENT_UINT64 Revision; /* 1 */
    EFI_STATUS(EFIAPI *OutputMsg)(CHAR16 *Text);
} KDAGENT_OUTPUT_PROTOCOL;

#ifdef __cplusplus
}
#endif

#endif
