/* symbols_eh.c - `kdlens symbols --eh`. See symbols_eh.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Every fact is a line: what it is, then names and values. With --json it is an object of the same.
 */
#include "symbols_eh.h"

#include <inttypes.h>
#include <stdio.h>

#include "image/eh_tables.h"
#include "image/unwind.h"

struct printer {
    const struct img_image *image;
    bool json;
};

struct field {
    const char *name;
    int64_t value;
    bool place; /* an RVA: hexadecimal */
};

static void print_fields(const struct printer *printer, const char *what,
                         const struct field *fields, size_t count)
{
    if (printer->json)
        printf("{\"what\": \"%s\"", what);
    else
        printf("%s", what);
    for (size_t i = 0; i < count; i++) {
        if (printer->json)
            printf(", \"%s\": %" PRId64, fields[i].name, fields[i].value);
        else if (fields[i].place)
            printf("  %s %08" PRIx64, fields[i].name, (uint64_t)fields[i].value);
        else
            printf("  %s %" PRId64, fields[i].name, fields[i].value);
    }
    printf(printer->json ? "}\n" : "\n");
}

#define PRINT(printer, what, ...)                                               \
    do {                                                                        \
        const struct field fields_[] = {__VA_ARGS__};                           \
        print_fields(printer, what, fields_, sizeof fields_ / sizeof *fields_); \
    } while (0)

static bool print_scopes(const struct printer *printer, uint32_t data)
{
    struct img_eh_scope scope;
    uint32_t count;

    if (!img_eh_scope_count(printer->image, data, &count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!img_eh_scope(printer->image, data, i, &scope))
            return false;
        if (scope.target == 0)
            PRINT(printer, "finally", {"begin", scope.begin, true}, {"end", scope.end, true},
                  {"handler", scope.handler, true});
        else
            PRINT(printer, "except", {"begin", scope.begin, true}, {"end", scope.end, true},
                  {"filter", scope.handler, true}, {"target", scope.target, true});
    }
    return true;
}

static void print_states(const struct printer *printer, const struct img_eh *eh)
{
    uint32_t rva;
    int32_t state;

    for (uint32_t i = 0; img_eh_ip(eh, i, &rva, &state); i++)
        PRINT(printer, "state", {"from", rva, true}, {"number", state, false});
}

static bool print_actions(const struct printer *printer, const struct img_eh *eh)
{
    static const char *const kinds[] = {"nothing", "call", "destroy", "destroy-at"};
    struct img_eh_unwind action;

    for (uint32_t i = 0; i < eh->state_count; i++) {
        if (!img_eh_unwind(eh, (int32_t)i, &action))
            return false;
        PRINT(printer, kinds[action.kind < IMG_EH_ACTION_COUNT ? action.kind : 0],
              {"state", i, false}, {"next", action.next, false}, {"action", action.action, true},
              {"object", action.object, false});
    }
    return true;
}

static bool print_catches(const struct printer *printer, const struct img_eh *eh,
                          const struct img_eh_try *block)
{
    struct img_eh_handler handler;

    for (uint32_t i = 0; i < block->handler_count; i++) {
        if (!img_eh_handler(eh, block, i, &handler))
            return false;
        PRINT(printer, handler.type ? "catch" : "catch-all", {"handler", handler.handler, true},
              {"type", handler.type, true}, {"adjectives", handler.adjectives, false},
              {"object", handler.object, false});
        for (unsigned k = 0; k < handler.continuation_count && k < 2; k++)
            PRINT(printer, "continue", {"at", handler.continuations[k], true});
    }
    return true;
}

static bool print_cxx(const struct printer *printer, const struct img_eh *eh)
{
    struct img_eh_try block;

    PRINT(printer, eh->kind == IMG_EH_CXX4 ? "FuncInfo4" : "FuncInfo3", {"info", eh->info, true},
          {"flags", eh->flags, false}, {"states", eh->state_count, false},
          {"try-blocks", eh->try_count, false});
    print_states(printer, eh);
    if (!print_actions(printer, eh))
        return false;
    for (uint32_t i = 0; i < eh->try_count; i++) {
        if (!img_eh_try(eh, i, &block))
            return false;
        PRINT(printer, "try", {"low", block.low, false}, {"high", block.high, false},
              {"catch-high", block.catch_high, false});
        if (!print_catches(printer, eh, &block))
            return false;
    }
    return true;
}

static bool print_gs(const struct printer *printer, uint32_t data)
{
    struct img_eh_gs gs;

    if (!img_eh_gs(printer->image, data, &gs))
        return false;
    PRINT(printer, "stack-cookie", {"at", gs.cookie, false}, {"flags", gs.flags, false});
    return true;
}

static bool print_data(const struct printer *printer, const struct img_unwind_info *info,
                       const struct img_function *function, uint32_t rva)
{
    enum img_eh_kind kind = img_eh_guess(printer->image, info->handler_data, function);
    struct img_eh eh;

    switch (kind) {
    case IMG_EH_SCOPES:
        return print_scopes(printer, info->handler_data);
    case IMG_EH_CXX3:
    case IMG_EH_CXX4:
        return img_eh_open(printer->image, kind, info->handler_data, function->begin, rva, &eh) &&
               print_cxx(printer, &eh);
    case IMG_EH_GS:
        return print_gs(printer, info->handler_data);
    case IMG_EH_UNKNOWN:
        break;
    }
    PRINT(printer, "unknown-handler-data", {"at", info->handler_data, true});
    return true;
}

bool symbols_eh_print(const struct img_image *image, uint32_t rva, bool json,
                      struct problem *problem)
{
    struct printer printer = {image, json};
    struct img_function function;
    struct img_unwind_info info;

    if (!img_function_at(image, rva, &function)) {
        problem_set(problem, "no function of the exception directory holds RVA 0x%" PRIx32, rva);
        return false;
    }
    if (!img_primary_function(image, &function) ||
        !img_unwind_info(image, function.unwind, &info)) {
        problem_set(problem, "the unwind information at RVA 0x%" PRIx32 " is damaged",
                    function.unwind);
        return false;
    }
    PRINT(&printer, "function", {"begin", function.begin, true}, {"end", function.end, true},
          {"handler", info.handler, true});
    if (info.handler && !print_data(&printer, &info, &function, rva)) {
        problem_set(problem, "the exception table at RVA 0x%" PRIx32 " is damaged",
                    info.handler_data);
        return false;
    }
    return true;
}
