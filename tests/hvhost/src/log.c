/* log.c - lines of text for QEMU's debug console, and time.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "log.h"

#include <stdarg.h>
#include <stddef.h>

#include "x86.h"

#define LINE_MAX   240u
#define PM_TIMER   0x608 /* of QEMU's ICH9 with OVMF: 24 bits */
#define PM_MASK    UINT32_C(0xFFFFFF)
#define PM_HERTZ   UINT64_C(3579545)
#define PM_MEASURE 35795u /* 10 ms */
#define LOOKS      8u
#define DIGITS_MAX 20u

struct line {
    char text[LINE_MAX];
    size_t size;
};

static void put(struct line *line, char letter)
{
    if (line->size < sizeof line->text - 1)
        line->text[line->size++] = letter;
}

static void put_text(struct line *line, const char *text)
{
    while (*text)
        put(line, *text++);
}

static void put_number(struct line *line, uint64_t value, unsigned base, unsigned width)
{
    char digits[DIGITS_MAX];
    unsigned count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value || count < width);
    while (count > 0)
        put(line, digits[--count]);
}

static void put_argument(struct line *line, char kind, va_list *arguments)
{
    switch (kind) {
    case 's':
        put_text(line, va_arg(*arguments, const char *));
        break;
    case 'u':
        put_number(line, va_arg(*arguments, uint32_t), 10, 1);
        break;
    case 'x':
        put_number(line, va_arg(*arguments, uint32_t), 16, 1);
        break;
    case 'U':
        put_number(line, va_arg(*arguments, uint64_t), 10, 1);
        break;
    case 'X':
        put_number(line, va_arg(*arguments, uint64_t), 16, 1);
        break;
    default:
        put(line, kind);
        break;
    }
}

static void begin(struct line *line, const struct log *log, const char *kind)
{
    uint64_t now = log_now(log);

    line->size = 0;
    put_number(line, now / 1000000, 10, 1);
    put(line, '.');
    put_number(line, now % 1000000, 10, 6);
    put(line, ' ');
    put_text(line, kind);
    put(line, ' ');
}

static void end(struct line *line)
{
    line->text[line->size++] = '\n';
    x86_out_string(LOG_PORT, line->text, line->size);
}

/* Both clocks at one moment: the look that took least, for this processor may be put aside in the
 * middle of one. */
static uint32_t look(uint64_t *counter)
{
    uint64_t least = UINT64_MAX;
    uint32_t timer = 0;

    for (unsigned i = 0; i < LOOKS; i++) {
        uint64_t before = x86_rdtsc(), after;
        uint32_t value = x86_in32(PM_TIMER) & PM_MASK;

        after = x86_rdtsc();
        if (after - before < least) {
            least = after - before;
            *counter = before;
            timer = value;
        }
    }
    return timer;
}

void log_start(struct log *log)
{
    uint64_t first, last = 0, us;
    uint32_t start, passed;

    start = look(&first);
    *log = (struct log){.start = first};
    do {
        passed = (look(&last) - start) & PM_MASK;
    } while (passed < PM_MEASURE);
    us = passed * UINT64_C(1000000) / PM_HERTZ;
    log->ticks_per_us = (last - first) / us ? (last - first) / us : 1;
}

uint64_t log_now(const struct log *log)
{
    return (x86_rdtsc() - log->start) / log->ticks_per_us;
}

void log_line(struct log *log, enum log_kind kind, const char *format, ...)
{
    static const char *const names[] = {"BAD",  "WARN", "FAULT", "INFO",
                                        "PASS", "FAIL", "SKIP",  "FW"};
    struct line line;
    va_list arguments;

    log->bad += kind == LOG_BAD;
    log->warnings += kind == LOG_WARN;
    log->faults += kind == LOG_FAULT;
    begin(&line, log, names[kind]);
    va_start(arguments, format);
    for (; *format; format++) {
        if (*format == '%' && format[1])
            put_argument(&line, *++format, &arguments);
        else
            put(&line, *format);
    }
    va_end(arguments);
    end(&line);
}

void log_tally(struct log *log, const char *why)
{
    struct line line;

    begin(&line, log, "TALLY");
    put_text(&line, why);
    put_text(&line, " bad=");
    put_number(&line, log->bad, 10, 1);
    put_text(&line, " warnings=");
    put_number(&line, log->warnings, 10, 1);
    put_text(&line, " faults=");
    put_number(&line, log->faults, 10, 1);
    end(&line);
}
