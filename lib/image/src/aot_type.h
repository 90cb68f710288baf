/* aot_type.h - what the versions of a MethodTable differ in; generic arguments; slots.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_IMAGE_AOT_TYPE_H
#define KDLENS_IMAGE_AOT_TYPE_H

#include "image/aot.h"

/* Flags that announce a field; 0: there is no such flag in this version. */
struct aot_layout {
    uint16_t map, finalizer, optional, sealed, generic;
    uint8_t element_shift;
    bool composition; /* arguments and variances in one record */
    bool parameters_in_base_size;
};

const struct aot_layout *aot_layout(const struct img_aot *aot);

bool aot_is_array(const struct img_aot_type *type);
bool aot_is_reference(const struct img_aot *aot, const struct img_aot_type *type);
/* System.Object */
bool aot_is_root(const struct img_aot *aot, const struct img_aot_type *type);

enum { AOT_INVARIANT = 0, AOT_COVARIANT = 1, AOT_CONTRAVARIANT = 2 };

struct aot_argument {
    uint32_t type;
    uint8_t variance;
};

/* 0 for what is no generic definition. */
unsigned aot_parameters(const struct img_aot *aot, const struct img_aot_type *definition);
bool aot_argument(const struct img_aot *aot, const struct img_aot_type *type,
                  const struct img_aot_type *definition, unsigned index,
                  struct aot_argument *argument);

/* Numbers of implementation slots that are none. */
enum { AOT_AMBIGUOUS = 0xfffe, AOT_ABSTRACT = 0xffff };

/* The code in a slot that owner's dispatch map names: virtual slots are those of the object's type,
 * which may override, sealed ones are the owner's. */
enum img_aot_status aot_slot(const struct img_aot *aot, const struct img_aot_type *object,
                             const struct img_aot_type *owner, uint16_t slot, uint32_t *target);

/* Where the entries of that kind begin, and the bytes of each. */
uint32_t aot_entries(const struct img_aot_map *map, enum img_aot_entry_kind kind);
uint32_t aot_entry_size(enum img_aot_entry_kind kind);

/* The generic context of the entry at this RVA in owner's map; 0: none, or no static entry. */
enum img_aot_status aot_context(const struct img_aot *aot, const struct img_aot_type *owner,
                                enum img_aot_entry_kind kind, uint32_t at, uint32_t *context);

#endif
