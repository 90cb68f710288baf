/* selftest.h - whether this QEMU runs a guest as it must, tried from inside the guest.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef HVHOST_SELFTEST_H
#define HVHOST_SELFTEST_H

#include <stdbool.h>

#include "efi_extra.h"

struct host;

/* A PASS or FAIL line for each case; true: all passed. */
bool selftest_run(struct host *host, EFI_BOOT_SERVICES *services);

#endif
