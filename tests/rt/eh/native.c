/* native.c - the main program of throw.cpp with the build machine's own C++ runtime.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdio.h>

#include "fixture.h"

void begin(const char *name)
{
    printf("\n%s:", name);
}

void note(const char *text)
{
    printf(" %s", text);
}

void note_number(long number)
{
    printf(" %ld", number);
}

int main(void)
{
    throw_cases(begin);
    putchar('\n');
    return 0;
}
