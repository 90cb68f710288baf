/* console.h - lines of text out of a test application, in firmware and in the host's loader.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * In firmware bytes go to the first serial port, past the firmware's console, which would break
 * long lines. run_pe starts the same image on the host, without a system table.
 */
#ifndef KDLENS_TEST_AOT_CONSOLE_H
#define KDLENS_TEST_AOT_CONSOLE_H

#include <stdint.h>

/* What the entry got. */
void console_open(void *image, const void *system_table);
void say(const char *text);
void say_number(uint64_t number);
void say_hex(uint64_t number);

/* For what cannot return: the host's process ends, a machine waits for its own end. */
_Noreturn void console_stop(void);

#endif
