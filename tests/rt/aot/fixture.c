/* fixture.c - runs every line of the fixtures' dispatch-expected.h on our runtime.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Linked with one of the objects of the folder KDLENS_FIXTURES, whose headers it includes.
 */
#include "start.h"

#include "dispatch.h"

#ifndef CACHED
#define CACHED true
#endif

int _fltused; /* a compiler refers to it where floating point is used */

static unsigned passed, failed;

int FixtureCallback(int value)
{
    if (value >= 0) {
        say("trace ");
        say_number((uint64_t)value);
        say("\n");
        say_stack();
    }
    return value + 100;
}

void FixtureFail(int reason)
{
    say("FixtureFail ");
    say_number((uint64_t)reason);
    say("\n");
    say_stack();
    end_test();
    console_stop();
}

static void check(const char *call, bool right)
{
    if (right) {
        passed++;
        return;
    }
    failed++;
    say("wrong ");
    say(call);
    say("\n");
}

#define FIX(call, result) check(#call, (call) == (result));

static void run_first(void){
#include "dispatch-expected.h"
}

uint64_t EfiMain(void *image, void *system_table);

uint64_t EfiMain(void *image, void *system_table)
{
    if (!start_managed(image, system_table, CACHED))
        return 1;
    run_first();
    say("passed ");
    say_number(passed);
    say(" failed ");
    say_number(failed);
    say("\n");
    end_test();
    return 0;
}
