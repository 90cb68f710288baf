/* carve.h - a PE file out of an image in captured memory.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The file has the layout that the image's headers describe: headers, then each section where its
 * PointerToRawData says. What a loader changes stays as it was in memory: relocations are those of
 * the address it was loaded at. Bytes that no packet brought are zero and count as holes. Bytes of
 * a section's raw data beyond its size in memory, and what a file has behind its sections (a
 * certificate, debug data), were never loaded: they are zero, too, and no holes.
 *
 * What headers say is not believed: a file may have KDA_CARVE_MAX bytes.
 */
#ifndef ANALYSIS_CARVE_H
#define ANALYSIS_CARVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/memory.h"
#include "image/image.h"

/* Memory as lib/image reads images: RVA 0 is at `base`. The port refers to the place, and reads all
 * that was asked for or nothing. */
struct kda_image_place {
    const struct kda_memory *memory;
    struct kda_view view;
    uint64_t base;
};
struct img_source kda_image_port(struct kda_image_place *place);

#define KDA_CARVE_MAX   ((size_t)128 << 20)
#define KDA_CARVE_PARTS (IMG_MAX_SECTIONS + 1)

enum kda_carve_values {
    KDA_CARVE_LATEST,    /* as the memory was */
    KDA_CARVE_UNWRITTEN, /* as if the debugger had written nothing */
    KDA_CARVE_LOADED,    /* the first value of each byte, the debugger's left out */
};

struct kda_carve_choice {
    uint32_t at; /* as of this frame; KDA_END: the end of the capture */
    enum kda_carve_values values;
    uint32_t loaded; /* LOADED: values from before this frame are of something else; 0: none */
};

/* The headers (name "") or a section. */
struct kda_carve_part {
    char name[9];
    uint32_t rva;
    uint32_t file_offset;
    uint32_t file_size;   /* bytes in the file ... */
    uint32_t mapped;      /* ... and of these in memory */
    uint32_t known;       /* of the mapped ones */
    uint32_t first, last; /* smallest and largest frame that states one of them; 0: none known */
};

struct kda_carved {
    struct img_image image; /* its base is where it was; its source cannot be read any more */
    uint64_t preferred;     /* ImageBase, as the headers in memory have it */
    uint8_t *bytes;         /* the file */
    uint8_t *known;         /* a bit for each of its bytes, the lowest first */
    size_t size;
    size_t mapped, captured;                      /* sums over the parts */
    struct kda_carve_part parts[KDA_CARVE_PARTS]; /* in the order of the headers */
    unsigned part_count;
};

/* Where bytes are missing: a run inside one part. */
struct kda_carve_hole {
    unsigned part;
    uint32_t rva;
    uint32_t file_offset;
    uint32_t size;
};

/* base: where the image begins in memory. NULL when it could be done, else why not, part of a
 * sentence. Free what it made in both cases. */
const char *kda_carve(const struct kda_memory *memory, uint64_t base,
                      const struct kda_carve_choice *choice, struct kda_carved *carved);
void kda_carved_free(struct kda_carved *carved);

/* The holes in the order of parts and addresses. *hole all zero at first. False at the end. */
bool kda_carved_next_hole(const struct kda_carved *carved, struct kda_carve_hole *hole);

#endif
