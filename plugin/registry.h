/* registry.h - the protocol tables of lib/kd as Wireshark fields, and layouts as trees.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every row of the .def files becomes a field at registration; showing a struct is one call. What a
 * field is named, how wide it is and in which direction it means something is said in lib/kd alone.
 */
#ifndef KDLENS_PLUGIN_REGISTRY_H
#define KDLENS_PLUGIN_REGISTRY_H

#include "compat.h"
#include "kd/describe.h"

struct kd_view;

struct kd_registry_protocols {
    int kd, kdnet, vmbus;
};

/* Registers a field for each row, with the protocol that its filter begins with. */
void kd_registry_register(const struct kd_registry_protocols *protocols);

#define KD_SHOW_ALL UINT_MAX

/* What of a layout to show. */
struct kd_show {
    unsigned direction; /* KD_DIR_REQ or KD_DIR_REP; 0: only rows that mean the same in both */
    const struct kd_view *view; /* names addresses; may be null */
    unsigned elements;          /* show at most so many elements of arrays of integers */
    int first;                  /* the data begins at this byte of the layout */
};

/* Adds a subtree named by the layout's title with the fields that lie in tvb[offset, offset +
 * size). A field cut by either end is left out. Returns the subtree, or null when there is nothing
 * to show. */
proto_tree *kd_show_layout(proto_tree *tree, tvbuff_t *tvb, int offset, int size,
                           enum kd_layout_id layout, const struct kd_show *show);

/* The same fields without a subtree of their own. */
void kd_show_fields(proto_tree *tree, tvbuff_t *tvb, int offset, int size, enum kd_layout_id layout,
                    const struct kd_show *show);

/* The name of an NTSTATUS, or null. Logarithmic. */
const char *kd_ntstatus_name(uint32_t status);

/* The labels of a set as Wireshark wants them; they live as long as the program. */
const value_string *kd_value_strings(enum kd_set_id set);

#endif
