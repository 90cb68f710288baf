/* kd-objects.c - which packets carry which file or image. See kd-objects.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * File transfer is the target's doing: CreateFile, ReadFile and WriteFile with a handle, CloseFile;
 * the debugger answers each before the next comes.
 */
#include "kd-objects.h"

#include <string.h>

#include <epan/charsets.h>

#define HEADERS 0x1000u /* bytes: the page that holds an image's headers */

/* What the reply to a file request has to be understood by. */
struct file_request {
    uint32_t api;
    const char *name; /* CreateFile */
    uint64_t handle;
    uint64_t offset;
};

struct kd_objects {
    const struct kd_packet *last;
    struct file_request request; /* the target's latest; one waits at most */
    wmem_map_t *files;           /* handle -> struct kd_object */
    wmem_map_t *headers;         /* base of a module -> struct loaded */
};

struct loaded {
    uint32_t frame; /* of the load event: another image may come to the same base */
    struct kd_object *object;
};

struct kd_objects *kd_objects_new(void)
{
    struct kd_objects *objects = wmem_new0(wmem_file_scope(), struct kd_objects);

    objects->files = wmem_map_new(wmem_file_scope(), wmem_int64_hash, g_int64_equal);
    objects->headers = wmem_map_new(wmem_file_scope(), wmem_int64_hash, g_int64_equal);
    return objects;
}

const struct kd_packet *kd_objects_last(const struct kd_objects *objects)
{
    return objects->last;
}

static void put(wmem_map_t *map, uint64_t key, void *value)
{
    wmem_map_insert(map, wmem_memdup(wmem_file_scope(), &key, sizeof key), value);
}

/* "\SystemRoot\system32\hal.dll" -> "hal.dll" */
static const char *file_name(const char *path)
{
    const char *name = path;

    for (const char *c = path; *c; c++)
        if ((*c == '\\' || *c == '/') && c[1])
            name = c + 1;
    return name;
}

static struct kd_object *new_object(const char *name, enum kd_object_kind kind, uint64_t size)
{
    struct kd_object *object = wmem_new0(wmem_file_scope(), struct kd_object);

    object->name = name;
    object->kind = (uint8_t)kind;
    object->size = size;
    return object;
}

/* --- Files */

static char *path_in(const uint8_t *payload, size_t size)
{
    size_t end = KD_FILE_IO_DATA;

    while (end + 2 <= size && (payload[end] || payload[end + 1]))
        end += 2;
    return (char *)get_utf_16_string(wmem_file_scope(), payload + KD_FILE_IO_DATA,
                                     (int)(end - KD_FILE_IO_DATA), ENC_LITTLE_ENDIAN);
}

/* ReadFile and WriteFile; CloseFile has the handle at the same place. */
static const struct kd_read_write_file *file_at(const uint8_t *payload)
{
    return (const struct kd_read_write_file *)(payload + KD_FILE_IO_UNION);
}

static void see_created(struct kd_objects *objects, const char *name, const uint8_t *payload)
{
    const struct kd_create_file *created =
        (const struct kd_create_file *)(payload + KD_FILE_IO_UNION);

    put(objects->files, kd_get64(created->handle),
        new_object(name, KD_OBJECT_FROM_DEBUGGER, kd_get64(created->length)));
}

/* Bytes of the file in a packet, of which the message says how many count. */
static void see_bytes(const struct kd_packet *packet, uint64_t offset, const uint8_t *payload,
                      size_t size, struct kd_part *part)
{
    part->offset = offset;
    part->from = KD_FILE_IO_DATA;
    part->size = (uint32_t)MIN(size - KD_FILE_IO_DATA, kd_get32(file_at(payload)->length));
    part->object->last = packet;
}

static void see_written(struct kd_object *file, const struct kd_packet *packet,
                        const uint8_t *payload, size_t size, struct kd_part *part)
{
    if (!file->written)
        file->written = new_object(wmem_strdup_printf(wmem_file_scope(), "%s.written", file->name),
                                   KD_OBJECT_FROM_TARGET, 0);
    part->object = file->written;
    see_bytes(packet, kd_get64(file_at(payload)->offset), payload, size, part);
}

static void see_closed(struct kd_objects *objects, struct kd_object *file,
                       const struct kd_packet *packet, struct kd_part *part)
{
    part->object = file;
    file->done = packet;
    if (file->written)
        file->written->done = packet;
    wmem_map_remove(objects->files, &objects->request.handle);
}

static void see_file_request(struct kd_objects *objects, const struct kd_packet *packet,
                             const uint8_t *payload, size_t size, struct kd_part *part)
{
    struct file_request *request = &objects->request;
    struct kd_object *file;

    *request = (struct file_request){packet->api, NULL, kd_get64(file_at(payload)->handle),
                                     kd_get64(file_at(payload)->offset)};
    if (packet->api == KD_API_CREATE_FILE) {
        request->name = file_name(path_in(payload, size));
        return;
    }
    file = wmem_map_lookup(objects->files, &request->handle);
    if (file && packet->api == KD_API_WRITE_FILE)
        see_written(file, packet, payload, size, part);
    else if (file && packet->api == KD_API_CLOSE_FILE)
        see_closed(objects, file, packet, part);
}

static void see_file_reply(struct kd_objects *objects, const struct kd_packet *packet,
                           const uint8_t *payload, size_t size, struct kd_part *part)
{
    struct file_request request = objects->request;
    bool fine = packet->status == KD_NT(STATUS_SUCCESS);
    struct kd_object *file;

    objects->request.api = 0;
    if (packet->api != request.api)
        return;
    if (packet->api == KD_API_CREATE_FILE) {
        if (fine)
            see_created(objects, request.name, payload);
        return;
    }
    file = wmem_map_lookup(objects->files, &request.handle);
    if (file && packet->api == KD_API_WRITE_FILE && file->written && !fine)
        file->written->refused = true;
    if (!file || packet->api != KD_API_READ_FILE || !fine)
        return;
    part->object = file;
    see_bytes(packet, request.offset, payload, size, part);
}

static void see_file(struct kd_objects *objects, const struct kd_packet *packet,
                     const uint8_t *payload, size_t size, struct kd_part *part)
{
    if (size < KD_FILE_IO_DATA)
        return;
    if (packet->flow == KD_FLOW_TO_TARGET)
        see_file_reply(objects, packet, payload, size, part);
    else
        see_file_request(objects, packet, payload, size, part);
}

/* --- Image headers */

static struct kd_object *headers_of(struct kd_objects *objects, const struct kd_module *module)
{
    struct loaded *loaded = wmem_map_lookup(objects->headers, &module->base);

    if (loaded && loaded->frame == module->loaded)
        return loaded->object;
    loaded = wmem_new(wmem_file_scope(), struct loaded);
    loaded->frame = module->loaded;
    loaded->object =
        new_object(wmem_strdup_printf(wmem_file_scope(), "%s.headers", file_name(module->path)),
                   KD_OBJECT_HEADERS, MIN(HEADERS, module->size));
    loaded->object->known = wmem_alloc0(wmem_file_scope(), HEADERS / 8);
    put(objects->headers, module->base, loaded);
    return loaded->object;
}

/* Marks bytes as known. A debugger reads the same again and again. */
static void mark(struct kd_object *object, uint64_t offset, uint32_t size)
{
    for (uint64_t i = offset; i < offset + size; i++) {
        uint8_t bit = (uint8_t)(1u << i % 8);

        object->have += !(object->known[i / 8] & bit);
        object->known[i / 8] |= bit;
    }
}

static void see_memory(struct kd_objects *objects, const struct kd_session *session,
                       const struct kd_packet *packet, size_t size, struct kd_part *part)
{
    const struct kd_module *module = kd_session_module(session, packet->address, packet->frame);
    struct kd_object *object;

    if (!module || packet->address - module->base >= HEADERS || size <= KD_MANIPULATE_DATA)
        return;
    object = headers_of(objects, module);
    part->object = object;
    part->offset = packet->address - module->base;
    part->from = KD_MANIPULATE_DATA;
    part->size =
        (uint32_t)MIN(MIN(size - KD_MANIPULATE_DATA, packet->count), object->size - part->offset);
    object->last = packet;
    mark(object, part->offset, part->size);
    if (!object->done && object->have == object->size)
        object->done = packet;
}

void kd_objects_see(struct kd_objects *objects, const struct kd_session *session,
                    const struct kd_packet *packet, const uint8_t *payload, size_t size,
                    struct kd_part *part)
{
    objects->last = packet;
    if (packet->flags & (KD_PKT_IGNORED | KD_PKT_RETRANSMISSION | KD_PKT_CUT))
        return;
    if (packet->type == KD_PACKET_FILE_IO)
        see_file(objects, packet, payload, size, part);
    else if (packet->type == KD_PACKET_STATE_MANIPULATE &&
             packet->api == KD_API_READ_VIRTUAL_MEMORY && packet->flow == KD_FLOW_TO_DEBUGGER &&
             packet->status == KD_NT(STATUS_SUCCESS) && !(packet->flags & KD_PKT_PROTOCOL32))
        see_memory(objects, session, packet, size, part);
}
