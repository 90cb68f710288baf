/* kd-objects.h - files and image headers that pass piece by piece in the packets of a connection.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Told of each packet once, in capture order (the first visit). No bytes are kept: each packet is
 * told which part of which object it carries, and who wants the object collects the parts.
 */
#ifndef KDLENS_PLUGIN_KD_OBJECTS_H
#define KDLENS_PLUGIN_KD_OBJECTS_H

#include "kd-session.h"

enum kd_object_kind {
    KD_OBJECT_FROM_DEBUGGER, /* a file that the target reads */
    KD_OBJECT_FROM_TARGET,   /* a file that the target writes */
    KD_OBJECT_HEADERS,       /* the first page of a module, as the debugger read it */
};

struct kd_object {
    const char *name;             /* file name without folders */
    uint8_t kind;                 /* enum kd_object_kind */
    uint64_t size;                /* bytes as they were announced, 0: not known */
    const struct kd_packet *last; /* the latest packet that carries a part of it */
    const struct kd_packet *done; /* with this packet it is complete; null: it never was */
    struct kd_object *written; /* FROM_DEBUGGER: what the target wrote to the same file, or null */
    bool refused;              /* FROM_TARGET: the debugger took not all of it */
    uint8_t *known;            /* HEADERS: a bit for each byte */
    uint32_t have;             /* HEADERS: bytes known */
};

/* What one packet carries. size 0: nothing, but it may complete the object. */
struct kd_part {
    struct kd_object *object; /* null: none */
    uint64_t offset;          /* in the object */
    uint32_t from;            /* in the packet's payload */
    uint32_t size;
};

struct kd_objects;

/* In file scope. */
struct kd_objects *kd_objects_new(void);

/* First visit: finds the part that a data packet carries. */
void kd_objects_see(struct kd_objects *objects, const struct kd_session *session,
                    const struct kd_packet *packet, const uint8_t *payload, size_t size,
                    struct kd_part *part);

/* The latest data packet of the connection, or null. */
const struct kd_packet *kd_objects_last(const struct kd_objects *objects);

#endif
