/* kd-export.c - export objects: files that were transferred, images of modules and their headers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which packet carries what, kd-objects.c found out on the first visit. Here the parts are
 * collected, and an object is handed over with its last packet. That packet is known at once when
 * the target closes the file, and for what never was complete only in hindsight: tshark exports
 * such objects with -2.
 *
 * Images (kd-carve.c) are complete with the last packet of their connection. In tshark's only pass
 * none is known to be the last: there they are handed over before the list is written, by a
 * listener that hears of no packet and is drawn first, because it came last.
 *
 * Nothing tells when a listener starts over (sharkd, for one, never resets taps). So collecting a
 * part twice must do no harm: contents are kept by object, and a part always goes to its place.
 */
#include "compat.h"

#include <epan/export_object.h>
#include <string.h>

#include "analysis/carve.h"
#include "kd-carve.h"
#include "kd-tap.h"

#define OBJECT_MAX (256u << 20) /* bytes of one object */
#define ALL_MAX    (1u << 30)   /* bytes of all objects that are being collected */

static GHashTable *contents; /* struct kd_object -> its bytes so far, GByteArray */
static uint64_t collected;

static int tap_export = -1;
static export_object_list_t *waiting; /* for images, in the only pass */
static bool early;                    /* the listener of the only pass is there */

static void free_content(void *data)
{
    GByteArray *content = data;

    collected -= content->len;
    g_byte_array_free(content, TRUE);
}

static void forget_all(void)
{
    if (contents)
        g_hash_table_remove_all(contents);
    kd_carve_forget();
    waiting = NULL;
}

static GByteArray *content_of(const struct kd_object *object)
{
    GByteArray *content;

    if (!contents)
        contents = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, free_content);
    content = g_hash_table_lookup(contents, object);
    if (!content) {
        content = g_byte_array_new();
        g_hash_table_insert(contents, (void *)object, content);
    }
    return content;
}

/* What was never transferred stays zero. */
static bool make_room(GByteArray *content, uint64_t size)
{
    unsigned before = content->len;

    if (size <= before)
        return true;
    if (size > OBJECT_MAX || collected + size - before > ALL_MAX)
        return false;
    g_byte_array_set_size(content, (unsigned)size);
    memset(content->data + before, 0, (size_t)size - before);
    collected += size - before;
    return true;
}

static void collect(GByteArray *content, const struct kd_tapped *tapped)
{
    const struct kd_part *part = &tapped->unit->part;

    if (!tapped->payload || !part->size || part->offset > OBJECT_MAX ||
        part->from + (uint64_t)part->size > tapped->size ||
        !make_room(content, part->offset + part->size))
        return;
    memcpy(content->data + part->offset, tapped->payload + part->from, part->size);
}

static char *describe(const struct kd_object *object, const GByteArray *content)
{
    bool whole = object->done && (!object->size || content->len >= object->size);

    if (object->kind == KD_OBJECT_HEADERS)
        return g_strdup(object->done ? "image headers" : "image headers, incomplete");
    if (object->refused)
        return g_strdup("file, refused by the debugger");
    return g_strdup(whole ? "file" : "file, incomplete");
}

static char *owner(const struct kd_object *object)
{
    static const char *const owners[] = {
        [KD_OBJECT_FROM_DEBUGGER] = "from the debugger",
        [KD_OBJECT_FROM_TARGET] = "from the target",
        [KD_OBJECT_HEADERS] = "memory of the target",
    };

    return g_strdup(owners[object->kind]);
}

static void hand_over(export_object_list_t *list, const packet_info *pinfo,
                      const struct kd_object *object)
{
    const GByteArray *content = content_of(object);
    export_object_entry_t *entry;

    if (content->len) {
        entry = g_new0(export_object_entry_t, 1);
        entry->pkt_num = pinfo->num;
        entry->hostname = owner(object);
        entry->content_type = describe(object, content);
        entry->filename = g_strdup(object->name);
        entry->payload_len = content->len;
        entry->payload_data = g_memdup2(content->data, content->len);
        list->add_entry(list->gui_data, entry);
    }
    g_hash_table_remove(contents, object);
}

static bool is_last(const struct kd_tapped *tapped)
{
    const struct kd_object *object = tapped->unit->part.object;
    const struct kd_packet *packet = tapped->unit->packet;

    return object->done ? packet == object->done : tapped->revisited && packet == object->last;
}

/* --- images */

static void add_image(void *data, const char *name, const struct kda_carved *carved)
{
    export_object_list_t *list = data;
    export_object_entry_t *entry = g_new0(export_object_entry_t, 1);

    for (unsigned i = 0; i < carved->part_count; i++)
        entry->pkt_num = MAX(entry->pkt_num, carved->parts[i].last);
    entry->hostname = g_strdup("memory of the target");
    entry->content_type =
        g_strdup(carved->captured == carved->mapped ? "image" : "image, incomplete");
    entry->filename = g_strdup(name);
    entry->payload_len = carved->size;
    entry->payload_data = g_memdup2(carved->bytes, carved->size);
    list->add_entry(list->gui_data, entry);
}

/* The list may have gone with its window. */
static void before_list(void *data _U_)
{
    if (waiting && have_tap_listener(tap_export))
        kd_carve_end(NULL, add_image, waiting);
    waiting = NULL;
}

static void hear_before_list(void)
{
    GString *wrong = register_tap_listener("frame", &early, NULL, TL_REQUIRES_NOTHING, NULL, NULL,
                                           before_list, NULL);

    early = !wrong;
    if (wrong)
        g_string_free(wrong, TRUE);
}

static tap_packet_status see_images(export_object_list_t *list, const packet_info *pinfo,
                                    const struct kd_tapped *tapped)
{
    kd_carve_see(tapped, pinfo);
    if (tapped->revisited) {
        if (tapped->unit->packet != kd_objects_last(kd_session_objects(tapped->session)))
            return TAP_PACKET_DONT_REDRAW;
        kd_carve_end(tapped->session, add_image, list);
        return TAP_PACKET_REDRAW;
    }
    waiting = list;
    if (!early)
        hear_before_list();
    return TAP_PACKET_DONT_REDRAW;
}

/* A new capture: no list is being walked. */
static void begin(void)
{
    if (early)
        remove_tap_listener(&early);
    early = false;
    forget_all();
}

static tap_packet_status see(void *data, packet_info *pinfo, epan_dissect_t *edt _U_,
                             const void *tap_data, tap_flags_t flags _U_)
{
    const struct kd_tapped *tapped = tap_data;
    const struct kd_object *object = tapped->unit->part.object;
    tap_packet_status status = see_images(data, pinfo, tapped);

    if (!object)
        return status;
    collect(content_of(object), tapped);
    if (!is_last(tapped))
        return status;
    hand_over(data, pinfo, object);
    if (object->written && object->done)
        hand_over(data, pinfo, object->written);
    return TAP_PACKET_REDRAW;
}

int kd_export_register(int proto)
{
    register_init_routine(begin);
    tap_export = register_export_object(proto, see, forget_all);
    return tap_export;
}
