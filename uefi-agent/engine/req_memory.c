/* req_memory.c - virtual and physical memory: read, write, search, fill, query.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A read that got some bytes succeeds with their number, for debuggers go on behind them
 * (kd.md 2.3); one that got none of those it wanted is C0000001. A write that did not reach its end
 * is C0000001 with the true count. Nothing invents bytes for memory that is absent.
 */
#include "bytes.h"
#include "state.h"

/* Up to the end of the address space: an access never goes on at 0. */
static size_t within(uint64_t address, size_t size)
{
    return address != 0 && size > 0 - address ? (size_t)(0 - address) : size;
}

static enum kda_flow finish_read(struct kda_request *request, kd_u32 *actual, size_t wanted,
                                 size_t got)
{
    *actual = kd_put32((uint32_t)got);
    request->out_size = got;
    return kda_status(request, got == 0 && wanted != 0 ? KDA_UNSUCCESSFUL : KDA_SUCCESS);
}

static enum kda_flow finish_write(struct kda_request *request, kd_u32 *actual, size_t wanted,
                                  size_t done)
{
    *actual = kd_put32((uint32_t)done);
    return kda_status(request, done < wanted ? KDA_UNSUCCESSFUL : KDA_SUCCESS);
}

enum kda_flow kda_read_virtual(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_memory *body = request->body;
    uint64_t address = kd_get64(body->target_base_address);
    size_t wanted = kda_min(kd_get32(body->transfer_count), request->room);

    return finish_read(request, &body->actual_bytes, wanted,
                       engine->target.ops->read_virtual(engine->target.self, address, request->out,
                                                        within(address, wanted)));
}

/* More asked than sent: what was sent is written, and that is success (measured). */
enum kda_flow kda_write_virtual(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_memory *body = request->body;
    uint64_t address = kd_get64(body->target_base_address);
    size_t wanted = kda_min(kd_get32(body->transfer_count), request->size);

    return finish_write(request, &body->actual_bytes, wanted,
                        engine->target.ops->write_virtual(engine->target.self, address,
                                                          request->data, within(address, wanted)));
}

/* ActualBytes of a physical request is the caching. */
enum kda_flow kda_read_physical(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_physical_memory *body = request->body;
    uint64_t address = kd_get64(body->target_base_address);
    size_t wanted = kda_min(kd_get32(body->transfer_count), request->room);
    uint32_t caching = kd_get32(body->actual_bytes);

    return finish_read(request, &body->actual_bytes, wanted,
                       engine->target.ops->read_physical(engine->target.self, address, request->out,
                                                         within(address, wanted), caching));
}

enum kda_flow kda_write_physical(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_physical_memory *body = request->body;
    uint64_t address = kd_get64(body->target_base_address);
    size_t wanted = kda_min(kd_get32(body->transfer_count), request->size);
    uint32_t caching = kd_get32(body->actual_bytes);

    return finish_write(request, &body->actual_bytes, wanted,
                        engine->target.ops->write_physical(engine->target.self, address,
                                                           request->data, within(address, wanted),
                                                           caching));
}

/* Whether a long search or fill should end: looks at the line as well. */
static bool disturbed(struct kda_engine *engine)
{
    (void)kda_wire_step(&engine->wire);
    return kda_wire_has_news(&engine->wire);
}

/* How the bytes at address compare with the pattern. */
enum match { MATCH_NO, MATCH_YES, MATCH_ABSENT };

/* The first byte was found in the window; the others may lie behind it. */
static enum match compare(struct kda_engine *engine, uint64_t address,
                          const struct kda_request *request, size_t length)
{
    uint8_t piece[64];

    for (size_t done = 0; done < length;) {
        size_t size = kda_min(length - done, sizeof piece);

        if (engine->target.ops->read_virtual(engine->target.self, address + done, piece, size) !=
            size)
            return MATCH_ABSENT;
        if (memcmp(piece, request->data + done, size) != 0)
            return MATCH_NO;
        done += size;
    }
    return MATCH_YES;
}

/* Looks at the starts in one window of memory. */
static enum match search_window(struct kda_engine *engine, struct kda_request *request,
                                uint64_t *address, size_t starts, size_t length)
{
    size_t got =
        engine->target.ops->read_virtual(engine->target.self, *address, engine->scratch, starts);

    for (size_t i = 0; i < got; i++) {
        enum match match;

        if (engine->scratch[i] != request->data[0])
            continue;
        match = compare(engine, *address + i, request, length);
        if (match != MATCH_NO) {
            *address += i;
            return match;
        }
    }
    *address += got;
    return got < starts ? MATCH_ABSENT : MATCH_NO;
}

/* Public behaviour of NT: the match lies within the range, STATUS_NO_MORE_ENTRIES when there is
 * none. A hole in the range ends the search with C0000001, for what is absent is not searched. */
enum kda_flow kda_search_memory(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_search_memory *body = request->body;
    uint64_t address = kd_get64(body->search_address);
    uint64_t range = kd_get64(body->search_length);
    uint32_t length = kd_get32(body->pattern_length);
    uint64_t starts;

    if (length == 0 || length > request->size)
        return kda_status(request, KD_NT(STATUS_INVALID_PARAMETER));
    if (address != 0 && range > 0 - address)
        range = 0 - address;
    for (starts = range < length ? 0 : range - length + 1; starts > 0;) {
        size_t window = starts < sizeof engine->scratch ? (size_t)starts : sizeof engine->scratch;
        uint64_t before = address;
        enum match match = search_window(engine, request, &address, window, length);

        if (match == MATCH_ABSENT)
            return kda_status(request, KDA_UNSUCCESSFUL);
        if (match == MATCH_YES) {
            body->search_address = kd_put64(address);
            return kda_status(request, KDA_SUCCESS);
        }
        starts -= address - before;
        if (disturbed(engine))
            return kda_status(request, KD_NT(STATUS_CANCELLED));
    }
    return kda_status(request, KD_NT(STATUS_NO_MORE_ENTRIES));
}

static size_t write_piece(struct kda_engine *engine, bool physical, uint64_t address, size_t size)
{
    const struct kda_target *target = &engine->target;

    return physical ? target->ops->write_physical(target->self, address, engine->scratch, size,
                                                  KD_CACHING_UNKNOWN)
                    : target->ops->write_virtual(target->self, address, engine->scratch, size);
}

/* Public behaviour of NT: one of the two flags, a pattern that repeats, Length becomes what was
 * filled. */
enum kda_flow kda_fill_memory(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_fill_memory *body = request->body;
    uint64_t address = kd_get64(body->address);
    size_t total = within(address, kd_get32(body->length));
    uint16_t flags = kd_get16(body->flags);
    size_t pattern = kd_get16(body->pattern_length);
    size_t done = 0, written = 1;
    bool cancelled = false;

    if (pattern == 0 || pattern > request->size ||
        (flags != KD_FILL_VIRTUAL && flags != KD_FILL_PHYSICAL))
        return kda_status(request, KD_NT(STATUS_INVALID_PARAMETER));
    while (done < total && written && !cancelled) {
        size_t size = kda_min(total - done, sizeof engine->scratch);

        for (size_t i = 0; i < size; i++)
            engine->scratch[i] = request->data[(done + i) % pattern];
        written = write_piece(engine, flags == KD_FILL_PHYSICAL, address + done, size);
        done += written;
        if (written < size)
            break;
        cancelled = disturbed(engine);
    }
    body->length = kd_put32((uint32_t)done);
    return kda_status(request, done < total
                                   ? (cancelled ? KD_NT(STATUS_CANCELLED) : KDA_UNSUCCESSFUL)
                                   : KDA_SUCCESS);
}

/* All that is there is the kernel's, as firmware sees it. */
enum kda_flow kda_query_memory(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_query_memory *body = request->body;
    struct kda_page page = {0};

    if (kd_get32(body->address_space) != KD_QUERY_PROCESS)
        return kda_status(request, KD_NT(STATUS_INVALID_PARAMETER));
    engine->target.ops->query_page(engine->target.self, kd_get64(body->address), &page);
    if (!page.present)
        return kda_status(request, KDA_UNSUCCESSFUL);
    body->address_space = kd_put32(KD_QUERY_KERNEL);
    body->flags = kd_put32(KD_QUERY_READ | (page.writable ? (uint32_t)KD_QUERY_WRITE : 0u) |
                           (page.executable ? (uint32_t)KD_QUERY_EXECUTE : 0u));
    return kda_status(request, KDA_SUCCESS);
}
