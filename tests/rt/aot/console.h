/* console.h - lines of text out of a test application, in firmware and in the host's loader.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * In firmware bytes go to the first serial port, past the firmware's console, which would break
 * long lines. tests/rt/aot/pe_run.c starts the same image on the host with a system table of its
 * own.
 */
#ifndef KDLENS_TEST_AOT_CONSOLE_H
#define KDLENS_TEST_AOT_CONSOLE_H

#include <stdint.h>

/* "KDHOST" and two zeros; a firmware's table begins with "IBI SYST". */
#define HOST_SIGNATURE UINT64_C(0x000054534f48444b)

struct host_table {
    uint64_t signature;
    void(__attribute__((ms_abi)) * put)(char character);
    void(__attribute__((ms_abi)) * stop)(void); /* ends the process, status 0 */
};

void console_open(const struct host_table *table);
void say(const char *text);
void say_number(uint64_t number);
void say_hex(uint64_t number);

/* For what cannot return: the host's process ends, a machine waits for its own end. */
_Noreturn void console_stop(void);

#endif
