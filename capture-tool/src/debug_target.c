/* debug_target.c - requests with what goes into them and what comes out. See debug_target.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Counts of a reply are believed as far as its own size and the request's go.
 */
#include "debug_target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kd/describe.h"

#define ADDRESS_MATCH 12u   /* address and count of a memory request: alike in its reply */
#define SPECIAL_MIN   0x50u /* up to Dr7 */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static struct kd_client_request new_request(const struct debug_session *session, uint32_t api)
{
    return (struct kd_client_request){.api = api, .processor = session->stop.processor};
}

/* --- memory */

static struct kd_client_request memory_request(const struct debug_session *session, uint32_t api,
                                               uint64_t address, size_t size)
{
    struct kd_client_request request = new_request(session, api);
    struct kd_memory fields = {.target_base_address = kd_put64(address),
                               .transfer_count = kd_put32((uint32_t)size)};

    memcpy(request.fixed, &fields, sizeof fields);
    request.match = ADDRESS_MATCH;
    return request;
}

/* Bytes that a reply says were moved, and that it can have moved. */
static size_t moved(const struct debug_session *session, size_t wanted)
{
    const struct kd_memory *fields = (const struct kd_memory *)session_union(session);

    return smaller(kd_get32(fields->actual_bytes), wanted);
}

static size_t read_data(const struct debug_session *session, uint8_t *bytes, size_t wanted)
{
    size_t size = smaller(moved(session, wanted), session->reply_size - KD_MANIPULATE_DATA);

    memcpy(bytes, session->reply + KD_MANIPULATE_DATA, size);
    return size;
}

static void name_refusal(const struct debug_session *session, struct problem *problem,
                         const char *what, enum target_space space, uint64_t address)
{
    uint32_t status = session_status(session);
    const char *name = kd_value_name(KD_SET_ID_ntstatus, status);

    problem_set(problem, "%s memory at %s%016" PRIx64 " cannot be %s: %08" PRIx32 "%s%s",
                space == SPACE_PHYSICAL ? "physical" : "virtual", "", address, what, status,
                name ? " " : "", name ? name : "");
}

bool target_read(struct debug_session *session, enum target_space space, uint64_t address,
                 uint8_t *bytes, size_t size, size_t *got, struct problem *problem)
{
    uint32_t api =
        space == SPACE_PHYSICAL ? KD_API_READ_PHYSICAL_MEMORY : KD_API_READ_VIRTUAL_MEMORY;
    size_t there = 0;
    bool good = true;

    while (good && there < size) {
        size_t piece = smaller(size - there, KD_CLIENT_DATA_MAX), came;
        struct kd_client_request request = memory_request(session, api, address + there, piece);

        good = session_ask(session, &request, problem);
        if (!good)
            break;
        came = read_data(session, bytes + there, piece);
        there += came;
        /* Success with less is a short read; with nothing it would have no end. */
        if (session_status(session) != KD_NT(STATUS_SUCCESS) || came == 0) {
            good = there >= size;
            if (!good)
                name_refusal(session, problem, "read", space, address + there);
        }
    }
    if (got)
        *got = there;
    return good;
}

bool target_write(struct debug_session *session, enum target_space space, uint64_t address,
                  const uint8_t *bytes, size_t size, struct problem *problem)
{
    uint32_t api =
        space == SPACE_PHYSICAL ? KD_API_WRITE_PHYSICAL_MEMORY : KD_API_WRITE_VIRTUAL_MEMORY;

    while (size > 0) {
        size_t piece = smaller(size, KD_CLIENT_DATA_MAX), went;
        struct kd_client_request request = memory_request(session, api, address, piece);

        request.data = bytes;
        request.size = piece;
        if (!session_ask(session, &request, problem))
            return false;
        went = moved(session, piece);
        if (session_status(session) != KD_NT(STATUS_SUCCESS) || went == 0) {
            name_refusal(session, problem, "written", space, address + went);
            return false;
        }
        bytes += went;
        size -= went;
        address += went;
    }
    return true;
}

bool target_read_number(struct debug_session *session, uint64_t address, size_t size,
                        uint64_t *value, struct problem *problem)
{
    uint8_t bytes[8] = {0};

    if (!target_read(session, SPACE_VIRTUAL, address, bytes, size, NULL, problem))
        return false;
    *value = kd_get64(*(const kd_u64 *)bytes);
    return true;
}

bool target_search(struct debug_session *session, uint64_t address, uint64_t length,
                   const uint8_t *pattern, size_t size, bool *supported, bool *found, uint64_t *at,
                   struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_SEARCH_MEMORY);
    struct kd_search_memory fields = {.search_address = kd_put64(address),
                                      .search_length = kd_put64(length),
                                      .pattern_length = kd_put32((uint32_t)size)};
    uint32_t status;

    memcpy(request.fixed, &fields, sizeof fields);
    request.data = pattern;
    request.size = size;
    if (!session_ask(session, &request, problem))
        return false;
    status = session_status(session);
    *supported = status != KD_NT(STATUS_UNSUCCESSFUL);
    *found = status == KD_NT(STATUS_SUCCESS);
    *at = kd_get64(((const struct kd_search_memory *)session_union(session))->search_address);
    /* An address outside of what was searched would send the caller round for ever. */
    if (*found && (*at < address || *at - address >= length))
        *found = false;
    return true;
}

bool target_fill(struct debug_session *session, enum target_space space, uint64_t address,
                 uint32_t length, const uint8_t *pattern, size_t size, bool *supported,
                 struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_FILL_MEMORY);
    struct kd_fill_memory fields = {
        .address = kd_put64(address),
        .length = kd_put32(length),
        .flags = kd_put16(space == SPACE_PHYSICAL ? KD_FILL_PHYSICAL : KD_FILL_VIRTUAL),
        .pattern_length = kd_put16((uint16_t)size)};
    uint32_t filled;

    memcpy(request.fixed, &fields, sizeof fields);
    request.data = pattern;
    request.size = size;
    if (!session_ask(session, &request, problem))
        return false;
    filled = kd_get32(((const struct kd_fill_memory *)session_union(session))->length);
    *supported = session_status(session) == KD_NT(STATUS_SUCCESS) && filled == length;
    return true;
}

/* --- version */

const struct kd_get_version64 *target_version_fields(const struct debug_session *session)
{
    return (const struct kd_get_version64 *)session->version;
}

bool target_version(struct debug_session *session, struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_GET_VERSION);
    const struct kd_arch_info *arch;

    if (!session_must(session, &request, "GetVersion", problem))
        return false;
    memcpy(session->version, session_union(session), KD_CLIENT_UNION);
    arch = kd_arch_of_machine(kd_get16(target_version_fields(session)->machine_type));
    session->arch = arch ? arch->arch : KD_ARCH_UNKNOWN;
    session->version_known = true;
    return true;
}

/* The architecture, asked for when it is not known. */
static const struct kd_arch_info *arch_of(struct debug_session *session, struct problem *problem)
{
    const struct kd_arch_info *arch;

    if (!session->version_known && !target_version(session, problem))
        return NULL;
    arch = kd_arch_info(session->arch);
    if (!arch)
        problem_set(problem, "the target's machine type %04x is not known",
                    kd_get16(target_version_fields(session)->machine_type));
    return arch;
}

/* --- registers */

bool target_context(struct debug_session *session, struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_GET_CONTEXT);
    const struct kd_arch_info *arch;
    size_t size;

    if (session->context_known)
        return true;
    arch = arch_of(session, problem);
    if (!arch || !session_must(session, &request, "GetContext", problem))
        return false;
    size = session->reply_size - KD_MANIPULATE_DATA;
    if (size < kd_layouts[arch->context].size || arch->context == KD_LAYOUT_none) {
        problem_set(problem, "the target's CONTEXT of %zu bytes is not one of %s", size,
                    arch->name);
        return false;
    }
    memcpy(session->context, session->reply + KD_MANIPULATE_DATA, size);
    session->context_size = size;
    session->context_known = true;
    return true;
}

bool target_set_context(struct debug_session *session, struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_SET_CONTEXT);
    const struct kd_context_amd64 *context = (const struct kd_context_amd64 *)session->context;
    struct kd_set_context fields = {.context_flags = kd_put32(0)};

    if (session->arch == KD_ARCH_AMD64)
        fields.context_flags = context->context_flags;
    memcpy(request.fixed, &fields, sizeof fields);
    request.data = session->context;
    request.size = session->context_size;
    return session_must(session, &request, "SetContext", problem);
}

bool target_special(struct debug_session *session, struct problem *problem)
{
    const struct kd_arch_info *arch = arch_of(session, problem);
    struct kd_client_request request;
    size_t wanted;

    if (session->special_known)
        return true;
    if (!arch)
        return false;
    /* WinDbg asks for 0xE0 bytes, without the newest member; a target may have no more. */
    wanted = session->arch == KD_ARCH_AMD64 ? 0xE0 : kd_layouts[arch->special].size;
    request = memory_request(session, KD_API_READ_CONTROL_SPACE, arch->special_selector, wanted);
    if (!session_must(session, &request, "reading the control registers", problem))
        return false;
    session->special_size = read_data(session, session->special, wanted);
    if (session->special_size < (session->arch == KD_ARCH_AMD64 ? SPECIAL_MIN : wanted)) {
        problem_set(problem, "the target has only %zu bytes of control registers",
                    session->special_size);
        return false;
    }
    session->special_known = true;
    return true;
}

bool target_set_special(struct debug_session *session, struct problem *problem)
{
    const struct kd_arch_info *arch = arch_of(session, problem);
    struct kd_client_request request;

    if (!arch)
        return false;
    request = memory_request(session, KD_API_WRITE_CONTROL_SPACE, arch->special_selector,
                             session->special_size);
    request.data = session->special;
    request.size = session->special_size;
    return session_must(session, &request, "writing the control registers", problem);
}

/* --- ports, MSRs, buses */

static struct kd_client_request port_request(const struct debug_session *session, uint32_t api,
                                             uint64_t port, unsigned size, uint32_t value)
{
    struct kd_client_request request = new_request(session, api);
    struct kd_io_space fields = {
        .io_address = kd_put64(port), .data_size = kd_put32(size), .data_value = kd_put32(value)};

    memcpy(request.fixed, &fields, sizeof fields);
    request.match = ADDRESS_MATCH;
    return request;
}

bool target_read_port(struct debug_session *session, uint64_t port, unsigned size, uint32_t *value,
                      struct problem *problem)
{
    struct kd_client_request request = port_request(session, KD_API_READ_IO_SPACE, port, size, 0);

    if (!session_must(session, &request, "reading the port", problem))
        return false;
    *value = kd_get32(((const struct kd_io_space *)session_union(session))->data_value);
    if (size < 4)
        *value &= (UINT32_C(1) << 8 * size) - 1;
    return true;
}

bool target_write_port(struct debug_session *session, uint64_t port, unsigned size, uint32_t value,
                       struct problem *problem)
{
    struct kd_client_request request =
        port_request(session, KD_API_WRITE_IO_SPACE, port, size, value);

    return session_must(session, &request, "writing the port", problem);
}

static struct kd_client_request msr_request(const struct debug_session *session, uint32_t api,
                                            uint32_t number, uint64_t value)
{
    struct kd_client_request request = new_request(session, api);
    struct kd_read_msr fields = {.msr = kd_put32(number),
                                 .data_value_low = kd_put32((uint32_t)value),
                                 .data_value_high = kd_put32((uint32_t)(value >> 32))};

    memcpy(request.fixed, &fields, sizeof fields);
    request.match = sizeof(kd_u32);
    return request;
}

bool target_read_msr(struct debug_session *session, uint32_t number, uint64_t *value,
                     struct problem *problem)
{
    struct kd_client_request request = msr_request(session, KD_API_READ_MSR, number, 0);
    const struct kd_read_msr *fields = (const struct kd_read_msr *)session_union(session);

    if (!session_must(session, &request, "no such MSR", problem))
        return false;
    *value = kd_get32(fields->data_value_low) | (uint64_t)kd_get32(fields->data_value_high) << 32;
    return true;
}

bool target_write_msr(struct debug_session *session, uint32_t number, uint64_t value,
                      struct problem *problem)
{
    struct kd_client_request request = msr_request(session, KD_API_WRITE_MSR, number, value);

    return session_must(session, &request, "no such MSR, or it cannot be written", problem);
}

bool target_bus_data(struct debug_session *session, uint32_t type, uint32_t bus, uint32_t slot,
                     uint32_t offset, uint8_t *bytes, size_t *size, struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_GET_BUS_DATA);
    struct kd_bus_data fields = {.bus_data_type = kd_put32(type),
                                 .bus_number = kd_put32(bus),
                                 .slot_number = kd_put32(slot),
                                 .offset = kd_put32(offset),
                                 .length = kd_put32((uint32_t)*size)};
    size_t there;

    memcpy(request.fixed, &fields, sizeof fields);
    if (!session_must(session, &request, "reading bus data", problem))
        return false;
    there = kd_get32(((const struct kd_bus_data *)session_union(session))->length);
    there = smaller(smaller(there, *size), session->reply_size - KD_MANIPULATE_DATA);
    memcpy(bytes, session->reply + KD_MANIPULATE_DATA, there);
    *size = there;
    return true;
}

bool target_query(struct debug_session *session, uint64_t address, uint32_t *space, uint32_t *flags,
                  struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_QUERY_MEMORY);
    struct kd_query_memory fields = {.address = kd_put64(address)};
    const struct kd_query_memory *reply = (const struct kd_query_memory *)session_union(session);

    memcpy(request.fixed, &fields, sizeof fields);
    if (!session_must(session, &request, "QueryMemory", problem))
        return false;
    *space = kd_get32(reply->address_space);
    *flags = kd_get32(reply->flags);
    return true;
}

/* --- running */

bool target_plant(struct debug_session *session, uint64_t address, uint32_t *handle,
                  struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_WRITE_BREAKPOINT);
    struct kd_write_breakpoint fields = {.break_point_address = kd_put64(address)};
    char what[64];

    memcpy(request.fixed, &fields, sizeof fields);
    request.match = sizeof(kd_u64);
    snprintf(what, sizeof what, "breakpoint at %016" PRIx64, address);
    if (!session_must(session, &request, what, problem))
        return false;
    *handle =
        kd_get32(((const struct kd_write_breakpoint *)session_union(session))->break_point_handle);
    if (*handle == 0)
        problem_set(problem, "%s: the target gave it no handle", what);
    return *handle != 0;
}

bool target_unplant(struct debug_session *session, uint32_t handle, struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_RESTORE_BREAKPOINT);
    struct kd_restore_breakpoint fields = {.break_point_handle = kd_put32(handle)};

    memcpy(request.fixed, &fields, sizeof fields);
    request.match = sizeof(kd_u32);
    return session_ask(session, &request, problem);
}

static void put_control_set(const struct debug_session *session, uint8_t *at, bool trace,
                            uint64_t dr7)
{
    struct kd_control_set_amd64 amd64 = {
        .trace_flag = kd_put32(trace), .dr7 = kd_put64(dr7), .current_symbol_start = kd_put64(1)};
    struct kd_control_set_x86 x86 = {.trace_flag = kd_put32(trace),
                                     .dr7 = kd_put32((uint32_t)dr7),
                                     .current_symbol_start = kd_put32(1)};
    struct kd_control_set_arm64 arm64 = {.trace_flag = kd_put32(trace),
                                         .current_symbol_start = kd_put64(1)};

    if (session->arch == KD_ARCH_ARM64)
        memcpy(at, &arm64, sizeof arm64);
    else if (session->arch == KD_ARCH_X86)
        memcpy(at, &x86, sizeof x86);
    else
        memcpy(at, &amd64, sizeof amd64);
}

bool target_continue(struct debug_session *session, uint32_t status, bool trace, uint64_t dr7,
                     struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_CONTINUE2);

    if (!arch_of(session, problem))
        return false;
    *(kd_u32 *)request.fixed = kd_put32(status);
    put_control_set(session, request.fixed + KD_CONTINUE2_CONTROL_SET, trace, dr7);
    request.silent = true;
    request.resumes = true;
    session->stopped = false;
    session_forget(session);
    if (session_ask(session, &request, problem))
        return true;
    session->stopped = session->client.state == KD_CLIENT_STOPPED;
    return false;
}

bool target_reboot(struct debug_session *session, struct problem *problem)
{
    struct kd_client_request request = new_request(session, KD_API_REBOOT);

    request.silent = true;
    request.resumes = true;
    session->stopped = false;
    session_forget(session);
    return session_ask(session, &request, problem);
}
