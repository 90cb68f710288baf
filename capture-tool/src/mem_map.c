/* mem_map.c - kdlens mem map: which addresses a capture tells of, and how much of what.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <inttypes.h>
#include <stdio.h>

#include "facts.h"
#include "mem.h"

/* What is being mapped. */
struct map {
    const struct mem_options *options;
    const struct models_seat *seat;
    const struct kda_memory *memory;
    const char *space;
    bool physical;
    uint64_t extents, known;
};

static void origins_json(uint32_t origins)
{
    const char *separator = "";

    printf(", \"origins\": [");
    for (unsigned i = 0; i < KDA_ORIGINS; i++) {
        if (!(origins >> i & 1))
            continue;
        printf("%s\"%s\"", separator, origin_name((enum kda_origin)i));
        separator = ", ";
    }
    putchar(']');
}

static void extent_json(const struct map *map, const struct kda_extent *extent)
{
    fact_begin(stdout, map->seat->number);
    fact_string(stdout, "kind", "extent");
    fact_string(stdout, "space", map->space);
    if (map->physical)
        fact_hex(stdout, "address", extent->address);
    else
        fact_address(stdout, "address", map->seat->model, extent->address,
                     mem_view(map->options).at);
    fact_number(stdout, "size", extent->size);
    fact_number(stdout, "first_frame", extent->first);
    fact_number(stdout, "last_frame", extent->last);
    origins_json(extent->origins);
    fact_end(stdout);
}

static void extent_text(const struct map *map, const struct kda_extent *extent)
{
    char start[ADDRESS_TEXT_SIZE], end[ADDRESS_TEXT_SIZE], place[PLACE_TEXT_SIZE] = "";
    char origins[ORIGINS_TEXT_SIZE], frames[32];

    address_text(extent->address, start);
    address_text(extent->address + extent->size, end);
    origins_text(extent->origins, origins);
    snprintf(frames, sizeof frames, "%" PRIu32 "-%" PRIu32, extent->first, extent->last);
    if (!map->physical)
        place_text(map->seat->model, extent->address, mem_view(map->options).at, place);
    printf("%s %s %10" PRIu64 "  %-15s %-12s %s\n", start, end, extent->size, frames, origins,
           place);
}

static void change_json(const struct map *map, const struct kda_change *change)
{
    fact_begin(stdout, map->seat->number);
    fact_string(stdout, "kind", "change");
    fact_string(stdout, "space", map->space);
    fact_hex(stdout, "address", change->address);
    fact_number(stdout, "size", change->size);
    fact_string(stdout, "origin", origin_name(change->origin));
    fact_number(stdout, "frame", change->frame);
    fact_number(stdout, "last_frame", change->last);
    fact_string(stdout, "by", origin_name(change->by));
    fact_number(stdout, "until_frame", change->until);
    fact_flag(stdout, "while_stopped", change->stopped);
    fact_end(stdout);
}

static void change_text(const struct map *map, const struct kda_change *change)
{
    char start[ADDRESS_TEXT_SIZE], place[PLACE_TEXT_SIZE] = "";

    address_text(change->address, start);
    if (!map->physical)
        place_text(map->seat->model, change->address, change->until, place);
    printf("%s %5" PRIu32 "  %s in frames %" PRIu32 "-%" PRIu32 ", another value by %s in frame "
           "%" PRIu32 "%s%s%s\n",
           start, change->size, origin_name(change->origin), change->frame, change->last,
           origin_name(change->by), change->until, change->stopped ? ", while stopped" : "",
           place[0] ? "  " : "", place);
}

static void total_json(const struct map *map)
{
    const struct kda_memory_tally *tally = kda_memory_tally(map->memory);

    fact_begin(stdout, map->seat->number);
    fact_string(stdout, "kind", "total");
    fact_string(stdout, "space", map->space);
    fact_number(stdout, "extents", map->extents);
    fact_number(stdout, "known_bytes", map->known);
    for (unsigned i = 0; i < KDA_ORIGINS; i++) {
        char name[32];

        snprintf(name, sizeof name, "%s_count", origin_name((enum kda_origin)i));
        fact_number(stdout, name, tally->observations[i]);
        snprintf(name, sizeof name, "%s_bytes", origin_name((enum kda_origin)i));
        fact_number(stdout, name, tally->bytes[i]);
    }
    fact_number(stdout, "changes", tally->changes);
    fact_number(stdout, "changes_while_stopped", tally->changes_stopped);
    fact_number(stdout, "left_out_bytes", tally->left_out);
    fact_end(stdout);
}

static void total_text(const struct map *map)
{
    const struct kda_memory_tally *tally = kda_memory_tally(map->memory);
    const char *separator = "";

    printf("%s: %" PRIu64 " bytes known in %" PRIu64 " places; ", map->space, map->known,
           map->extents);
    for (unsigned i = 0; i < KDA_ORIGINS; i++) {
        if (!tally->observations[i])
            continue;
        printf("%s%s: %" PRIu64 " of %" PRIu64 " bytes", separator, origin_name((enum kda_origin)i),
               tally->observations[i], tally->bytes[i]);
        separator = ", ";
    }
    printf("; %" PRIu64 " values changed, %" PRIu64 " while stopped\n", tally->changes,
           tally->changes_stopped);
    if (tally->left_out)
        printf("%s: %" PRIu64 " filled bytes are left out\n", map->space, tally->left_out);
}

static void list_extents(struct map *map)
{
    const struct kda_view view = mem_view(map->options);
    struct kda_extent extent;

    for (uint64_t at = 0; kda_memory_next_extent(map->memory, &view, &at, &extent);) {
        if (map->options->changes) {
            /* only counted */
        } else if (map->options->json) {
            extent_json(map, &extent);
        } else {
            if (map->extents == 0)
                printf("%-17s %-17s %10s  %-15s %-12s %s\n", map->space, "to", "bytes", "frames",
                       "from", map->physical ? "" : "place");
            extent_text(map, &extent);
        }
        map->extents++;
        map->known += extent.size;
    }
}

static void list_changes(const struct map *map)
{
    const struct kda_view view = mem_view(map->options);
    struct kda_change change;

    for (uint64_t at = 0; kda_memory_next_change(map->memory, &at, &change);) {
        if (change.until > view.at)
            continue;
        if (map->options->json)
            change_json(map, &change);
        else
            change_text(map, &change);
    }
}

static uint64_t map_space(const struct mem_options *options, const struct models_seat *seat,
                          bool physical)
{
    struct map map = {
        .options = options,
        .seat = seat,
        .memory = physical ? kda_model_physical(seat->model) : kda_model_virtual(seat->model),
        .space = physical ? "physical" : "virtual",
        .physical = physical,
    };

    list_extents(&map);
    if (options->changes)
        list_changes(&map);
    if (options->json)
        total_json(&map);
    else if (map.known || !physical)
        total_text(&map);
    return map.known;
}

bool mem_map(const struct mem_options *options, const struct models_seat *seat,
             struct problem *problem)
{
    uint64_t known;

    (void)problem;
    if (!options->json && seat->number > 1)
        printf("\nsession %u, %s\n", seat->number, seat->stream->name);
    known = map_space(options, seat, false);
    return map_space(options, seat, true) + known > 0;
}
