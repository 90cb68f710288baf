/* firmware_client.h - the VMBus client that "the firmware" has: it owns SINT 2 and never rests.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Runs as the guest. Hyper-V's Gen-2 firmware keeps a connection of its own until an operating
 * system starts; whoever comes second has to leave it alone. This client writes a packet every 10
 * milliseconds and checks what comes back, so it notices whoever does not.
 */
#ifndef HVHOST_FIRMWARE_CLIENT_H
#define HVHOST_FIRMWARE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "efi_extra.h"

struct host;

#define FIRMWARE_PAGES      10u
#define FIRMWARE_PACKET_MAX 1500u

struct firmware_client {
    struct host *host;
    EFI_BOOT_SERVICES *services;
    uint8_t *pages;
    EFI_EVENT timer, leaving;
    struct client bus;
    uint32_t sequence; /* of the packet that is on its way */
    bool waiting;      /* for it */
    uint32_t waited;   /* ticks */
    uint32_t rounds, errors;
};

/* Connects; NULL: it lives now. Otherwise what failed. */
const char *firmware_start(struct firmware_client *client, struct host *host,
                           EFI_BOOT_SERVICES *services);

/* One line for the log. */
void firmware_report(const struct firmware_client *client, const char *when);

#endif
