/* capture_none.c - capture.h in a build without libpcap.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "capture.h"

#include <stdio.h>

#ifdef _WIN32
#define INSTEAD                                                                              \
    "on Windows Wireshark itself captures with Npcap: choose the network interface and the " \
    "capture filter \"udp portrange 50000-50039\""
#else
#define INSTEAD                                                                                \
    "build it with the option KDLENS_PCAP=ON (Debian: package libpcap-dev), or let Wireshark " \
    "capture: choose the network interface and the filter \"udp portrange 50000-50039\""
#endif

bool capture_available(void)
{
    return false;
}

int capture_run(const struct capture_options *options, const struct tap_hooks *hooks)
{
    (void)options, (void)hooks;
    fprintf(stderr, "kdlens: this kdlens was built without libpcap; " INSTEAD "\n");
    return EXIT_FAILED;
}

static bool say_why(struct problem *problem)
{
    problem_set(problem, "this kdlens was built without libpcap; " INSTEAD);
    return false;
}

bool capture_check_filter(const char *expression, struct problem *problem)
{
    (void)expression;
    return say_why(problem);
}

bool capture_interfaces(void (*each)(void *context, const struct capture_interface *interface),
                        void *context, struct problem *problem)
{
    (void)each, (void)context;
    return say_why(problem);
}
