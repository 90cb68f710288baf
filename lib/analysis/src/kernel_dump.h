/* kernel_dump.h - the parts of a complete kernel dump. See analysis/dump.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef ANALYSIS_KERNEL_DUMP_H
#define ANALYSIS_KERNEL_DUMP_H

#include "dump_parts.h"

#define KERNEL_PAGE   4096u
#define KERNEL_LEVELS 4u  /* of page tables */
#define KERNEL_RUNS   42u /* that a header takes */

/* Bytes that the dump has at an address whatever was captured there; below: only where nothing
 * was. */
struct kernel_patch {
    uint64_t address;
    size_t size;
    const uint8_t *bytes;
    bool below;
};

/* Physical pages that follow one another. */
struct kernel_run {
    uint64_t first, count;
};

struct kda_kernel_dump {
    const struct kda_dump *dump;
    struct kda_kernel_facts facts;

    struct dump_head made;   /* bytes that are made up, at facts.made_at; whole pages */
    size_t directory_offset; /* in it: the process's directory table base; 0: there is none */
    uint32_t processors;
    uint64_t data_block, module_list;
    kd_u64 list_pointer;          /* the latter, for a patch */
    uint8_t *specials;            /* one after the other, of the threads */
    struct kernel_patch *patches; /* later ones are over earlier ones */
    size_t patch_count;

    uint64_t tables[KERNEL_LEVELS]; /* pages by level, the one that maps pages first */
    uint64_t first;                 /* page number of the top table; tables and pages follow */
    struct kernel_run runs[KERNEL_RUNS];
    size_t run_count;
    size_t own_run; /* which of them is not captured physical memory */
};

/* --- kernel_pages.c: which pages of virtual memory there are, and what is in them */

/* Bits 12 to 47 of an address: in this order, the addresses that four levels reach ascend. */
typedef uint64_t kernel_page;

#define KERNEL_NO_PAGE UINT64_MAX

struct kernel_walk {
    const struct kda_kernel_dump *kernel;
    struct kda_extent extent; /* pages of it are to come; size 0: none */
    uint64_t address;         /* extents behind it are to come */
    bool ended;               /* no extent is to come */
    kernel_page patched;      /* next page of a patch */
    kernel_page next;         /* no page before it is to come */
};

void kernel_walk_begin(struct kernel_walk *walk, const struct kda_kernel_dump *kernel);
/* KERNEL_NO_PAGE at the end. */
kernel_page kernel_walk_next(struct kernel_walk *walk);

uint64_t kernel_page_address(kernel_page page);

/* What the dump has in the page; known[i]: it was captured or made. False: nothing of it is. */
bool kernel_page_read(const struct kda_kernel_dump *kernel, kernel_page page, uint8_t *out,
                      bool *known);
/* The same of captured physical memory. */
bool kernel_physical_read(const struct kda_kernel_dump *kernel, uint64_t number, uint8_t *out,
                          bool *known);

/* Captured bytes at addresses that are in no page. */
uint64_t kernel_beyond(const struct kda_kernel_dump *kernel);

/* --- kernel_made.c: what the session did not tell */

/* NULL, or why it cannot be. */
const char *kernel_make(struct kda_kernel_dump *kernel);

#endif
