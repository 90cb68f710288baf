/* pipe_windows.h - names, access rights and peers of named pipes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Who may come to a pipe that the tool makes: the user who runs it, SYSTEM and administrators, from
 * this machine. The user's own debugger and Wireshark are let in, elevated or not, and so are
 * services that open a virtual machine's serial line on the user's behalf (VMware runs shared
 * machines as SYSTEM), none of whom this could keep out of the user's affairs. SYSTEM and
 * administrators may not make further instances of the pipe. Hyper-V needs no entry: its worker
 * process makes the pipe of a COM port itself, and the tool connects to that.
 */
#ifndef KDLENS_PIPE_WINDOWS_H
#define KDLENS_PIPE_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>

#include <winsock2.h>

#include <windows.h>

#include "problem.h"

#define PIPE_PATH_SIZE 256u /* the system's limit for the name */

/* "kd" -> "\\.\pipe\kd"; a name that begins with "\\" or "//" is a path already. */
bool pipe_path(const char *name, wchar_t path[PIPE_PATH_SIZE], struct problem *problem);

/* A byte pipe that this process serves, overlapped. access: PIPE_ACCESS_...; first: there must not
 * be one of this name. INVALID_HANDLE_VALUE, with a problem. */
HANDLE pipe_make(const wchar_t *path, DWORD access, bool first, struct problem *problem);

/* "windbg.exe, process 1234", of the client of a server's handle or the reverse; "" if the system
 * does not say. */
void pipe_peer(HANDLE pipe, bool client, char *out, size_t room);

#endif
