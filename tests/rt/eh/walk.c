/* walk.c - call stacks of a fault and of a catch block, as a debugger wants them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Frames are named by comparing their function's start with those of the functions here. Those are
 * not static and their calls are not the last thing they do, so each has a frame.
 */
#include "rt/rt.h"

#include "fixture.h"

enum { MAX_FRAMES = 32, STACK_SIZE = 65536 };

void *_exception_info(void);
uint64_t EfiMain(void *image, void *system_table);
void outer(void);
void inner(void);
void fails(void);

static const struct {
    const void *function;
    const char *name;
} names[] = {
    {(const void *)fails, "fails"},     {(const void *)inner, "inner"},
    {(const void *)outer, "outer"},     {(const void *)walk_case, "walk_case"},
    {(const void *)run, "run"},         {(const void *)EfiMain, "EfiMain"},
    {(const void *)catcher, "catcher"}, {(const void *)in_catch, "in_catch"},
};

static bool read_memory(void *context, uint64_t address, void *buffer, size_t size)
{
    const uint8_t *from = (const uint8_t *)(uintptr_t)address;
    uint8_t *to = buffer;

    (void)context;
    for (size_t i = 0; i < size; i++)
        to[i] = from[i];
    return true;
}

static void note_frame(const struct img_walk_frame *frame)
{
    uint64_t start;

    if (!frame->image)
        return;
    start = frame->image->base + frame->frame.primary.begin;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((uint64_t)(uintptr_t)names[i].function == start)
            note(names[i].name);
    }
    if (frame->guessed)
        note("guess");
}

static void note_stack(const struct rt_context *from)
{
    struct img_registers registers;
    struct img_walk walk = {
        .find = rt_find_image, .memory = {read_memory, NULL}, .max_frames = MAX_FRAMES};
    struct img_walk_frame frame;

    registers.rip = from->rip;
    for (unsigned i = 0; i < IMG_GPR_COUNT; i++)
        registers.gpr[i] = from->gpr[i];
    walk.stack_low = registers.gpr[IMG_RSP];
    walk.stack_high = walk.stack_low + STACK_SIZE;
    img_walk_start(&walk, &registers);
    while (img_walk_next(&walk, &frame) == IMG_WALK_FRAME)
        note_frame(&frame);
}

__attribute__((noinline)) void fails(void)
{
    volatile char room[9000]; /* a big frame */

    room[0] = 1;
    read_nowhere();
    note(room[0] ? "not reached" : "");
}

__attribute__((noinline)) void inner(void)
{
    fails();
    note("not reached");
}

__attribute__((noinline)) void outer(void)
{
    inner();
    note("not reached");
}

static int look(const struct rt_pointers *pointers)
{
    note_stack(pointers->context);
    return 1;
}

/* Called in a catch block. */
void in_catch(void)
{
    __try {
        read_nowhere();
    } __except (look(_exception_info())) {
        note_number(0);
    }
}

__attribute__((noinline)) void walk_case(void)
{
    begin("walk_fault");
    __try {
        outer();
    } __except (look(_exception_info())) {
        begin("walk_catch");
    }
    catcher();
    __asm__ volatile(""); /* a call at the end would not leave a frame */
}
