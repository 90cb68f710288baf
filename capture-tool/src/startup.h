/* startup.h - what the program does before anything else.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * system_linux.c and system_windows.c implement it.
 */
#ifndef KDLENS_STARTUP_H
#define KDLENS_STARTUP_H

/* The program's arguments as UTF-8, just as they were given; *argc is their number. On Windows,
 * main gets them in the code page of the system and with * replaced by names of files; the console
 * is made to show UTF-8 until the program ends. NULL: no memory. */
char **startup_arguments(int *argc, char **argv);

#endif
