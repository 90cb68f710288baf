/* aot.h - what an image that .NET's NativeAOT compiler made says about itself: method names, types,
 * interface dispatch.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Four generations of the format are read; the header's number tells them apart, and it is not the
 * product's: 8.0 is .NET 7, 9.1 is .NET 8, 10.1 is .NET 9, 16.0 is .NET 10. Any other is refused.
 * All places are RVAs. Pointers in the image count from the image's base, wherever that is: the
 * same functions read a file, a loaded image, and the running program's own.
 *
 * Use: img_aot_open; if there is a dehydrated part, img_aot_hydrate and img_aot_overlay (a loaded
 * image wrote it out itself at start-up); then the rest. Nothing is allocated. Every number of the
 * image is checked; nothing recurses, and work on one request is bounded by named limits.
 *
 * Limitations: the base type of an array is not in its MethodTable, so a look-up in an array ends
 * with the array's own dispatch map.
 */
#ifndef KDLENS_IMAGE_AOT_H
#define KDLENS_IMAGE_AOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/image.h"

enum img_aot_status {
    IMG_AOT_OK,
    IMG_AOT_END,        /* of a list */
    IMG_AOT_NO_HEADER,  /* not made by NativeAOT */
    IMG_AOT_VERSION,    /* a header of a version that is not known; its number is in img_aot */
    IMG_AOT_NO_SECTION, /* the image does not have this */
    IMG_AOT_DAMAGED,    /* something leads out of the image or contradicts itself */
    IMG_AOT_LIMIT,      /* more steps, or deeper, than any real image needs */
    IMG_AOT_ROOM,       /* the caller's buffer is too small */
    IMG_AOT_NOT_FOUND,  /* no such name, no implementation */
    IMG_AOT_AMBIGUOUS,  /* two default implementations, neither more special */
    IMG_AOT_ABSTRACT,   /* a default implementation that was made abstract again */
};

/* "leads out of the image or contradicts itself", ... */
const char *img_aot_text(enum img_aot_status status);

enum img_aot_section_id {
    IMG_AOT_STATICS = 201,
    IMG_AOT_DISPATCH_MAPS = 203, /* 8.0 only */
    IMG_AOT_TYPE_MANAGER = 204,
    IMG_AOT_EAGER_CONSTRUCTORS = 205,
    IMG_AOT_FROZEN = 206,
    IMG_AOT_DEHYDRATED = 207,
    IMG_AOT_MODULE_INITIALISERS = 213,
    IMG_AOT_METADATA = 313,
    IMG_AOT_METHODS = 327,
};

struct img_aot_section {
    int32_t id;
    uint32_t start;
    uint32_t size; /* 0 when has_end is false: the row does not say */
    bool has_end;
};

struct img_aot {
    const struct img_image *image;
    uint32_t header;
    uint16_t major, minor;
    uint16_t count; /* sections */
    struct img_aot_section metadata, methods;
    const uint8_t *hydrated; /* img_aot_overlay */
    uint32_t hydrated_at, hydrated_size;
};

/* Looks for the header and validates it. VERSION: there is one, of aot->major.minor. */
enum img_aot_status img_aot_open(struct img_aot *aot, const struct img_image *image);
/* The same for a header whose place is known: start-up code knows it. */
enum img_aot_status img_aot_open_at(struct img_aot *aot, const struct img_image *image,
                                    uint32_t header);

/* The row of this number. */
enum img_aot_status img_aot_section(const struct img_aot *aot, unsigned index,
                                    struct img_aot_section *section);
enum img_aot_status img_aot_find_section(const struct img_aot *aot, int32_t id,
                                         struct img_aot_section *section);

/* The register with the cell at an interface call: r11 from 16.0 on, r10 before. */
bool img_aot_cell_in_r11(const struct img_aot *aot);

/* --- Dehydrated data */

/* Where it belongs and how many bytes it becomes. With out (room bytes) it is written there;
 * pointers are those of the image's base. NO_SECTION when the image has none. */
enum img_aot_status img_aot_hydrate(const struct img_aot *aot, uint8_t *out, size_t room,
                                    uint32_t *at, uint32_t *size);
/* From now on these bytes count as the image's own at this place. They must stay. */
void img_aot_overlay(struct img_aot *aot, const uint8_t *bytes, uint32_t at, uint32_t size);

/* --- Names of methods */

struct img_aot_method {
    uint32_t rva;
    uint32_t owner, name, signature, arguments; /* in the metadata, as the image encodes them */
    bool has_signature, has_arguments;
    bool hidden; /* StackTraceHidden */
};

/* A walk over all methods with a name, in the image's order. */
struct img_aot_methods {
    const struct img_aot *aot;
    uint32_t at, end, left;
    struct img_aot_method method; /* fields keep their value until the image changes them */
};

enum img_aot_status img_aot_methods(const struct img_aot *aot, struct img_aot_methods *walk);
enum img_aot_status img_aot_next_method(struct img_aot_methods *walk,
                                        struct img_aot_method *method);
/* The method whose code starts at this RVA. */
enum img_aot_status img_aot_method_at(const struct img_aot *aot, uint32_t rva,
                                      struct img_aot_method *method);

/* A caller's buffer; text is always ended by NUL. Control characters become '?'. */
struct img_aot_name {
    char *text;
    size_t room;
    size_t length;
    bool cut;         /* the name is longer, this is its beginning */
    unsigned unknown; /* parts that are not understood, '?' in the text */
};

/* "System.String.CompareTo"; with parameters "System.String.CompareTo(System.Object)". */
enum img_aot_status img_aot_method_name(const struct img_aot *aot,
                                        const struct img_aot_method *method, bool parameters,
                                        struct img_aot_name *name);

/* The name of the function that rva is in, and how far behind its start rva is. Only a row of the
 * exception directory says where a function ends: NOT_FOUND for code without one, and for a
 * function whose start has no name, whatever has one before it. */
enum img_aot_status img_aot_name_of(const struct img_aot *aot, uint32_t rva, bool parameters,
                                    struct img_aot_name *name, uint32_t *offset);

/* --- Types */

struct img_aot_type {
    uint32_t rva;
    uint16_t component; /* component size, extra flags or number of generic parameters */
    uint16_t flags;
    uint32_t base_size;
    uint32_t related; /* parent, or element type of an array; 0: none */
    uint16_t virtuals, interfaces;
    uint32_t slots, interface_list;
    uint32_t map, sealed, definition, arguments; /* 0: none */
};

enum img_aot_status img_aot_type(const struct img_aot *aot, uint32_t rva,
                                 struct img_aot_type *type);
enum img_aot_status img_aot_interface(const struct img_aot *aot, const struct img_aot_type *type,
                                      unsigned index, uint32_t *interface);

enum img_aot_entry_kind {
    IMG_AOT_STANDARD,
    IMG_AOT_DEFAULT,
    IMG_AOT_STATIC,
    IMG_AOT_DEFAULT_STATIC,
    IMG_AOT_ENTRY_KINDS,
};

struct img_aot_map {
    uint32_t at;
    uint16_t counts[IMG_AOT_ENTRY_KINDS];
};

struct img_aot_entry {
    enum img_aot_entry_kind kind;
    uint32_t interface; /* RVA of its MethodTable */
    uint16_t slot, implementation;
    bool sealed;      /* a sealed slot of the type with the map, else a virtual one */
    uint32_t target;  /* RVA of code, as in the type with the map; 0: none */
    uint32_t context; /* static ones: RVA of the MethodTable that the code wants; 0: none */
};

enum img_aot_status img_aot_map(const struct img_aot *aot, const struct img_aot_type *type,
                                struct img_aot_map *map);
/* index counts through all kinds. */
enum img_aot_status img_aot_map_entry(const struct img_aot *aot, const struct img_aot_type *type,
                                      const struct img_aot_map *map, unsigned index,
                                      struct img_aot_entry *entry);

/* --- Interface dispatch */

/* What code a call of this slot of the interface reaches in an object of this type. */
enum img_aot_status img_aot_resolve(const struct img_aot *aot, uint32_t type, uint32_t interface,
                                    uint16_t slot, uint32_t *target);
/* The same for a static member of the interface, as the type implements it. *context: RVA of the
 * MethodTable that shared generic code is to be called with; 0: it wants none. */
enum img_aot_status img_aot_resolve_static(const struct img_aot *aot, uint32_t type,
                                           uint32_t interface, uint16_t slot, uint32_t *target,
                                           uint32_t *context);
/* Can a reference to `from` be used as one to `to`? OK or NOT_FOUND. */
enum img_aot_status img_aot_assignable(const struct img_aot *aot, uint32_t from, uint32_t to);

#define IMG_AOT_CELL_SIZE 16u

/* What an interface dispatch cell is for. cache: its second word as it is on disk. */
enum img_aot_status img_aot_cell(const struct img_aot *aot, uint32_t cell, uint64_t cache,
                                 uint32_t *interface, uint16_t *slot);

#endif
