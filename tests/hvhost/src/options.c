/* options.c - the names of the options, and QEMU's fw_cfg where they come from.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * fw_cfg: QEMU, docs/specs/fw_cfg.txt; ports of x86.
 */
#include "options.h"

#include <stddef.h>

#include "log.h"
#include "x86.h"

#define FW_CFG_SELECT    0x510
#define FW_CFG_DATA      0x511
#define FW_CFG_SIGNATURE 0
#define FW_CFG_DIRECTORY 0x19
#define FW_CFG_NAME_SIZE 56u
#define FW_CFG_FILES_MAX 1024u
#define WORD_MAX         40u

enum kind { FLAG, NUMBER, VERSION, CORRUPTION };

struct option {
    const char *name;
    enum kind kind;
    size_t offset;
};

#define OPTION(name, kind, member)                   \
    {                                                \
        name, kind, offsetof(struct options, member) \
    }

static const struct option table[] = {
    OPTION("no-firmware", FLAG, no_firmware),
    OPTION("eoi", FLAG, eoi),
    OPTION("monitor", FLAG, monitor),
    OPTION("net", FLAG, net),
    OPTION("framed", FLAG, framed),
    OPTION("selftest", FLAG, selftest),
    OPTION("no-client", FLAG, no_client),
    OPTION("stay", FLAG, stay),
    OPTION("linger", NUMBER, linger),
    OPTION("verbose", FLAG, verbose),
    OPTION("max-version", VERSION, faults.max_version),
    OPTION("refuse", NUMBER, faults.refuse),
    OPTION("fail-state", NUMBER, faults.state),
    OPTION("no-multiclient", FLAG, faults.no_multiclient),
    OPTION("wrong-id", FLAG, faults.wrong_id),
    OPTION("busy", NUMBER, faults.busy),
    OPTION("bad-id", NUMBER, faults.bad_id),
    OPTION("drop-message", NUMBER, faults.drop),
    OPTION("drop-type", NUMBER, faults.drop_type),
    OPTION("double-message", NUMBER, faults.twice),
    OPTION("double-type", NUMBER, faults.double_type),
    OPTION("delay-message", NUMBER, faults.delay_message),
    OPTION("no-offer", FLAG, faults.no_offer),
    OPTION("nack-gpadl", NUMBER, faults.nack_gpadl),
    OPTION("delay-gpadl", NUMBER, faults.delay_gpadl),
    OPTION("nack-open", NUMBER, faults.nack_open),
    OPTION("delay-open", NUMBER, faults.delay_open),
    OPTION("drop-signal", NUMBER, faults.drop_signal),
    OPTION("double-signal", FLAG, faults.double_signal),
    OPTION("delay-signal", NUMBER, faults.delay_signal),
    OPTION("late-interrupt", NUMBER, faults.late_interrupt),
    OPTION("no-interrupt", FLAG, faults.no_interrupt),
    OPTION("lose-interrupt", NUMBER, faults.lose_interrupt),
    OPTION("spurious", NUMBER, faults.spurious),
    OPTION("stall", NUMBER, faults.stall),
    OPTION("trickle", NUMBER, faults.trickle),
    OPTION("corrupt", CORRUPTION, faults.corrupt),
    OPTION("corrupt-at", NUMBER, faults.corrupt_at),
    OPTION("rescind-after", NUMBER, faults.rescind_after),
    OPTION("rescinds", NUMBER, faults.rescinds),
    OPTION("reoffer", NUMBER, faults.reoffer),
    OPTION("away-after", NUMBER, faults.away_after),
    OPTION("away", NUMBER, faults.away),
};

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static bool number(const char *text, uint32_t *out)
{
    uint64_t value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > UINT32_MAX)
            return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool set(const struct option *option, struct options *options, const char *value)
{
    uint32_t *out = (uint32_t *)(void *)((uint8_t *)options + option->offset);

    switch (option->kind) {
    case FLAG:
        *out = 1;
        return !value;
    case NUMBER:
        return value && number(value, out);
    case VERSION:
        *out = value ? fault_version(value) : 0;
        return *out != 0;
    case CORRUPTION:
        *out = value ? (uint32_t)fault_corrupt(value) : CORRUPT_NOTHING;
        return *out != CORRUPT_NOTHING;
    }
    return false;
}

/* A word is "name" or "name=value" and is cut at its '='. */
static bool apply(struct options *options, char *word)
{
    const char *value = NULL;

    for (char *at = word; *at; at++) {
        if (*at == '=') {
            *at = 0;
            value = at + 1;
            break;
        }
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (same(table[i].name, word))
            return set(&table[i], options, value);
    }
    return false;
}

bool options_parse(struct options *options, struct log *log, const char *text)
{
    bool good = true;

    while (*text) {
        char word[WORD_MAX];
        size_t size = 0;

        while (text[size] && text[size] != ':' && size < sizeof word - 1) {
            word[size] = text[size];
            size++;
        }
        word[size] = 0;
        if (size > 0 && !apply(options, word)) {
            log_line(log, LOG_FAIL, "option %s: there is no such option or value", word);
            good = false;
        }
        text += size;
        while (*text && *text != ':')
            text++;
        text += *text == ':';
    }
    return good;
}

static uint32_t read_big_endian(unsigned bytes)
{
    uint32_t value = 0;

    while (bytes-- > 0)
        value = value << 8 | x86_in8(FW_CFG_DATA);
    return value;
}

/* The size of the file, and its selector; 0: there is none. */
static uint32_t find(const char *name, uint16_t *selector)
{
    uint32_t count;

    x86_out16(FW_CFG_SELECT, FW_CFG_SIGNATURE);
    if (read_big_endian(4) != UINT32_C(0x51454D55)) /* "QEMU" */
        return 0;
    x86_out16(FW_CFG_SELECT, FW_CFG_DIRECTORY);
    count = read_big_endian(4);
    for (uint32_t i = 0; i < count && i < FW_CFG_FILES_MAX; i++) {
        uint32_t size = read_big_endian(4);
        uint16_t key = (uint16_t)read_big_endian(2);
        char text[FW_CFG_NAME_SIZE + 1] = {0};

        read_big_endian(2);
        for (unsigned k = 0; k < FW_CFG_NAME_SIZE; k++)
            text[k] = (char)x86_in8(FW_CFG_DATA);
        if (same(text, name)) {
            *selector = key;
            return size;
        }
    }
    return 0;
}

void options_read(char *text, uint32_t size)
{
    uint16_t selector = 0;
    uint32_t length = find("opt/hvhost", &selector);

    if (length >= size)
        length = size - 1;
    if (length > 0)
        x86_out16(FW_CFG_SELECT, selector);
    for (uint32_t i = 0; i < length; i++)
        text[i] = (char)x86_in8(FW_CFG_DATA);
    text[length] = 0;
}
