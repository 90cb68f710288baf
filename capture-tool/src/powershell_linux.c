/* powershell_linux.c - there is no Hyper-V here.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "powershell.h"

bool powershell_path(char *path, size_t room, struct problem *problem)
{
    (void)path;
    (void)room;
    problem_set(problem, "this needs Windows with Hyper-V; --dry-run prints the PowerShell that "
                         "would run there");
    return false;
}
