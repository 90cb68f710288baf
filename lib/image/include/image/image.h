/* image.h - a PE image read through a port: headers, sections, exports, debug record.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The same readers work on a running program's own memory, on a file, and on a guest's memory over
 * a debug connection: all bytes come through struct img_source. Nothing that an image says is
 * believed: every read is checked against the image's size and against what the source has, and
 * every count that bounds a loop is bounded itself.
 */
#ifndef KDLENS_IMAGE_IMAGE_H
#define KDLENS_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMG_MAX_SECTIONS 96 /* as many as Windows' loader takes */
#define IMG_DIRECTORIES  16
#define IMG_MAX_PATH     260
#define IMG_MAX_NAMES    65536 /* exports: ordinals have 16 bits */

enum img_result {
    IMG_OK,
    IMG_UNREADABLE, /* the source does not have the bytes */
    IMG_NOT_PE,     /* no MZ or PE signature where it must be */
    IMG_MACHINE,    /* for another processor than x86-64: its names can be read, no code */
    IMG_MALFORMED,  /* the headers contradict themselves */
    IMG_NONE,       /* the image has no such thing */
};

enum img_layout {
    IMG_MAPPED, /* offsets of the source are RVAs: an image in memory */
    IMG_FILE,   /* offsets of the source are those of the file */
};

/* Where the bytes are. read is only asked for what lies within size; it may still fail (a page that
 * a guest does not have), and then its buffer holds nothing of use. */
struct img_source {
    bool (*read)(void *context, uint64_t offset, void *buffer, size_t size);
    void *context;
    uint64_t size;
    enum img_layout layout;
};

enum img_directory_index {
    IMG_DIRECTORY_EXPORT = 0,
    IMG_DIRECTORY_EXCEPTION = 3,
    IMG_DIRECTORY_RELOCATION = 5,
    IMG_DIRECTORY_DEBUG = 6,
};

struct img_directory {
    uint32_t rva;
    uint32_t size;
};

struct img_section {
    char name[9];
    uint32_t rva;
    uint32_t size; /* in memory */
    uint32_t file_offset;
    uint32_t file_size;
    uint32_t flags; /* IMG_SECTION_... */
};

#define IMG_SECTION_CODE  0x20000000u /* may be executed */
#define IMG_SECTION_WRITE 0x80000000u

struct img_image {
    struct img_source source;
    uint64_t base; /* the address of RVA 0; what the headers say when nobody said otherwise */
    uint32_t size; /* of the mapped image: no RVA is as large */
    uint32_t header_size;
    uint32_t timestamp;
    uint32_t checksum;
    uint32_t entry;
    bool wide;        /* PE32+, else PE32 */
    uint16_t machine; /* as the format counts processors */
    uint16_t subsystem;
    uint16_t section_count;
    struct img_directory directories[IMG_DIRECTORIES]; /* absent ones are zero */
    struct img_section sections[IMG_MAX_SECTIONS];
};

/* The debug record that names the PDB. guid is as it is stored. In this text and in names of
 * exports control characters are '?'. */
struct img_codeview {
    uint8_t guid[16];
    uint32_t age;
    char path[IMG_MAX_PATH]; /* the end of a longer one: the file's name is there */
};

struct img_export {
    uint32_t rva;
    uint16_t ordinal;
    bool forwarder; /* rva is that of the text "module.name" */
    char name[IMG_MAX_PATH];
};

/* A source over bytes that the caller can address. */
struct img_source img_memory_source(const void *data, uint64_t size, enum img_layout layout);

/* Reads and checks the headers. base: the address that RVA 0 has, 0 for the preferred one.
 * IMG_MACHINE: *image is filled in as for IMG_OK, and sections, exports and the debug record can be
 * read; unwind tables and code are not those of x86-64. */
enum img_result img_open(struct img_image *image, const struct img_source *source, uint64_t base);

/* What a result means, for a message. */
const char *img_result_text(enum img_result result);

/* size bytes at rva, all or nothing. In a file, what a section has in memory only reads as zero. */
bool img_read(const struct img_image *image, uint32_t rva, void *buffer, size_t size);

/* Little-endian integers; false leaves *value alone. */
bool img_read8(const struct img_image *image, uint32_t rva, uint8_t *value);
bool img_read16(const struct img_image *image, uint32_t rva, uint16_t *value);
bool img_read32(const struct img_image *image, uint32_t rva, uint32_t *value);
bool img_read64(const struct img_image *image, uint32_t rva, uint64_t *value);

/* Text that ends with 0 into name[capacity], cut when longer. False when it cannot be read. */
bool img_read_text(const struct img_image *image, uint32_t rva, char *name, size_t capacity);

/* rva + displacement into *result; false when that leaves the image. */
bool img_relative(const struct img_image *image, uint32_t rva, int32_t displacement,
                  uint32_t *result);

/* The RVA of an address; false when it is outside the image. */
bool img_rva(const struct img_image *image, uint64_t address, uint32_t *rva);

/* NULL when no section holds rva. */
const struct img_section *img_section_of(const struct img_image *image, uint32_t rva);

/* True when rva may be executed. */
bool img_is_code(const struct img_image *image, uint32_t rva);

/* IMG_NONE: no CodeView record of the usual kind (RSDS). */
enum img_result img_codeview(const struct img_image *image, struct img_codeview *codeview);

/* How many exports have a name. */
uint32_t img_export_count(const struct img_image *image);

/* The export with that name, 0 .. count - 1 in the order of names. */
enum img_result img_export(const struct img_image *image, uint32_t index,
                           struct img_export *export);

/* The named export, no forwarder, that starts closest before or at rva. */
enum img_result img_export_before(const struct img_image *image, uint32_t rva,
                                  struct img_export *export);

#endif
