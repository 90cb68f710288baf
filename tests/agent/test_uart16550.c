/* test_uart16550.c - the UART driver against a UART made of registers.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Registers behave as the PC16550D data sheet says; each case breaks one thing.
 */
#include "uart16550.h"

#include "check.h"

#define DATA    0
#define IER     1
#define FIFO    2
#define LCR     3
#define MCR     4
#define LSR     5
#define SCRATCH 7

struct chip {
    bool missing, stuck, deaf_loop;
    unsigned chatter;  /* bytes of the other side that come before anything else */
    unsigned overruns; /* so often they come faster than they are read: what was sent is lost */
    uint8_t registers[8];
    uint8_t divisor[2];
    uint8_t received[64];
    size_t received_size;
    uint8_t sent[256];
    size_t sent_size;
    uint64_t time;
};

static void arrive(struct chip *chip, uint8_t byte)
{
    if (chip->received_size < sizeof chip->received)
        chip->received[chip->received_size++] = byte;
}

static uint8_t get(void *self, unsigned index)
{
    struct chip *chip = self;
    uint8_t byte;

    if (chip->missing)
        return 0xFF;
    if (index <= IER && chip->registers[LCR] & 0x80)
        return chip->divisor[index];
    if (index == LSR)
        return (uint8_t)((chip->received_size ? 0x01 : 0) | (chip->stuck ? 0 : 0x60));
    if (index != DATA)
        return chip->registers[index];
    if (chip->received_size == 0)
        return 0;
    byte = chip->received[0];
    memmove(chip->received, chip->received + 1, --chip->received_size);
    return byte;
}

static void put(void *self, unsigned index, uint8_t value)
{
    struct chip *chip = self;

    if (chip->missing)
        return;
    if (index <= IER && chip->registers[LCR] & 0x80) {
        chip->divisor[index] = value;
    } else if (index == DATA && chip->registers[MCR] & 0x10) {
        for (; chip->chatter > 0; chip->chatter--)
            arrive(chip, 'i');
        for (unsigned i = 0; chip->overruns > 0 && i < 16; i++)
            arrive(chip, 'i');
        if (chip->overruns > 0)
            chip->overruns--;
        else if (!chip->deaf_loop)
            arrive(chip, value);
    } else if (index == DATA) {
        if (chip->sent_size < sizeof chip->sent)
            chip->sent[chip->sent_size++] = value;
    } else if (index == FIFO) {
        if (value & 2)
            chip->received_size = 0;
    } else {
        chip->registers[index] = value;
    }
}

static uint64_t now(void *self)
{
    struct chip *chip = self;

    return chip->time += 10;
}

static void relax(void *self)
{
    (void)self;
}

static const struct uart_ops ops = {get, put, now, relax};

static void opens_at_115200(void)
{
    struct chip chip = {.registers = {[LCR] = 0x1B, [IER] = 0x05, [MCR] = 0x03},
                        .divisor = {0x0C, 0x01}};
    struct uart uart = {.ops = &ops, .self = &chip};

    CHECK_EQ_U64(uart_open(&uart, 115200), UART_OK);
    CHECK_EQ_U64(chip.divisor[0], 1);
    CHECK_EQ_U64(chip.divisor[1], 0);
    CHECK_EQ_U64(chip.registers[LCR], 0x03);
    CHECK_EQ_U64(chip.registers[IER], 0);
    CHECK_EQ_U64(chip.registers[MCR] & 0x10, 0);
    uart_close(&uart);
    CHECK_EQ_U64(chip.divisor[0], 0x0C);
    CHECK_EQ_U64(chip.divisor[1], 0x01);
    CHECK_EQ_U64(chip.registers[LCR], 0x1B);
    CHECK_EQ_U64(chip.registers[IER], 0x05);
    CHECK_EQ_U64(chip.registers[MCR], 0x03);
}

static void divides_as_the_data_sheet_says(void)
{
    struct chip chip = {.time = 0};
    struct uart uart = {.ops = &ops, .self = &chip};

    /* Table of the data sheet for 1.8432 MHz: 9600 baud, divisor 12; 300 baud, 384. */
    CHECK_EQ_U64(uart_open(&uart, 9600), UART_OK);
    CHECK_EQ_U64(chip.divisor[0], 12);
    CHECK_EQ_U64(uart_open(&uart, 300), UART_OK);
    CHECK_EQ_U64(chip.divisor[0] | chip.divisor[1] << 8, 384);
    CHECK_EQ_U64(uart_open(&uart, 230400), UART_BAUD);
    CHECK_EQ_U64(uart_open(&uart, 0), UART_BAUD);
    CHECK_EQ_U64(uart_open(&uart, 1), UART_BAUD);
}

static void tells_what_is_wrong(void)
{
    struct chip missing = {.missing = true}, stuck = {.stuck = true}, broken = {.deaf_loop = true};
    struct uart uart = {.ops = &ops, .self = &missing};

    CHECK_EQ_U64(uart_open(&uart, 115200), UART_MISSING);
    uart.self = &stuck;
    CHECK_EQ_U64(uart_open(&uart, 115200), UART_STUCK);
    uart.self = &broken;
    CHECK_EQ_U64(uart_open(&uart, 115200), UART_BROKEN);
    CHECK_EQ_U64(broken.registers[MCR] & 0x10, 0);
}

/* A debugger that calls during the loop test is not a defect. */
static void works_while_the_other_side_sends(void)
{
    for (unsigned chatter = 1; chatter < 63; chatter++) {
        struct chip chip = {.chatter = chatter};
        struct uart uart = {.ops = &ops, .self = &chip};

        CHECK_EQ_U64(uart_open(&uart, 115200), UART_OK);
    }
}

/* The FIFO of 16 bytes is full of them when the pattern is sent: once, or each time. */
static void works_while_the_other_side_floods(void)
{
    for (unsigned overruns = 1; overruns < 20; overruns++) {
        struct chip chip = {.overruns = overruns};
        struct uart uart = {.ops = &ops, .self = &chip};

        CHECK_EQ_U64(uart_open(&uart, 115200), UART_OK);
        CHECK_EQ_U64(chip.registers[MCR] & 0x10, 0);
        CHECK_EQ_U64(chip.received_size, 0);
    }
}

static void sends_and_receives(void)
{
    struct chip chip = {.time = 0};
    struct uart uart = {.ops = &ops, .self = &chip};
    uint8_t text[100], got[8];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)i;
    CHECK_EQ_U64(uart_open(&uart, 115200), UART_OK);
    CHECK_EQ_U64(uart_transport_ops.read(&uart, got, sizeof got), 0);
    CHECK_EQ_U64(uart_transport_ops.write(&uart, text, sizeof text), sizeof text);
    CHECK_EQ_U64(chip.sent_size, sizeof text);
    CHECK_EQ_MEM(chip.sent, text, sizeof text);
    for (uint8_t i = 0; i < 10; i++)
        arrive(&chip, (uint8_t)(i + 40));
    CHECK_EQ_U64(uart_transport_ops.read(&uart, got, sizeof got), 8);
    CHECK_EQ_MEM(got, text + 40, 8);
    CHECK_EQ_U64(uart_transport_ops.read(&uart, got, sizeof got), 2);
    chip.stuck = true;
    CHECK_EQ_U64(uart_transport_ops.write(&uart, text, 5), 0);
    chip.missing = true;
    CHECK_EQ_U64(uart_transport_ops.read(&uart, got, sizeof got), 0);
}

KD_TEST_MAIN({"opens at 115200", opens_at_115200}, {"divisors", divides_as_the_data_sheet_says},
             {"what is wrong", tells_what_is_wrong},
             {"other side sends", works_while_the_other_side_sends},
             {"other side floods", works_while_the_other_side_floods},
             {"sends and receives", sends_and_receives})
