/* uart16550.h - a 16550 UART, at I/O ports or in memory, polled.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_UART16550_H
#define KDA_UART16550_H

#include <stdbool.h>
#include <stdint.h>

#include "transport.h"

/* The registers of one UART, and a clock in microseconds; tests give their own. */
struct uart_ops {
    uint8_t (*get)(void *self, unsigned index);
    void (*put)(void *self, unsigned index, uint8_t value);
    uint64_t (*now)(void *self);
    void (*relax)(void *self);
};

enum uart_state {
    UART_OK,
    UART_MISSING, /* nothing answers at the address */
    UART_STUCK,   /* a UART, but what it was given to send before does not leave it */
    UART_BROKEN,  /* a UART, but its loop returns nothing, and nobody sends either */
    UART_BAUD,    /* the rate asked for cannot be made of its clock */
};

struct uart {
    const struct uart_ops *ops;
    void *self;
    uint32_t clock; /* Hz; 0: the PC's 1843200 */
    struct {
        uint8_t interrupts, line, modem, divisor_low, divisor_high;
    } saved;
};

/* Takes the UART over: 8N1 at baud, FIFO on, no interrupts. Bytes still to be sent are given time
 * to leave; bytes received are lost by the loop test. Anything but UART_OK: left as it was. */
enum uart_state uart_open(struct uart *uart, uint32_t baud);
void uart_close(struct uart *uart);

const char *uart_state_text(enum uart_state state);

/* self is a struct uart. */
extern const struct kda_transport_ops uart_transport_ops;

#endif
