/* model_modules.c - modules: load events, the target's own list, image headers. See model_parts.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A debugger that connects reads the list of loaded modules out of the target's memory; what it
 * read is in the capture and is walked again here, as far as it goes. Image headers are the public
 * PE format: "MZ", the offset of "PE\0\0" at 0x3C, then the COFF header.
 */
#include <string.h>

#include "model_parts.h"

#define LIST_MAX   4096u /* entries: a ring in hostile memory may never close */
#define NAME_MAX   512u  /* bytes of UTF-16 */
#define DOS_LFANEW 0x3Cu
#define PE_HEADERS 0x58u /* of PE signature, COFF header and optional header, up to SizeOfImage */
#define LFANEW_MAX 0x1000u

bool model_add_module(struct kda_model *model, const struct kda_module *module)
{
    if (model->listener.module)
        model->listener.module(model->listener.context, module);
    return !(model->keep & KDA_KEEP_MODULES) ||
           list_add(&model->modules, module, sizeof *module) != NULL;
}

/* An unload event ends the module at that base; the reboot and hibernate events end all. */
bool model_remove_modules(struct kda_model *model, uint64_t base, uint32_t frame, uint64_t time)
{
    bool all = base == KD_REBOOT || base == KD_HIBERNATE;
    const struct kda_module gone = {.base = base, .unloaded = frame, .unloaded_time = time};
    bool known = false;

    for (size_t i = 0; i < model->modules.count; i++) {
        struct kda_module *module = list_at(&model->modules, i, sizeof *module);

        if (module->unloaded || (module->base != base && !all))
            continue;
        module->unloaded = frame;
        module->unloaded_time = time;
        known = true;
        if (model->listener.module)
            model->listener.module(model->listener.context, module);
    }
    if (!known && model->listener.module)
        model->listener.module(model->listener.context, &gone);
    return true;
}

/* --- what memory says */

static bool read_memory(const struct kda_model *model, uint64_t address, void *out, size_t size,
                        uint32_t *frame)
{
    static const struct kda_view end = {.at = KDA_END};
    uint32_t known[sizeof(struct kd_ldr_data_table_entry64)];

    if (size > sizeof known / sizeof known[0] ||
        kda_memory_read(model->virtual, &end, address, out, known, size) != size)
        return false;
    if (frame)
        *frame = known[0];
    return true;
}

/* UTF-16 to UTF-8; what is no character becomes U+FFFD. Returns the size. */
static size_t to_utf8(const uint8_t *utf16, size_t size, uint8_t *out)
{
    uint8_t *at = out;

    for (size_t i = 0; i + 1 < size; i += 2) {
        uint32_t c = (uint32_t)utf16[i] | (uint32_t)utf16[i + 1] << 8;

        if (c >= 0xD800 && c < 0xE000)
            c = 0xFFFD;
        if (c < 0x80) {
            *at++ = (uint8_t)c;
        } else if (c < 0x800) {
            *at++ = (uint8_t)(0xC0 | c >> 6);
            *at++ = (uint8_t)(0x80 | (c & 0x3F));
        } else {
            *at++ = (uint8_t)(0xE0 | c >> 12);
            *at++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
            *at++ = (uint8_t)(0x80 | (c & 0x3F));
        }
    }
    return (size_t)(at - out);
}

static bool read_name(struct kda_model *model, uint64_t address, size_t size, struct kda_bytes *out)
{
    static const struct kda_view end = {.at = KDA_END};
    uint8_t name[NAME_MAX], text[NAME_MAX * 3 / 2];

    *out = (struct kda_bytes){0};
    if (size == 0 || size > sizeof name ||
        kda_memory_read(model->virtual, &end, address, name, NULL, size) != size)
        return true;
    return model_keep_bytes(model, text, to_utf8(name, size, text), out);
}

static struct kda_module *find_module(struct kda_model *model, uint64_t base)
{
    for (size_t i = model->modules.count; i-- > 0;) {
        struct kda_module *module = list_at(&model->modules, i, sizeof *module);

        if (module->base == base)
            return module;
    }
    return NULL;
}

/* An entry at this address. A Windows kernel's has its time stamp elsewhere. */
static uint32_t stamp_of(const struct kda_model *model, uint64_t address,
                         const struct kd_ldr_data_table_entry64 *entry)
{
    kd_u32 stamp;

    if (model->version.major >> 8 != KD_KIND_NT)
        return kd_get32(entry->time_date_stamp);
    return read_memory(model, address + KD_KLDR_TIME_DATE_STAMP, &stamp, sizeof stamp, NULL)
               ? kd_get32(stamp)
               : 0;
}

static bool take_entry(struct kda_model *model, uint64_t address,
                       const struct kd_ldr_data_table_entry64 *entry, uint32_t frame)
{
    struct kda_module *known = find_module(model, kd_get64(entry->dll_base));
    struct kda_module module = {
        .base = kd_get64(entry->dll_base),
        .size = kd_get32(entry->size_of_image),
        .checksum = kd_get32(entry->check_sum),
        .timestamp = stamp_of(model, address, entry),
        .sources = KDA_MODULE_LIST,
        .loaded = frame,
    };

    if (known) {
        known->sources |= KDA_MODULE_LIST;
        if (!known->timestamp)
            known->timestamp = module.timestamp;
        return true;
    }
    if (!read_name(model, kd_get64(entry->full_name_buffer), kd_get16(entry->full_name_length),
                   &module.path))
        return false;
    if (module.path.size == 0 && !read_name(model, kd_get64(entry->base_name_buffer),
                                            kd_get16(entry->base_name_length), &module.path))
        return false;
    return model_add_module(model, &module);
}

static bool walk_list(struct kda_model *model)
{
    const struct kd_arch_info *arch = kd_arch_info(model->arch);
    uint64_t head = model->version.module_list, at;
    struct kd_list_entry64 link;
    struct kd_ldr_data_table_entry64 entry;
    uint32_t frame;

    if (!head || !arch || arch->pointer_size != 8 ||
        !read_memory(model, head, &link, sizeof link, NULL))
        return true;
    at = kd_get64(link.flink);
    for (unsigned i = 0; i < LIST_MAX && at != head && at != 0; i++) {
        if (!read_memory(model, at, &entry, sizeof entry, &frame))
            break;
        if (kd_get64(entry.dll_base) && !take_entry(model, at, &entry, frame))
            return false;
        at = kd_get64(entry.load_order_flink);
    }
    return true;
}

static uint32_t le32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* Headers may have been read in parts. */
static void see_headers(struct kda_model *model, struct kda_module *module)
{
    uint8_t dos[2], lfanew[4], pe[PE_HEADERS];
    const struct kda_view view = {.at = module->unloaded ? module->unloaded : KDA_END};
    uint32_t offset;

    if (kda_memory_read(model->virtual, &view, module->base, dos, NULL, 2) != 2 ||
        memcmp(dos, "MZ", 2) != 0 ||
        kda_memory_read(model->virtual, &view, module->base + DOS_LFANEW, lfanew, NULL, 4) != 4)
        return;
    offset = le32(lfanew);
    if (offset > LFANEW_MAX ||
        kda_memory_read(model->virtual, &view, module->base + offset, pe, NULL, sizeof pe) !=
            sizeof pe ||
        memcmp(pe, "PE\0\0", 4) != 0)
        return;
    module->sources |= KDA_MODULE_IMAGE;
    module->machine = (uint16_t)(pe[4] | pe[5] << 8);
    module->timestamp = le32(pe + 8);
    if (!module->size)
        module->size = le32(pe + 0x50);
}

bool model_finish_modules(struct kda_model *model)
{
    if (!walk_list(model))
        return false;
    for (size_t i = 0; i < model->modules.count; i++)
        see_headers(model, list_at(&model->modules, i, sizeof(struct kda_module)));
    return true;
}

bool kda_model_learn_modules(struct kda_model *model)
{
    return walk_list(model);
}
