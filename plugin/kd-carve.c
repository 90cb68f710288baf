/* kd-carve.c - feeds the model of the target for each connection. See kd-carve.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kd-carve.h"

#include <string.h>

#include "analysis/carve.h"
#include "analysis/model.h"

#define STORE_MEMORY   ((size_t)64 << 20) /* bytes; more of them are in a temporary file */
#define IMAGES_MAX     ((size_t)1 << 30)  /* bytes of all images of a connection */
#define PATH_MAX_BYTES 1024u

/* One connection. */
struct feed {
    const struct kd_unit *first;
    uint32_t frame; /* the latest */
    struct kda_store *store;
    struct kda_session *session; /* null: ended, or memory was short */
    struct kda_model *model;
    bool failed;
};

static GHashTable *feeds; /* struct kd_session -> struct feed */

static void stop(struct feed *feed)
{
    kda_session_free(feed->session);
    kda_model_free(feed->model);
    kda_store_free(feed->store);
    feed->session = NULL;
    feed->model = NULL;
    feed->store = NULL;
}

static void free_feed(void *data)
{
    stop(data);
    g_free(data);
}

void kd_carve_forget(void)
{
    if (feeds)
        g_hash_table_remove_all(feeds);
}

static void take_event(void *context, const struct kda_event *event)
{
    struct feed *feed = context;

    if (!feed->failed)
        feed->failed = !kda_model_event(feed->model, event);
}

static struct feed *new_feed(const struct kd_tapped *tapped)
{
    bool kdnet = kd_session_kdnet(tapped->session);
    const struct kda_session_config config = {.ids = kdnet ? KD_IDS_KDNET : KD_IDS_SERIAL,
                                              .datagrams = kdnet};
    struct feed *feed = g_new0(struct feed, 1);

    feed->first = tapped->unit;
    feed->store = kda_store_new(STORE_MEMORY);
    if (feed->store)
        feed->model = kda_model_new(KDA_KEEP_MODULES | KDA_KEEP_MEMORY, feed->store, NULL);
    if (feed->model)
        feed->session = kda_session_new(&config, take_event, feed);
    if (!feed->session)
        stop(feed);
    return feed;
}

/* Listeners start over without a word; what is known then is of another round. */
static struct feed *feed_of(const struct kd_tapped *tapped, uint32_t frame)
{
    struct feed *feed;

    if (!feeds)
        feeds = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, free_feed);
    feed = g_hash_table_lookup(feeds, tapped->session);
    if (!feed || feed->first == tapped->unit || frame < feed->frame) {
        feed = new_feed(tapped);
        g_hash_table_insert(feeds, (void *)tapped->session, feed);
    }
    feed->frame = frame;
    return feed;
}

/* Packets that cannot be read and copies that the receiver drops say nothing of the target. */
void kd_carve_see(const struct kd_tapped *tapped, const packet_info *pinfo)
{
    const struct kd_packet *packet = tapped->unit->packet;
    struct feed *feed = feed_of(tapped, pinfo->num);
    uint64_t time =
        (uint64_t)pinfo->abs_ts.secs * 1000000000u + (uint64_t)(uint32_t)pinfo->abs_ts.nsecs;

    if (!feed->session || !tapped->payload || (packet->flags & (KD_PKT_IGNORED | KD_PKT_CUT)))
        return;
    if (!kda_session_bytes(feed->session, pinfo->num, time, tapped->unit->flow, tapped->bytes,
                           tapped->length) ||
        feed->failed)
        stop(feed);
}

/* --- images */

/* "\SystemRoot\system32\hal.dll" -> "hal.dll"; as sent it may hold anything. */
static char *file_name(const struct kda_model *model, struct kda_bytes path)
{
    char bytes[PATH_MAX_BYTES];
    size_t from = 0;

    if (path.size > sizeof bytes) {
        path.at += path.size - sizeof bytes;
        path.size = sizeof bytes;
    }
    if (!path.size || !kda_model_bytes(model, path, (uint8_t *)bytes))
        return g_strdup("module");
    for (size_t i = 0; i + 1 < path.size; i++)
        if (bytes[i] == '\\' || bytes[i] == '/')
            from = i + 1;
    return g_utf8_make_valid(bytes + from, (gssize)(path.size - from));
}

static size_t carve(const struct kda_model *model, const struct kda_module *module,
                    kd_carve_function function, void *context)
{
    const struct kda_carve_choice choice = {.at = module->unloaded ? module->unloaded : KDA_END,
                                            .values = KDA_CARVE_LATEST};
    struct kda_carved *carved = g_new0(struct kda_carved, 1);
    size_t size = 0;
    char *name;

    if (!kda_carve(kda_model_virtual(model), module->base, &choice, carved)) {
        size = carved->size;
        name = file_name(model, module->path);
        function(context, name, carved);
        g_free(name);
    }
    kda_carved_free(carved);
    g_free(carved);
    return size;
}

static void end(struct feed *feed, kd_carve_function function, void *context)
{
    size_t total = 0;

    if (feed->session) {
        kda_session_end(feed->session);
        kda_model_end(feed->model);
        for (size_t i = 0; i < kda_model_module_count(feed->model) && total < IMAGES_MAX; i++)
            total += carve(feed->model, kda_model_module(feed->model, i), function, context);
    }
    stop(feed);
}

void kd_carve_end(const struct kd_session *session, kd_carve_function function, void *context)
{
    GHashTableIter each;
    void *key, *value;

    if (!feeds)
        return;
    g_hash_table_iter_init(&each, feeds);
    while (g_hash_table_iter_next(&each, &key, &value))
        if (!session || key == session)
            end(value, function, context);
}
