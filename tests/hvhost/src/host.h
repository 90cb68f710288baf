/* host.h - everything the host knows, in one place; there is no other state.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef HVHOST_HOST_H
#define HVHOST_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "bridge.h"
#include "control.h"
#include "guest.h"
#include "log.h"
#include "options.h"
#include "svm.h"
#include "synic.h"
#include "trace.h"
#include "vmbus_host.h"

struct host {
    struct log log;
    struct options options;
    struct guest guest;
    struct svm svm;
    struct synic synic;
    struct vmbus vmbus;
    struct bridge bridge;
    struct control control;
    struct trace trace;
    bool firmware_seen; /* the firmware's client has connected once */
    bool firmware_owns; /* it lives: what it set up is nobody else's to touch */
    uint64_t exits;
    uint64_t status_time; /* of the last status line */
};

#endif
