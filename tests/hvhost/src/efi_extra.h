/* efi_extra.h - what this program uses of UEFI and PI beyond the agent's efi.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef HVHOST_EFI_EXTRA_H
#define HVHOST_EFI_EXTRA_H

#include "efi.h"

/* PI 1.8, volume 2: the protocol by which programs hook interrupt vectors. */
typedef void(EFIAPI *EFI_CPU_INTERRUPT_HANDLER)(int64_t vector, uint8_t *context);

typedef struct EFI_CPU_ARCH_PROTOCOL {
    void *FlushDataCache;
    void *EnableInterrupt;
    void *DisableInterrupt;
    void *GetInterruptState;
    void *Init;
    EFI_STATUS(EFIAPI *RegisterInterruptHandler)
    (struct EFI_CPU_ARCH_PROTOCOL *This, int64_t InterruptType,
     EFI_CPU_INTERRUPT_HANDLER InterruptHandler);
} EFI_CPU_ARCH_PROTOCOL;

/* Offsets in the context that a handler gets (UEFI 2.10, 18.2, EFI_SYSTEM_CONTEXT_X64). */
#define EFI_CONTEXT_DR6    552u
#define EFI_CONTEXT_DR7    560u
#define EFI_CONTEXT_RFLAGS 616u
#define EFI_CONTEXT_RIP    672u

typedef struct {
    uint32_t Type;
    uint32_t Pad;
    uint64_t PhysicalStart;
    uint64_t VirtualStart;
    uint64_t NumberOfPages;
    uint64_t Attribute;
} EFI_MEMORY_DESCRIPTOR;

#define EFI_CONVENTIONAL_MEMORY 7u
#define EFI_ACPI_RECLAIM_MEMORY 9u
#define EFI_ACPI_MEMORY_NVS     10u

/* clang-format off */
#define EFI_CPU_ARCH_PROTOCOL_GUID \
    {0x26BACCB1, 0x6F42, 0x11D4, {0xBC, 0xE7, 0x00, 0x80, 0xC7, 0x3C, 0x88, 0x81}}
/* clang-format on */

#endif
