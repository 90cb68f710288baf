/* uart.c - a 16550 as QEMU has it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "uart.h"

#include "x86.h"

#define INTERRUPTS  1u
#define FIFO        2u
#define LINE        3u
#define MODEM       4u
#define STATUS      5u
#define SCRATCH     7u
#define FIFO_ON     0xC7u /* trigger at 14: as many bytes QEMU hands over at once */
#define LINE_8N1    0x03u
#define MODEM_READY 0x03u /* DTR, RTS */
#define DATA_READY  0x01u
#define FIFO_EMPTY  0x20u
#define FIFO_SIZE   16u
#define PATTERN     0x5Au

bool uart_start(uint16_t port)
{
    x86_out8((uint16_t)(port + SCRATCH), PATTERN);
    if (x86_in8((uint16_t)(port + SCRATCH)) != PATTERN)
        return false;
    x86_out8((uint16_t)(port + INTERRUPTS), 0);
    x86_out8((uint16_t)(port + LINE), LINE_8N1);
    x86_out8((uint16_t)(port + FIFO), FIFO_ON);
    x86_out8((uint16_t)(port + MODEM), MODEM_READY);
    return true;
}

uint32_t uart_read(uint16_t port, uint8_t *out, uint32_t room)
{
    uint32_t size = 0;

    while (size < room && x86_in8((uint16_t)(port + STATUS)) & DATA_READY)
        out[size++] = x86_in8(port);
    return size;
}

uint32_t uart_write(uint16_t port, const uint8_t *bytes, uint32_t size)
{
    uint32_t done = 0;

    while (done < size && x86_in8((uint16_t)(port + STATUS)) & FIFO_EMPTY) {
        for (uint32_t i = 0; i < FIFO_SIZE && done < size; i++)
            x86_out8(port, bytes[done++]);
    }
    return done;
}
