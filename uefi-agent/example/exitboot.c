/* exitboot.c - what an operating system's loader does last: it takes the machine over.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "exitboot.h"

#define TRIES        8u
#define MAP_SIZE     65536u
#define UART_STATUS  5u
#define UART_ROOM    0x20u
#define UART_PATIENT 1000000u /* looks at the status, until a byte is given up */

static uint8_t map[MAP_SIZE];

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void write_text(uint16_t port, const char *text)
{
    for (; *text; text++) {
        for (uint32_t i = 0; i < UART_PATIENT; i++) {
            if (in8((uint16_t)(port + UART_STATUS)) & UART_ROOM)
                break;
        }
        out8(port, (uint8_t)*text);
    }
}

static void write_hex(uint16_t port, uint32_t value)
{
    char digits[9];

    for (unsigned i = 0; i < 8; i++)
        digits[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
    digits[8] = 0;
    write_text(port, digits);
}

/* A map is out of date as soon as something is allocated, which the handlers of the event may do:
 * then the call fails, and may be repeated with a new map (UEFI 2.10, 7.4.6). */
static EFI_STATUS leave_firmware(EFI_HANDLE image, const EFI_BOOT_SERVICES *services)
{
    EFI_STATUS status = EFI_ABORTED;

    for (unsigned i = 0; i < TRIES; i++) {
        UINTN size = sizeof map, key = 0, descriptor = 0;
        uint32_t version = 0;

        status = services->GetMemoryMap(&size, map, &key, &descriptor, &version);
        if (EFI_ERROR(status))
            return status;
        status = services->ExitBootServices(image, key);
        if (status != EFI_INVALID_PARAMETER)
            return status;
    }
    return status;
}

EFI_STATUS KdExampleExitBoot(EFI_HANDLE image, EFI_SYSTEM_TABLE *table, uint16_t port,
                             uint32_t (*work)(uint32_t number))
{
    EFI_STATUS status = leave_firmware(image, table->BootServices);

    if (EFI_ERROR(status))
        return status;
    write_text(port, "kdexample: without boot services, result ");
    write_hex(port, work(5));
    write_text(port, "\r\n");
    table->RuntimeServices->ResetSystem(EfiResetCold, EFI_SUCCESS, 0, NULL);
    return EFI_SUCCESS;
}
