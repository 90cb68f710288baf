/* powershell.h - what the tool asks of Hyper-V, as PowerShell scripts.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A script is text that a person can read and run. The tool gives it to powershell.exe encoded, so
 * no shell or command line reads it on the way, and names stand in it as literal strings: whatever
 * a virtual machine or file is called, it stays a name. Scripts are built on every system;
 * powershell_windows.c and powershell_linux.c know where there is a PowerShell to run them.
 */
#ifndef KDLENS_POWERSHELL_H
#define KDLENS_POWERSHELL_H

#include <stdbool.h>
#include <stddef.h>

#include "problem.h"
#include "process.h"

/* A command line holds 32767 characters, and encoding takes 8 for 3 of them. */
#define POWERSHELL_SCRIPT_MAX 12000u
#define POWERSHELL_ID_SIZE    37u

struct script {
    char text[POWERSHELL_SCRIPT_MAX];
    size_t size;
    bool full;    /* something did not fit */
    bool invalid; /* a name is not text */
};

/* Starts the script: the first error ends it, with exit status 1 and its text as all there is on
 * standard error. */
void script_begin(struct script *script);

void script_end(struct script *script);

/* Text as it is; %q is one const char *, which becomes a literal string. Nothing else is
 * replaced. */
void script_add(struct script *script, const char *text, ...);

/* $vm = the one virtual machine of this name or identifier; the script ends with an error that
 * lists what there is if there is no such machine, or several. */
void script_machine(struct script *script, const char *machine);

/* False, with a problem, when what was built is not the script that was meant. */
bool script_check(const struct script *script, struct problem *problem);

/* UTF-16LE in base64, for -EncodedCommand; room: SCRIPT_ENCODED_SIZE is always enough. */
#define SCRIPT_ENCODED_SIZE (POWERSHELL_SCRIPT_MAX * 8 / 3 + 8)
void script_encode(const struct script *script, char *out, size_t room);

/* Runs the script to its end. False, with a problem, when it cannot be started or takes longer. */
bool script_run(const struct script *script, uint32_t milliseconds, struct process_result *result,
                struct problem *problem);

/* What went wrong, in the last words of a script that did. */
void script_reason(const struct process_result *result, struct problem *problem);

/* Whether this is a GUID, with or without braces; id gets it without. */
bool powershell_is_id(const char *text, char id[POWERSHELL_ID_SIZE]);

/* The identifier of the virtual machine of this name. */
bool powershell_find_machine(const char *name, char id[POWERSHELL_ID_SIZE],
                             struct problem *problem);

/* The path of the system's powershell.exe. */
bool powershell_path(char *path, size_t room, struct problem *problem);

#endif
