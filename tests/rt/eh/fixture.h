/* fixture.h - what the parts of the exception test program share.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TESTS_RT_EH_FIXTURE_H
#define KDLENS_TESTS_RT_EH_FIXTURE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes a word of the trace. */
void note(const char *text);
void note_number(long number);

/* Starts the trace of a case. */
void begin(const char *name);

void throw_cases(void (*begin)(const char *name));
void fault_cases(void);
void seh_cases(void);
void async_cases(void (*catch_faults)(bool yes));
void cookie_cases(void);
void end_cases(void);
void walk_case(void);
void run(void);

/* Calls in_catch in a catch block. */
void catcher(void);
void in_catch(void);

/* Faults of each kind, in a function of their own. */
void read_nowhere(void);
void write_nowhere(void);
void divide_by_zero(void);
void undefined_instruction(void);
void not_canonical(void);

/* Calls function with known values in all registers that it must keep; how many it did not. */
long keeps_registers(void (*function)(void));

/* Throws out of a catch block, and catches that. */
void out_of_catch(void);

/* Faults in a try block with catch (...) and an object. */
void catch_read(void);

/* Exceptions from another file. */
void raise_int_7(void);
void raise_pointer(void);

/* Runs function and returns why the runtime said that the program must end; -1 when it did not. */
int ends_with(void (*function)(void));

#ifdef __cplusplus
}
#endif

#endif
