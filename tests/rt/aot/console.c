/* console.c - lines of text out of a test application. See console.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "console.h"

#include <stddef.h>

#include "eh/host.h"

#define SERIAL_PORT   0x3f8
#define SERIAL_STATUS (SERIAL_PORT + 5)
#define SERIAL_EMPTY  0x20
#define SERIAL_TRIES  1000000

static const struct host *host;

void console_open(void *image, const void *system_table)
{
    host = system_table ? NULL : image;
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void put(char character)
{
    for (unsigned i = 0; i < SERIAL_TRIES && !(in8(SERIAL_STATUS) & SERIAL_EMPTY); i++)
        ;
    __asm__ volatile("outb %0, %1" : : "a"(character), "Nd"((uint16_t)SERIAL_PORT));
}

void say(const char *text)
{
    if (host)
        host->write(text);
    for (; !host && *text; text++)
        put(*text);
}

static void say_based(uint64_t number, unsigned base)
{
    char digits[21];
    unsigned at = sizeof digits - 1;

    digits[at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number);
    say(digits + at);
}

void say_number(uint64_t number)
{
    say_based(number, 10);
}

void say_hex(uint64_t number)
{
    say_based(number, 16);
}

_Noreturn void console_stop(void)
{
    if (host)
        host->stop();
    for (;;)
        __asm__ volatile("pause");
}
