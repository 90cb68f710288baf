/* line.c - the UART that the options name.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "agent_state.h"
#include "cpu.h"
#include "x64.h"

#define DRAIN_SILENCE_US 30000u /* WinDbg calls every 100 to 700 ms (seen) */
#define DRAIN_LIMIT_US   1000000u

static uint8_t port_get(void *self, unsigned index)
{
    const struct agent_line *line = self;

    return x64_in8((uint16_t)(line->base + index));
}

static void port_put(void *self, unsigned index, uint8_t value)
{
    const struct agent_line *line = self;

    x64_out8((uint16_t)(line->base + index), value);
}

static uint8_t memory_get(void *self, unsigned index)
{
    const struct agent_line *line = self;

    return ((const volatile uint8_t *)(uintptr_t)line->base)[index];
}

static void memory_put(void *self, unsigned index, uint8_t value)
{
    const struct agent_line *line = self;

    ((volatile uint8_t *)(uintptr_t)line->base)[index] = value;
}

static void relax(void *self)
{
    (void)self;
    x64_pause();
}

static const struct uart_ops at_ports = {port_get, port_put, x64_now, relax};
static const struct uart_ops in_memory = {memory_get, memory_put, x64_now, relax};

static bool find(struct agent_line *line)
{
    const struct kda_options *options = &agent.options;
    struct pci_address at = {options->pci_bus, options->pci_device, options->pci_function};

    line->uart.ops = &at_ports;
    if (options->port == KDA_PORT_IO) {
        line->base = options->io_base;
        return true;
    }
    line->on_pci = pci_serial_open(&line->pci, options->pci_any ? NULL : &at);
    line->base = line->pci.base;
    if (line->on_pci && line->pci.memory)
        line->uart.ops = &in_memory;
    return line->on_pci;
}

enum uart_state agent_line_open(void)
{
    struct agent_line *line = &agent.line;
    enum uart_state state;

    line->uart.self = line;
    if (!find(line))
        return UART_MISSING;
    state = uart_open(&line->uart, agent.options.baud);
    line->open = state == UART_OK;
    if (!line->open && line->on_pci)
        pci_serial_close(&line->pci);
    agent.transport.ops = &uart_transport_ops;
    agent.transport.self = &line->uart;
    return state;
}

/* A debugger that has waited since power-on has called many times; what is still on its way from
 * then would be answered call by call. Its next call comes after the silence. */
void agent_line_drain(void)
{
    uint64_t start = x64_now(NULL), last = start;
    uint8_t bytes[64];

    while (x64_now(NULL) - last < DRAIN_SILENCE_US && x64_now(NULL) - start < DRAIN_LIMIT_US) {
        if (agent.transport.ops->read(agent.transport.self, bytes, sizeof bytes) > 0)
            last = x64_now(NULL);
        else
            x64_pause();
    }
}

void agent_line_close(void)
{
    if (!agent.line.open)
        return;
    agent.line.open = false;
    uart_close(&agent.line.uart);
    if (agent.line.on_pci)
        pci_serial_close(&agent.line.pci);
}
