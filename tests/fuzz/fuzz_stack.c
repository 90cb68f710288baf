/* fuzz_stack.c - libFuzzer target: any bytes as two images and a stack, whose call stack the agent
 * tells.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The first byte says how many eighths each image takes, and in which of them the fault is; the
 * second is where the stack begins, and then registers follow.
 */
#include <stdlib.h>
#include <string.h>

#include "stackfake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER     (2 + 8 * 4)
#define APP        UINT64_C(0x400000)
#define CORE       UINT64_C(0x800000)
#define STACK      UINT64_C(0x100000)
#define LINE_MAX   156u
#define LINES_MAX  34u /* heading, frames, and why there are no more */
#define MOST_IMAGE 0x10000u

static unsigned lines;

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Text that a console shows in one line. It may be changed. */
static bool say(char *line, size_t size)
{
    require(size > 0 && size < LINE_MAX && strlen(line) == size && line[size - 1] == '\n');
    for (size_t i = 0; i + 1 < size; i++)
        require((unsigned char)line[i] >= 0x20 && line[i] != 0x7F);
    require(++lines <= LINES_MAX);
    memset(line, 'x', size);
    return true;
}

static uint64_t number(const uint8_t *data)
{
    uint64_t value;

    memcpy(&value, data, sizeof value);
    return value;
}

/* Copies end where the bytes do, so that a read behind them is seen. */
static uint8_t *add(const char *path, uint64_t base, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    require(copy != NULL);
    memcpy(copy, bytes, size);
    stackfake_memory(base, copy, size);
    if (path)
        stackfake_module(path, base, MOST_IMAGE);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *bytes = data + HEADER;
    size_t rest, app, core;
    uint8_t *copies[3];
    struct x64_frame frame = {.vector = 14};

    if (size < HEADER)
        return 0;
    rest = size - HEADER;
    app = rest / 8 * (data[0] & 7);
    core = (rest - app) / 8 * (data[0] >> 3 & 7);
    stackfake_clear();
    copies[0] = add("\\app.efi", APP, bytes, app);
    copies[1] = add("Core.Name.efi", CORE, bytes + app, core);
    copies[2] = add(NULL, STACK, bytes + app + core, rest - app - core);
    frame.rip = (data[0] & 0x40 ? CORE : APP) + (number(data + 2) & 0xFFFF);
    if (data[0] & 0x80)
        frame.rip = number(data + 2);
    frame.rsp = STACK + data[1];
    frame.rbp = STACK + (number(data + 10) & 0xFFF);
    frame.rbx = number(data + 18);
    frame.rsi = number(data + 26);
    lines = 0;
    agent_tell_stack(&frame, say);
    require(lines >= 2);
    for (unsigned i = 0; i < 3; i++)
        free(copies[i]);
    return 0;
}
