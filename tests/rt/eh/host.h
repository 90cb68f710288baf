/* host.h - between run_pe and the program it loads.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TESTS_RT_EH_HOST_H
#define KDLENS_TESTS_RT_EH_HOST_H

#include "rt/rt.h"

struct host {
    RT_ABI void (*write)(const char *text);
    RT_ABI void (*stop)(void);                                    /* ends the process, status 0 */
    RT_ABI enum rt_fault_answer (*fault)(struct rt_fault *fault); /* the program's, for signals */
};

#endif
