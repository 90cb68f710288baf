/* cookies.c - stack cookies as language handlers check them; faults that C++ does not take.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "rt/rt.h"

#include "fixture.h"

enum { DAMAGE = 8, ALIGNMENTS = 4, STEP = 16 };

long gs_seh(void (*function)(void), long damage);
long gs_finally(void (*function)(void), long damage);
long gs_unwanted(void (*function)(void), long damage);
long gs_eh(void (*function)(void), long damage);
void gs_aligned(void (*function)(void), long damage);
long fh4_plain(void (*function)(void));

static void harmless(void)
{
}

__attribute__((noinline)) static void outside(long (*function)(void (*)(void), long))
{
    __try {
        note_number(function(read_nowhere, 0));
    } __except (1) {
        note("outside");
    }
}

/* At each of the distances that the stack pointer can have to a multiple of 64. */
__attribute__((noinline)) static int aligned(unsigned distance)
{
    volatile char *room = __builtin_alloca((size_t)distance * STEP + 1);
    int caught = 0;

    room[0] = 0;
    __try {
        gs_aligned(read_nowhere, 0);
    } __except (1) {
        caught = 1;
    }
    return caught;
}

static void smashed_seh(void)
{
    gs_seh(read_nowhere, DAMAGE);
}

/* Only the second pass wants this one's handler; the cookie counts in the first. */
static void smashed_finally(void)
{
    gs_finally(read_nowhere, DAMAGE);
}

static void smashed_unwanted(void)
{
    gs_unwanted(read_nowhere, DAMAGE);
}

static void smashed_eh(void)
{
    gs_eh(raise_int_7, DAMAGE);
}

static void smashed_aligned(void)
{
    gs_aligned(read_nowhere, DAMAGE);
}

static void sound(void)
{
    int count = 0;

    begin("gs_seh");
    note_number(gs_seh(read_nowhere, 0));
    note_number(gs_seh(harmless, 0));
    begin("gs_finally");
    outside(gs_finally);
    begin("gs_unwanted");
    outside(gs_unwanted);
    begin("gs_eh");
    note_number(gs_eh(read_nowhere, 0));
    note_number(gs_eh(raise_int_7, 0));
    begin("gs_aligned");
    for (unsigned i = 0; i < ALIGNMENTS; i++)
        count += aligned(i);
    note_number(count);
}

/* catch (...) of /EHs code is for what is thrown, where the program wants it so; of code with
 * faults in mind it is for all. What is between is destroyed anyway. */
static void faults_uncaught(void)
{
    rt_catch_faults(false);
    begin("faults_uncaught");
    outside(gs_eh);
    note_number(gs_eh(raise_int_7, 0));
    note_number(fh4_plain(read_nowhere));
    __try {
        catch_read();
    } __except (1) {
        note("outside");
    }
    rt_catch_faults(true);
    begin("faults_caught");
    outside(gs_eh);
    catch_read();
}

void cookie_cases(void)
{
    static void (*const smashed[])(void) = {smashed_seh, smashed_finally, smashed_unwanted,
                                            smashed_eh, smashed_aligned};

    sound();
    begin("gs_smashed");
    for (unsigned i = 0; i < sizeof smashed / sizeof smashed[0]; i++)
        note_number(ends_with(smashed[i]));
    faults_uncaught();
}
