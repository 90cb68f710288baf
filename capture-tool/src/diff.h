/* diff.h - one of the two sessions that kdlens diff compares: its stops, modules and requests.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_DIFF_H
#define KDLENS_DIFF_H

#include "models.h"

enum diff_what { DIFF_STOPS, DIFF_MODULES, DIFF_REQUESTS, DIFF_KINDS };

#define DIFF_ITEMS_MAX ((size_t)4 << 20)

struct diff_item {
    uint32_t frame;
    uint32_t code;   /* request: ApiNumber */
    uint32_t status; /* request: of the reply ... */
    bool answered;   /* ... which the capture has */
    uint32_t index;  /* stop, module: in the model's list */
    uint32_t size;   /* request: bytes asked for, where it says */
    uint64_t address;
    uint64_t number; /* request: of its packet */
};

struct diff_items {
    struct diff_item *list;
    uint64_t *keys; /* equal where items are */
    size_t count, room;
    bool cut; /* there were more than DIFF_ITEMS_MAX */
};

struct diff_side {
    struct sessions *sessions;
    struct kda_store *store;
    struct kda_model *model;
    unsigned session; /* which of the capture; 0: none was there */
    bool addresses;   /* compare them as they are */
    struct diff_items items[DIFF_KINDS];
};

/* Reads the capture. False, with a problem. Forget it in both cases. */
bool diff_read(struct diff_side *side, const struct sessions_options *options, bool addresses,
               struct problem *problem);
void diff_forget(struct diff_side *side);

/* An item in words, without its frame. Items are equal when this text is; so an address in a module
 * is "module+offset" there, and any other is left out unless addresses are compared. */
#define DIFF_TEXT_SIZE 320u
void diff_text(const struct diff_side *side, enum diff_what what, const struct diff_item *item,
               char out[DIFF_TEXT_SIZE]);

#endif
