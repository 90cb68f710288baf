/* hyperv.h - the hypervisor as the agent uses it: hypercalls, and one interrupt source of the
 * synthetic interrupt controller (SynIC) beside those of the firmware.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * What the firmware has set up (its identity, hypercall page, message and event page, SINTs) is
 * used as it stands and never changed; what nobody has set up is, and taken back by close. Facts:
 * Hypervisor Top Level Functional Specification.
 */
#ifndef KDA_HYPERV_H
#define KDA_HYPERV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmbus.h"

enum kda_hyperv_state {
    KDA_HYPERV_OK,
    KDA_HYPERV_NONE,     /* no hypervisor with the Hv#1 interface */
    KDA_HYPERV_RIGHTS,   /* it does not let us post messages or signal events */
    KDA_HYPERV_MSR,      /* a register of it cannot be read or written */
    KDA_HYPERV_NO_CALLS, /* the hypercall page stays empty */
    KDA_HYPERV_NO_SINT,  /* all SINTs are taken */
    KDA_HYPERV_NO_GATE,  /* no vector of the interrupt table can be had */
};

/* Pages of 4096 bytes, zeroed, whose addresses are physical ones, too. */
struct kda_hyperv_memory {
    void *code; /* executable, for the hypercall page */
    void *data; /* KDA_HYPERV_PAGES of them */
};
#define KDA_HYPERV_PAGES 3u /* messages, events, hypercall input */

/* The interrupt descriptor table, as the adapter needs it. */
struct kda_hyperv_gates {
    bool (*hook)(unsigned vector); /* false: this one cannot be had */
    void (*unhook)(unsigned vector);
};

/* Members are the adapter's. */
struct kda_hyperv {
    struct kda_hyperv_memory memory;
    const struct kda_hyperv_gates *gates;
    uint64_t (*now)(void *self);
    uint32_t processor; /* index of this virtual processor */
    unsigned vector;    /* 0: none hooked */
    unsigned sint;      /* in use */
    bool sint_on;
    bool auto_eoi;
    uint64_t sint_before;
    void *hypercalls;
    uint8_t *messages, *events; /* the pages */
    bool own_identity, own_hypercalls, own_messages, own_events, own_control;
};

/* Whether there is a hypervisor to try; by CPUID alone. */
bool kda_hyperv_present(void);

/* Sets up, with one SINT of ours unmasked. A fault of an instruction must not end the program
 * (x64_start). Anything but OK: all is as it was. */
enum kda_hyperv_state kda_hyperv_open(struct kda_hyperv *hyperv,
                                      const struct kda_hyperv_memory *memory,
                                      const struct kda_hyperv_gates *gates,
                                      uint64_t (*now)(void *self));
/* Only after the connection is unloaded. No firmware services. */
void kda_hyperv_close(struct kda_hyperv *hyperv);

/* Whether the pages that were found at open still are where they were. */
bool kda_hyperv_usable(const struct kda_hyperv *hyperv);

/* To be called for every interrupt of our vector. */
void kda_hyperv_end_interrupt(const struct kda_hyperv *hyperv);

const char *kda_hyperv_text(enum kda_hyperv_state state);

/* self is a struct kda_hyperv. */
extern const struct kda_vmbus_ports kda_hyperv_ports;

#endif
