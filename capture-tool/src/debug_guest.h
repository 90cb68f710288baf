/* debug_guest.h - images in a stopped target's memory: cached and counted reads, headers, metadata.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Made for one command, as memory may be another one after it. What the target's memory says is
 * hostile: lib/image checks it, and the number of requests that it can cause is bounded here.
 */
#ifndef KDLENS_DEBUG_GUEST_H
#define KDLENS_DEBUG_GUEST_H

#include "debug_session.h"
#include "image/aot.h"
#include "image/image.h"

struct debug_guest;

struct guest_image {
    struct debug_guest *guest;
    uint64_t base;
    uint32_t size;          /* as the list of modules says */
    enum img_result opened; /* IMG_OK: image is of use */
    struct img_image image;
    bool looked, has_aot;
    struct img_aot aot;
};

/* At most this many requests; beyond them reads fail. NULL: no memory. */
struct debug_guest *guest_new(struct debug_session *session, unsigned requests);
void guest_free(struct debug_guest *guest);

/* All or nothing. context is a struct debug_guest: it is the read of struct img_memory. */
bool guest_read(void *context, uint64_t address, void *buffer, size_t size);

/* The module's image, valid until the next call; NULL: in no module. */
struct guest_image *guest_image_at(struct debug_guest *guest, uint64_t address);

/* The metadata of NativeAOT that the target's own search finds in the image; NULL: none. */
const struct img_aot *guest_aot(struct guest_image *image);

/* Requests so far, and whether they were all that there may be. */
unsigned guest_requests(const struct debug_guest *guest);
bool guest_exhausted(const struct debug_guest *guest);

/* Whether the target did not answer, or somebody pressed Ctrl-C: the command is to end. */
bool guest_failed(const struct debug_guest *guest, struct problem *problem);

#endif
