/* uart16550.c - a 16550 UART, polled, with every wait bounded.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Registers and bits as in the PC16550D data sheet.
 */
#include "uart16550.h"

enum uart_register {
    UART_DATA = 0,       /* divisor low with UART_LCR_DIVISOR */
    UART_INTERRUPTS = 1, /* divisor high */
    UART_FIFO = 2,
    UART_LINE = 3,
    UART_MODEM = 4,
    UART_STATUS = 5,
    UART_SCRATCH = 7,
};

#define UART_LCR_8N1       0x03
#define UART_LCR_DIVISOR   0x80u
#define UART_FCR_ON        0xC7 /* enabled, both cleared, receive trigger at 14 */
#define UART_MCR_ON        0x0B /* DTR, RTS, OUT2 */
#define UART_MCR_LOOP      0x10
#define UART_LSR_READY     0x01
#define UART_LSR_ROOM      0x20
#define UART_LSR_IDLE      0x40
#define UART_NOTHING       0xFF
#define UART_FIFO_SIZE     16u
#define UART_CLOCK_DEFAULT 1843200u

/* A byte takes 1.1 ms at 9600 baud; the loop has no line to wait for. */
#define UART_LOOP_US    UINT64_C(20000)
#define UART_LOOP_BYTES 64u /* of the other side in one try */
#define UART_LOOP_TRIES 4u

static uint8_t get(const struct uart *uart, unsigned index)
{
    return uart->ops->get(uart->self, index);
}

static void put(const struct uart *uart, unsigned index, unsigned value)
{
    uart->ops->put(uart->self, index, (uint8_t)value);
}

static bool wait_status(const struct uart *uart, uint8_t bits, uint64_t limit)
{
    uint64_t start = uart->ops->now(uart->self);

    while ((get(uart, UART_STATUS) & bits) != bits) {
        if (uart->ops->now(uart->self) - start > limit)
            return false;
        uart->ops->relax(uart->self);
    }
    return true;
}

/* The scratch register keeps what is written, the line status is never all ones. */
static bool answers(const struct uart *uart)
{
    uint8_t scratch = get(uart, UART_SCRATCH);
    bool same = true;

    if (get(uart, UART_STATUS) == UART_NOTHING)
        return false;
    for (unsigned pattern = 0x55; pattern <= 0xAA; pattern += 0x55) {
        put(uart, UART_SCRATCH, pattern);
        same = same && get(uart, UART_SCRATCH) == pattern;
    }
    put(uart, UART_SCRATCH, scratch);
    return same;
}

static void set_divisor(const struct uart *uart, unsigned divisor)
{
    put(uart, UART_LINE, UART_LCR_8N1 | UART_LCR_DIVISOR);
    put(uart, UART_DATA, divisor & 0xFF);
    put(uart, UART_INTERRUPTS, divisor >> 8);
    put(uart, UART_LINE, UART_LCR_8N1);
}

enum loop {
    LOOP_RETURNS, /* what was sent came back */
    LOOP_BUSY,    /* only bytes of the other side came: the receiver works, the line is in use */
    LOOP_SILENT,
};

/* Real UARTs shut the line off while they loop, emulated ones let its bytes in: then they stand
 * before the pattern, or fill the FIFO so that the pattern is lost. */
static enum loop try_loop(const struct uart *uart, uint8_t pattern)
{
    put(uart, UART_FIFO, UART_FCR_ON);
    put(uart, UART_DATA, pattern);
    for (unsigned i = 0; i < UART_LOOP_BYTES; i++) {
        if (!wait_status(uart, UART_LSR_READY, UART_LOOP_US))
            return i > 0 ? LOOP_BUSY : LOOP_SILENT;
        if (get(uart, UART_DATA) == pattern)
            return LOOP_RETURNS;
    }
    return LOOP_BUSY;
}

static bool loop_returns(const struct uart *uart, uint8_t pattern)
{
    bool busy = false;

    for (unsigned i = 0; i < UART_LOOP_TRIES; i++) {
        enum loop result = try_loop(uart, pattern);

        if (result == LOOP_RETURNS)
            return true;
        busy = busy || result == LOOP_BUSY;
    }
    return busy;
}

static bool loop_works(const struct uart *uart)
{
    bool same;

    put(uart, UART_MODEM, UART_MCR_ON | UART_MCR_LOOP);
    same = loop_returns(uart, 0xAE) && loop_returns(uart, 0x51);
    put(uart, UART_MODEM, UART_MCR_ON);
    return same;
}

static void save(struct uart *uart)
{
    uart->saved.line = get(uart, UART_LINE);
    uart->saved.modem = get(uart, UART_MODEM);
    uart->saved.interrupts = get(uart, UART_INTERRUPTS);
    put(uart, UART_LINE, uart->saved.line | UART_LCR_DIVISOR);
    uart->saved.divisor_low = get(uart, UART_DATA);
    uart->saved.divisor_high = get(uart, UART_INTERRUPTS);
    put(uart, UART_LINE, uart->saved.line);
}

void uart_close(struct uart *uart)
{
    put(uart, UART_LINE, uart->saved.line | UART_LCR_DIVISOR);
    put(uart, UART_DATA, uart->saved.divisor_low);
    put(uart, UART_INTERRUPTS, uart->saved.divisor_high);
    put(uart, UART_LINE, uart->saved.line & ~UART_LCR_DIVISOR);
    put(uart, UART_INTERRUPTS, uart->saved.interrupts);
    put(uart, UART_MODEM, uart->saved.modem);
    put(uart, UART_LINE, uart->saved.line);
}

enum uart_state uart_open(struct uart *uart, uint32_t baud)
{
    uint32_t clock = uart->clock ? uart->clock : UART_CLOCK_DEFAULT;
    uint32_t divisor = baud ? clock / 16 / baud : 0;

    if (divisor == 0 || divisor > 0xFFFF)
        return UART_BAUD;
    if (!answers(uart))
        return UART_MISSING;
    /* With nobody at the other end a UART still sends; only flow control or a defect stops it. */
    if (!wait_status(uart, UART_LSR_IDLE, KDA_LINE_STUCK_US))
        return UART_STUCK;
    save(uart);
    put(uart, UART_INTERRUPTS, 0);
    set_divisor(uart, divisor);
    if (!loop_works(uart)) {
        uart_close(uart);
        return UART_BROKEN;
    }
    put(uart, UART_FIFO, UART_FCR_ON);
    return UART_OK;
}

const char *uart_state_text(enum uart_state state)
{
    switch (state) {
    case UART_OK:
        return "works";
    case UART_MISSING:
        return "there is no UART at this address";
    case UART_STUCK:
        return "the UART does not send what it was given before (flow control holds it?)";
    case UART_BROKEN:
        return "the UART fails its loop test";
    case UART_BAUD:
        return "the UART cannot be set to this baud rate";
    }
    return "?";
}

/* The receiver's error bits are of no interest: the packets have checksums. */
static size_t uart_read(void *self, uint8_t *out, size_t room)
{
    const struct uart *uart = self;
    size_t size = 0;

    while (size < room) {
        uint8_t status = get(uart, UART_STATUS);

        if (!(status & UART_LSR_READY) || status == UART_NOTHING)
            break;
        out[size++] = get(uart, UART_DATA);
    }
    return size;
}

static size_t uart_write(void *self, const uint8_t *bytes, size_t size)
{
    const struct uart *uart = self;
    size_t sent = 0;

    while (sent < size) {
        if (!wait_status(uart, UART_LSR_ROOM, KDA_LINE_STUCK_US))
            break;
        for (unsigned i = 0; i < UART_FIFO_SIZE && sent < size; i++)
            put(uart, UART_DATA, bytes[sent++]);
    }
    return sent;
}

const struct kda_transport_ops uart_transport_ops = {.read = uart_read, .write = uart_write};
