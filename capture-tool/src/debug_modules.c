/* debug_modules.c - the target's modules. See debug_modules.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_modules.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "debug_target.h"

#define DEBUG_DIRECTORY 6u
#define CODEVIEW        2u
#define DEBUG_ENTRIES   16u

/* Where things lie in LDR_DATA_TABLE_ENTRY. */
struct loader_layout {
    unsigned pointer, base, size, full_name, base_name, entry;
};

static const struct loader_layout loader64 = {8, 0x30, 0x40, 0x48, 0x58, 0x88};
static const struct loader_layout loader32 = {4, 0x18, 0x20, 0x24, 0x2C, 0x50};

static uint64_t number(const uint8_t *at, size_t size)
{
    uint64_t value = 0;

    for (size_t i = size; i > 0; i--)
        value = value << 8 | at[i - 1];
    return value;
}

/* --- the table */

static void name_of_path(const char *path, char *out, size_t room)
{
    const char *start = path, *end, *dot;

    for (const char *at = path; *at; at++)
        if (*at == '\\' || *at == '/')
            start = at + 1;
    dot = strrchr(start, '.');
    end = dot && dot > start ? dot : start + strlen(start);
    snprintf(out, room, "%.*s", (int)(end - start), start);
    for (char *at = out; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_')
            *at = '_';
}

struct debug_module *modules_add(struct debug_session *session, uint64_t base, uint32_t size,
                                 uint32_t checksum, const char *path)
{
    struct debug_module *module;

    modules_remove(session, base);
    if (session->module_count == SESSION_MODULES)
        return NULL;
    module = &session->modules[session->module_count++];
    *module = (struct debug_module){.base = base, .size = size, .checksum = checksum};
    snprintf(module->path, sizeof module->path, "%s", path);
    name_of_path(path, module->name, sizeof module->name);
    if (!module->name[0])
        snprintf(module->name, sizeof module->name, "image%" PRIx64, base);
    return module;
}

void modules_remove(struct debug_session *session, uint64_t base)
{
    for (size_t i = 0; i < session->module_count; i++) {
        if (session->modules[i].base != base)
            continue;
        session->module_count--;
        memmove(&session->modules[i], &session->modules[i + 1],
                (session->module_count - i) * sizeof session->modules[0]);
        return;
    }
}

const struct debug_module *modules_at(const struct debug_session *session, uint64_t address)
{
    for (size_t i = 0; i < session->module_count; i++)
        if (address - session->modules[i].base < session->modules[i].size)
            return &session->modules[i];
    return NULL;
}

static bool same_name(const char *a, const char *b)
{
    while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b)) {
        a++;
        b++;
    }
    return !*a && !*b;
}

const struct debug_module *modules_named(const struct debug_session *session, const char *name)
{
    for (size_t i = 0; i < session->module_count; i++)
        if (same_name(session->modules[i].name, name))
            return &session->modules[i];
    return NULL;
}

/* --- the list in memory */

/* A UNICODE_STRING as ASCII. */
static bool read_name(struct debug_session *session, const uint8_t *string, unsigned pointer,
                      char *out, size_t room, struct problem *problem)
{
    uint8_t bytes[512];
    size_t size = number(string, 2), got, length = 0;

    if (size > sizeof bytes)
        size = sizeof bytes;
    if (!target_read(session, SPACE_VIRTUAL, number(string + pointer, pointer), bytes, size, &got,
                     problem) &&
        got == 0)
        return false;
    for (size_t i = 0; i + 1 < got && length + 1 < room; i += 2)
        out[length++] =
            bytes[i + 1] == 0 && bytes[i] >= 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : '?';
    out[length] = '\0';
    return true;
}

/* *link: in the entry, out the next one. */
static bool read_entry(struct debug_session *session, const struct loader_layout *layout,
                       uint64_t *link, struct debug_module *module, struct problem *problem)
{
    uint8_t entry[0x88];
    struct problem ignored;

    if (!target_read(session, SPACE_VIRTUAL, *link, entry, layout->entry, NULL, problem))
        return false;
    *link = number(entry, layout->pointer);
    *module = (struct debug_module){.base = number(entry + layout->base, layout->pointer),
                                    .size = (uint32_t)number(entry + layout->size, 4)};
    if (!read_name(session, entry + layout->full_name, layout->pointer, module->path,
                   sizeof module->path, &ignored) ||
        !module->path[0])
        read_name(session, entry + layout->base_name, layout->pointer, module->path,
                  sizeof module->path, &ignored);
    return true;
}

/* What is known of a module that is still there stays known. */
static void take_listed(struct debug_session *session, const struct debug_module *read)
{
    struct debug_module *module = NULL;

    for (size_t i = 0; i < session->module_count && !module; i++)
        if (session->modules[i].base == read->base && session->modules[i].size == read->size)
            module = &session->modules[i];
    if (!module || strcmp(module->path, read->path) != 0)
        module =
            modules_add(session, read->base, read->size, module ? module->checksum : 0, read->path);
    if (module)
        module->listed = true;
}

static void drop_unlisted(struct debug_session *session)
{
    size_t kept = 0;

    for (size_t i = 0; i < session->module_count; i++)
        if (session->modules[i].listed)
            session->modules[kept++] = session->modules[i];
    session->module_count = kept;
}

bool modules_list(struct debug_session *session, struct problem *problem)
{
    const struct loader_layout *layout;
    struct debug_module module;
    uint64_t head, link = 0;
    size_t read = 0;

    if (session->modules_listed)
        return true;
    if (!session->version_known && !target_version(session, problem))
        return false;
    head = kd_get64(target_version_fields(session)->ps_loaded_module_list);
    layout = session->arch == KD_ARCH_X86 ? &loader32 : &loader64;
    if (head == 0) {
        problem_set(problem, "the target has no list of modules (PsLoadedModuleList is 0)");
        return false;
    }
    if (!target_read_number(session, head, layout->pointer, &link, problem))
        return false;
    for (size_t i = 0; i < session->module_count; i++)
        session->modules[i].listed = false;
    for (; link != head && link != 0 && read < SESSION_MODULES; read++) {
        if (!read_entry(session, layout, &link, &module, problem))
            return false;
        take_listed(session, &module);
    }
    if (read > 0)
        drop_unlisted(session);
    session->modules_listed = true;
    return true;
}

/* --- RSDS */

static bool read_exact(struct debug_session *session, uint64_t address, uint8_t *bytes, size_t size)
{
    struct problem ignored;

    return target_read(session, SPACE_VIRTUAL, address, bytes, size, NULL, &ignored);
}

static void take_codeview(struct debug_session *session, struct debug_module *module, uint32_t rva,
                          uint32_t size)
{
    uint8_t record[24 + sizeof module->pdb] = {0};

    if (size > sizeof record - 1)
        size = sizeof record - 1;
    if (rva == 0 || size < 24 || rva > module->size ||
        !read_exact(session, module->base + rva, record, size) || memcmp(record, "RSDS", 4) != 0)
        return;
    memcpy(module->guid, record + 4, sizeof module->guid);
    module->age = (uint32_t)number(record + 20, 4);
    for (size_t i = 0; i + 1 < sizeof module->pdb && i + 24 < size && record[24 + i]; i++)
        module->pdb[i] =
            record[24 + i] >= 0x20 && record[24 + i] < 0x7f ? (char)record[24 + i] : '?';
}

/* Finds the debug directory through the headers of the image in memory. */
static bool find_directory(struct debug_session *session, const struct debug_module *module,
                           uint32_t *rva, uint32_t *count)
{
    uint8_t dos[0x40], header[0x18 + 0x70 + 8 * (DEBUG_DIRECTORY + 1)];
    uint32_t at;
    size_t directory;

    if (!read_exact(session, module->base, dos, sizeof dos) || memcmp(dos, "MZ", 2) != 0)
        return false;
    at = (uint32_t)number(dos + 0x3C, 4);
    if (at > module->size || !read_exact(session, module->base + at, header, sizeof header) ||
        memcmp(header, "PE\0", 4) != 0)
        return false;
    directory = (number(header + 0x18, 2) == 0x20B ? 0x70u : 0x60u) + 0x18u + 8 * DEBUG_DIRECTORY;
    *rva = (uint32_t)number(header + directory, 4);
    *count = (uint32_t)number(header + directory + 4, 4) / 28;
    return *rva != 0 && *rva < module->size;
}

void modules_identify(struct debug_session *session, struct debug_module *module)
{
    uint32_t rva, count;
    uint8_t entry[28];

    if (module->looked)
        return;
    module->looked = true;
    if (!find_directory(session, module, &rva, &count))
        return;
    for (uint32_t i = 0; i < count && i < DEBUG_ENTRIES && !module->pdb[0]; i++) {
        if (!read_exact(session, module->base + rva + 28 * i, entry, sizeof entry))
            return;
        if (number(entry + 12, 4) == CODEVIEW)
            take_codeview(session, module, (uint32_t)number(entry + 20, 4),
                          (uint32_t)number(entry + 16, 4));
    }
}
