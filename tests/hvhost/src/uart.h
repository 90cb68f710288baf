/* uart.h - a polled 16550 with a FIFO, for the bridge and for control.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef HVHOST_UART_H
#define HVHOST_UART_H

#include <stdbool.h>
#include <stdint.h>

/* False: there is none at this port. */
bool uart_start(uint16_t port);

/* Bytes that are there, at most room of them. */
uint32_t uart_read(uint16_t port, uint8_t *out, uint32_t room);

/* As many of the bytes as it takes at once. */
uint32_t uart_write(uint16_t port, const uint8_t *bytes, uint32_t size);

#endif
