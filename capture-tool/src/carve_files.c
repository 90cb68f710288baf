/* carve_files.c - carve --files: files that went between debugger and target (.kdfiles).
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A file is as long as the debugger said when it was opened, or as its blocks reach. A name comes
 * from the target, so only its last part is used, and of that only what is harmless in a name.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "carve.h"
#include "facts.h"
#include "files.h"
#include "folders.h"

#define NAME_ROOM 128u
#define NAME_MOST 4096u /* bytes of UTF-16 that are looked at */

struct transfer {
    const struct kda_file *file;
    char name[NAME_ROOM]; /* harmless */
    uint8_t *bytes, *known;
    size_t size;
    uint64_t got;      /* known bytes */
    uint64_t left_out; /* bytes beyond what is kept */
};

static bool is_plain(unsigned c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '-' || c == '_';
}

static void take_name(const struct kda_model *model, struct transfer *transfer)
{
    struct kda_bytes part = transfer->file->name;
    uint8_t name[NAME_MOST];
    size_t from = 0, kept;

    if (part.size > sizeof name) {
        part.at += (part.size - sizeof name) & ~1u;
        part.size = sizeof name;
    }
    kept = (size_t)snprintf(transfer->name, NAME_ROOM, "%" PRIu32 "-", transfer->file->number);
    if (!kda_model_bytes(model, part, name))
        return;
    for (size_t i = 0; i + 1 < part.size; i += 2)
        if (name[i + 1] == 0 && (name[i] == '\\' || name[i] == '/' || name[i] == ':'))
            from = i + 2;
    for (size_t i = from; i + 1 < part.size && kept + 1 < NAME_ROOM; i += 2)
        transfer->name[kept++] = name[i + 1] == 0 && is_plain(name[i]) ? (char)name[i] : '_';
    while (transfer->name[kept - 1] == '.')
        kept--; /* Windows drops it */
    transfer->name[kept] = '\0';
}

/* How long the file is. */
static void measure(const struct kda_model *model, struct transfer *transfer)
{
    uint64_t end = transfer->file->length;
    const struct kda_file_block *block;

    for (size_t i = 0; i < kda_model_block_count(model); i++) {
        block = kda_model_block(model, i);
        if (block->file == transfer->file->number &&
            block->offset <= UINT64_MAX - block->bytes.size &&
            block->offset + block->bytes.size > end)
            end = block->offset + block->bytes.size;
    }
    if (end > FILE_LOAD_MAX) {
        transfer->left_out = end - FILE_LOAD_MAX;
        end = FILE_LOAD_MAX;
    }
    transfer->size = (size_t)end;
}

static void know(struct transfer *transfer, size_t at, size_t size)
{
    for (size_t i = at; i < at + size; i++) {
        if (!(transfer->known[i / 8] >> i % 8 & 1))
            transfer->got++;
        transfer->known[i / 8] |= (uint8_t)(1u << i % 8);
    }
}

static bool fill(const struct kda_model *model, struct transfer *transfer)
{
    transfer->bytes = calloc(transfer->size + 1, 1);
    transfer->known = calloc(transfer->size / 8 + 1, 1);
    if (!transfer->bytes || !transfer->known)
        return false;
    for (size_t i = 0; i < kda_model_block_count(model); i++) {
        const struct kda_file_block *block = kda_model_block(model, i);

        if (block->file != transfer->file->number || block->bytes.size > transfer->size ||
            block->offset > transfer->size - block->bytes.size)
            continue;
        if (!kda_model_bytes(model, block->bytes, transfer->bytes + block->offset))
            return false;
        know(transfer, (size_t)block->offset, block->bytes.size);
    }
    return true;
}

static bool save(const struct transfer *transfer, const char *folder, struct problem *problem)
{
    size_t room = strlen(folder) + NAME_ROOM + 2;
    char *path = malloc(room);
    FILE *file;
    bool fine;

    if (!path) {
        problem_set(problem, "out of memory");
        return false;
    }
    snprintf(path, room, "%s/%s", folder, transfer->name);
    file = file_open(path, "wb", problem);
    fine = file && fwrite(transfer->bytes, 1, transfer->size, file) == transfer->size;
    if (file && (!file_close(file) || !fine)) {
        problem_set(problem, "%s: cannot write all of it", path);
        fine = false;
    }
    free(path);
    return fine;
}

/* --- what there is to say */

static void tell_json(const struct models_seat *seat, const struct transfer *transfer)
{
    fact_begin(stdout, seat->number);
    fact_string(stdout, "kind", "file");
    fact_number(stdout, "file", transfer->file->number);
    fact_number(stdout, "frame", transfer->file->frame);
    fact_string(stdout, "written_as", transfer->name);
    fact_number(stdout, "size", transfer->size);
    fact_number(stdout, "captured", transfer->got);
    if (transfer->left_out)
        fact_number(stdout, "left_out", transfer->left_out);
    fact_end(stdout);
}

static bool is_there(const struct transfer *transfer, size_t i)
{
    return transfer->known[i / 8] >> i % 8 & 1;
}

static void hole(const struct carve_options *options, const struct models_seat *seat,
                 const struct transfer *transfer, size_t at, size_t size)
{
    if (!options->json) {
        printf("    not captured: %zu bytes at %zu\n", size, at);
        return;
    }
    fact_begin(stdout, seat->number);
    fact_string(stdout, "kind", "hole");
    fact_number(stdout, "file", transfer->file->number);
    fact_hex(stdout, "file_offset", at);
    fact_number(stdout, "size", size);
    fact_end(stdout);
}

static void tell(const struct carve_options *options, const struct models_seat *seat,
                 const struct transfer *transfer)
{
    size_t from = 0;

    if (options->json)
        tell_json(seat, transfer);
    else
        printf("%s: %zu bytes, %" PRIu64 " of them captured%s\n", transfer->name, transfer->size,
               transfer->got, transfer->left_out ? "; what is beyond 256 MiB is left out" : "");
    for (size_t i = 0; i <= transfer->size; i++) {
        if (i < transfer->size && !is_there(transfer, i))
            continue;
        if (i > from)
            hole(options, seat, transfer, from, i - from);
        from = i + 1;
    }
}

static bool carve_file(const struct carve_options *options, const struct models_seat *seat,
                       const struct kda_file *file, struct problem *problem)
{
    struct transfer transfer = {.file = file};
    bool fine;

    take_name(seat->model, &transfer);
    measure(seat->model, &transfer);
    fine = fill(seat->model, &transfer);
    if (!fine)
        problem_set(problem, "out of memory");
    fine = fine && save(&transfer, options->out, problem);
    if (fine)
        tell(options, seat, &transfer);
    free(transfer.bytes);
    free(transfer.known);
    return fine;
}

/* Files that were refused or of which nothing went over the line are no files. */
bool carve_files(const struct carve_options *options, const struct models_seat *seat,
                 struct problem *problem)
{
    bool any = false;

    for (size_t i = 0; i < kda_model_file_count(seat->model); i++) {
        const struct kda_file *file = kda_model_file(seat->model, i);

        if (file->read_bytes + file->written_bytes == 0)
            continue;
        if (!any && !folders_make(options->out, false, problem))
            return false;
        any = true;
        if (!carve_file(options, seat, file, problem))
            return false;
    }
    if (!any)
        problem_set(problem, "no file was transferred in this session");
    return any;
}
