/* dump.h - what a dump of a stop is made of, taken out of a session's model.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_DUMP_H
#define KDLENS_DUMP_H

#include "analysis/dump.h"
#include "models.h"

/* Owns all that dump refers to. */
struct dump_facts {
    struct kda_dump dump;
    const struct kda_stop *stop;
    uint32_t at;         /* memory and modules are as of this frame ... */
    bool as_of_frame;    /* ... and registers, too; else they are as of the beginning of the stop */
    bool registers_read; /* of the stop's processor; else only its pc and a few more are known */
    size_t named;        /* modules with the record that names their PDB */
    struct kda_dump_exception exception;
    struct kda_dump_thread *threads;
    struct kda_dump_module *modules;
};

/* at 0: the end of the stop. False, with a problem. Free them in both cases. */
bool dump_gather(struct dump_facts *facts, const struct models_seat *seat,
                 const struct kda_stop *stop, uint32_t at, struct problem *problem);
void dump_forget(struct dump_facts *facts);

/* --- dump_kernel.c: what a kernel dump is made of, for people, and as members of a fact */

void dump_kernel_tell(const struct kda_kernel_dump *kernel);
void dump_kernel_tell_json(const struct kda_kernel_dump *kernel);
/* Each hole is a fact of its own. */
void dump_kernel_holes_json(const struct kda_kernel_dump *kernel, unsigned session);

#endif
