/* debug_run.c - stopping, running, breakpoints and steps. See debug_run.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "debug_modules.h"
#include "debug_registers.h"
#include "debug_target.h"
#include "kd/describe.h"

#define ALTERNATE      0x10000u /* bit of NewState */
#define BREAK_BYTE     0xCC
#define LONGEST        15u /* bytes of an x86 instruction */
#define UP_STEPS       100000u
#define DR7_FIXED      0x400u
#define EFLAGS_TRACE   0x100u
#define HARDWARE_LIMIT 4u

static bool runs_x86(const struct debug_session *session)
{
    return session->arch == KD_ARCH_AMD64 || session->arch == KD_ARCH_X86;
}

void run_name_address(const struct debug_session *session, uint64_t address, char *out, size_t room)
{
    const struct debug_module *module = modules_at(session, address);

    if (module && address != module->base)
        snprintf(out, room, "%s+0x%" PRIx64, module->name, address - module->base);
    else if (module)
        snprintf(out, room, "%s", module->name);
    else
        snprintf(out, room, "%016" PRIx64, address);
}

/* --- what a state change says */

static void read_report(struct debug_stop *stop, const uint8_t *report, enum kd_arch arch)
{
    const struct kd_control_report_amd64 *amd64 = (const struct kd_control_report_amd64 *)report;
    const struct kd_control_report_x86 *x86 = (const struct kd_control_report_x86 *)report;

    stop->stream_size = 0;
    if (arch == KD_ARCH_X86) {
        stop->dr6 = kd_get32(x86->dr6);
        stop->stream_size = kd_get16(x86->instruction_count);
        memcpy(stop->stream, x86->instruction_stream, sizeof stop->stream);
    } else if (arch == KD_ARCH_AMD64) {
        stop->dr6 = kd_get64(amd64->dr6);
        stop->stream_size = kd_get16(amd64->instruction_count);
        memcpy(stop->stream, amd64->instruction_stream, sizeof stop->stream);
    }
    if (stop->stream_size > sizeof stop->stream)
        stop->stream_size = sizeof stop->stream;
}

static void read_exception(struct debug_stop *stop, const struct kd_exception64 *exception)
{
    stop->code = kd_get32(exception->exception_code);
    stop->address = kd_get64(exception->exception_address);
    stop->parameters = kd_get32(exception->number_parameters);
    if (stop->parameters > 15)
        stop->parameters = 15;
    for (uint32_t i = 0; i < stop->parameters; i++)
        stop->information[i] = kd_get64(exception->exception_information[i]);
    stop->first_chance = kd_get32(exception->first_chance) != 0;
}

static void read_change(struct debug_session *session)
{
    const struct kd_state_change64 *change = (const struct kd_state_change64 *)session->reply;
    const uint8_t *report = session->reply + KD_STATE_CHANGE_REPORT;
    struct debug_stop *stop = &session->stop;

    *stop = (struct debug_stop){.state = kd_get32(change->new_state) & ~ALTERNATE,
                                .processor = kd_get16(change->processor),
                                .processors = kd_get32(change->number_processors),
                                .pc = kd_get64(change->program_counter)};
    read_report(stop, report,
                session->arch != KD_ARCH_UNKNOWN ? session->arch : kd_arch_of_report(report));
    if (stop->state == KD_STATE_EXCEPTION)
        read_exception(stop,
                       (const struct kd_exception64 *)(session->reply + KD_STATE_CHANGE_UNION));
}

/* --- telling it */

static const char *exception_title(uint32_t code)
{
    static const struct {
        uint32_t code;
        const char *title;
    } titles[] = {
        {0x80000003, "Break instruction exception"},
        {0x80000004, "Single step exception"},
        {0x80000002, "Data misaligned"},
        {0x80000007, "Wake debugger"},
        {0xC0000005, "Access violation"},
        {0xC0000006, "In-page I/O error"},
        {0xC000001D, "Illegal instruction"},
        {0xC0000094, "Integer divide-by-zero"},
        {0xC0000095, "Integer overflow"},
        {0xC0000096, "Privileged instruction"},
        {0xC00000FD, "Stack overflow"},
    };
    const char *name = kd_value_name(KD_SET_ID_ntstatus, code);

    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        if (titles[i].code == code)
            return titles[i].title;
    return name ? name : "Unknown exception";
}

/* The breakpoint that explains the stop, or -1. */
static int breakpoint_hit(const struct debug_session *session)
{
    const struct debug_stop *stop = &session->stop;
    unsigned slot = 0;

    for (size_t i = 0; i < SESSION_BREAKPOINTS; i++) {
        const struct debug_breakpoint *breakpoint = &session->breakpoints[i];

        if (!breakpoint->used)
            continue;
        if (breakpoint->kind == BREAKPOINT_CODE) {
            if (stop->code == KD_NT(STATUS_BREAKPOINT) && breakpoint->address == stop->pc)
                return (int)i;
        } else if (slot < HARDWARE_LIMIT) {
            if (stop->code == KD_NT(STATUS_SINGLE_STEP) && stop->dr6 >> slot & 1)
                return (int)i;
            slot++;
        }
    }
    return -1;
}

static void tell_access(struct debug_session *session)
{
    const struct debug_stop *stop = &session->stop;
    const char *access = kd_value_name(KD_SET_ID_exception_access, (uint32_t)stop->information[0]);

    if (stop->code == KD_NT(STATUS_ACCESS_VIOLATION) && stop->parameters >= 2)
        output_say(session->out, "Attempt to %s address %016" PRIx64 "\n",
                   access ? access : "access", stop->information[1]);
}

static void tell_stop(struct debug_session *session, int hit)
{
    const struct debug_stop *stop = &session->stop;
    char line[200], where[160], bytes[3 * 16 + 1] = "";
    struct output_event event = {.name = "stop",
                                 .text = line,
                                 .address = stop->pc,
                                 .code = stop->code,
                                 .has_address = true,
                                 .has_code = stop->state == KD_STATE_EXCEPTION};
    const struct debug_module *module = modules_at(session, stop->pc);

    event.module = module ? module->name : NULL;
    if (stop->state != KD_STATE_EXCEPTION)
        snprintf(line, sizeof line, "Stopped at a load event");
    else if (hit >= 0 && !session->breakpoints[hit].temporary)
        snprintf(line, sizeof line, "Breakpoint %d hit", hit);
    else
        snprintf(line, sizeof line, "%s - code %08" PRIx32 " (%s chance)",
                 exception_title(stop->code), stop->code, stop->first_chance ? "first" : "second");
    output_event(session->out, &event);
    tell_access(session);
    run_name_address(session, stop->pc, where, sizeof where);
    for (unsigned i = 0; i < stop->stream_size; i++)
        snprintf(bytes + 3 * i, 4, " %02x", stop->stream[i]);
    output_say(session->out, "%s (%016" PRIx64 "), processor %u:%s\n", where, stop->pc,
               (unsigned)stop->processor, bytes);
}

/* --- load events */

/* The path behind a load event; hostile lengths end at the message's end. */
static void event_path(const struct debug_session *session, uint32_t length, char *out, size_t room)
{
    size_t there = session->reply_size - KD_STATE_CHANGE_TEXT;
    const uint8_t *text = session->reply + KD_STATE_CHANGE_TEXT;
    size_t size = 0;

    if (length < there)
        there = length;
    while (size < there && size + 1 < room && text[size]) {
        out[size] = text[size] >= 0x20 && text[size] < 0x7f ? (char)text[size] : '?';
        size++;
    }
    out[size] = '\0';
}

static void tell_unload(struct debug_session *session, uint64_t base)
{
    const struct debug_module *module = modules_at(session, base);
    char line[300];
    struct output_event event = {
        .name = "unload", .text = line, .address = base, .has_address = true};

    if (base == KD_REBOOT || base == KD_HIBERNATE) {
        event.name = "exit";
        session->ended = true;
        snprintf(line, sizeof line, "The target %s.",
                 base == KD_REBOOT ? "shuts down or reboots" : "hibernates");
    } else {
        event.module = module ? module->name : NULL;
        snprintf(line, sizeof line, "ModUnload: %016" PRIx64 " %s", base,
                 module ? module->name : "");
    }
    output_event(session->out, &event);
    modules_remove(session, base);
}

static void take_load(struct debug_session *session)
{
    const struct kd_load_symbols64 *fields =
        (const struct kd_load_symbols64 *)(session->reply + KD_STATE_CHANGE_UNION);
    uint64_t base = kd_get64(fields->base_of_dll);
    uint32_t size = kd_get32(fields->size_of_image);
    const struct debug_module *module;
    char path[256], line[400];
    struct output_event event = {
        .name = "load", .text = line, .address = base, .has_address = true};

    event_path(session, kd_get32(fields->path_name_length), path, sizeof path);
    if (kd_get8(fields->unload_symbols)) {
        tell_unload(session, base);
        return;
    }
    module = modules_add(session, base, size, kd_get32(fields->check_sum), path);
    snprintf(session->loaded, sizeof session->loaded, "%s", module ? module->name : "");
    session->loads++;
    snprintf(line, sizeof line, "ModLoad: %016" PRIx64 " %016" PRIx64 " %s", base, base + size,
             path);
    event.module = session->loaded;
    output_event(session->out, &event);
}

static bool stops_at_load(const struct debug_session *session)
{
    return session->break_wanted ||
           (session->at_load == LOAD_STOPS &&
            (!session->load_name[0] || strcmp(session->load_name, session->loaded) == 0));
}

/* CommandString: the text is another program's to run; here it is shown. */
static void tell_command(struct debug_session *session)
{
    output_target(session->out, "command", session->reply + KD_STATE_CHANGE_TEXT,
                  session->reply_size - KD_STATE_CHANGE_TEXT);
}

/* --- a stop */

static bool unplant_all(struct debug_session *session, struct problem *problem)
{
    bool good = true;

    for (size_t i = 0; i < SESSION_BREAKPOINTS; i++) {
        struct debug_breakpoint *breakpoint = &session->breakpoints[i];

        if (breakpoint->handle && good)
            good = target_unplant(session, breakpoint->handle, problem);
        breakpoint->handle = 0;
    }
    return good;
}

/* Once they are out of the target. */
static void drop_temporaries(struct debug_session *session)
{
    for (size_t i = 0; i < SESSION_BREAKPOINTS; i++)
        if (session->breakpoints[i].temporary)
            session->breakpoints[i] = (struct debug_breakpoint){.used = false};
}

/* The program counter past a break instruction that is the program's own, as WinDbg does it. */
static bool pass_break(struct debug_session *session, struct problem *problem)
{
    uint64_t pc;
    uint8_t byte;

    if (session->arch == KD_ARCH_UNKNOWN && !target_version(session, problem))
        return false;
    if (!runs_x86(session))
        return true;
    /* A replayed target may have no registers for this stop; what cannot be set stays. */
    if (!target_context(session, problem))
        return session->replied;
    if (!registers_get(session, "rip", &pc, problem))
        return false;
    if (!target_read(session, SPACE_VIRTUAL, pc, &byte, 1, NULL, problem) || byte != BREAK_BYTE)
        return true; /* what cannot be read is no break instruction either */
    return registers_set(session, "rip", pc + 1, problem);
}

/* A state change that is no stop for people: true when it is dealt with here. */
static bool passes_by(struct debug_session *session)
{
    switch (session->stop.state) {
    case KD_STATE_LOAD_SYMBOLS:
        take_load(session);
        return !stops_at_load(session);
    case KD_STATE_COMMAND_STRING:
        tell_command(session);
        return true;
    default:
        return false;
    }
}

static bool pass_on(struct debug_session *session, struct problem *problem)
{
    return pass_break(session, problem) &&
           target_continue(session, KD_NT(DBG_CONTINUE), false, session->dr7, problem);
}

/* The target stands still from here on. */
static bool settle(struct debug_session *session, struct problem *problem)
{
    bool good = unplant_all(session, problem);

    session->break_wanted = false;
    session->stopped = true;
    session->stops++;
    drop_temporaries(session);
    return good;
}

bool run_take_change(struct debug_session *session, struct problem *problem)
{
    int hit;

    session_forget(session);
    read_change(session);
    if (passes_by(session))
        return pass_on(session, problem);
    hit = session->stop.state == KD_STATE_EXCEPTION ? breakpoint_hit(session) : -1;
    if (hit >= 0)
        session->breakpoints[hit].hits++;
    tell_stop(session, hit);
    return settle(session, problem);
}

/* --- hardware breakpoints */

static unsigned length_bits(unsigned size)
{
    return size == 8 ? 2 : size - 1;
}

static unsigned kind_bits(enum breakpoint_kind kind)
{
    return kind == BREAKPOINT_EXECUTE ? 0
           : kind == BREAKPOINT_WRITE ? 1
           : kind == BREAKPOINT_PORT  ? 2
                                      : 3;
}

/* Dr0 to Dr3 and Dr7 for the breakpoints there are; without: one at this address is left out. */
static uint64_t make_dr7(const struct debug_session *session, uint64_t addresses[HARDWARE_LIMIT],
                         uint64_t without, bool leave_out)
{
    uint64_t dr7 = DR7_FIXED;
    unsigned slot = 0;

    for (size_t i = 0; i < SESSION_BREAKPOINTS && slot < HARDWARE_LIMIT; i++) {
        const struct debug_breakpoint *breakpoint = &session->breakpoints[i];

        if (!breakpoint->used || breakpoint->kind == BREAKPOINT_CODE)
            continue;
        addresses[slot] = breakpoint->address;
        if (!leave_out || breakpoint->kind != BREAKPOINT_EXECUTE || breakpoint->address != without)
            dr7 |= UINT64_C(2) << 2 * slot |
                   (uint64_t)(length_bits(breakpoint->size) << 2 | kind_bits(breakpoint->kind))
                       << (16 + 4 * slot);
        slot++;
    }
    return dr7;
}

/* Writes the debug registers when they are not what they should be. */
static bool put_hardware(struct debug_session *session, uint64_t without, bool leave_out,
                         struct problem *problem)
{
    uint64_t addresses[HARDWARE_LIMIT] = {0}, dr7;
    struct kd_special_registers_amd64 *special =
        (struct kd_special_registers_amd64 *)session->special;

    if (session->arch != KD_ARCH_AMD64)
        return true;
    dr7 = make_dr7(session, addresses, without, leave_out);
    if (dr7 == DR7_FIXED && session->dr7 == DR7_FIXED)
        return true;
    if (!target_special(session, problem))
        return false;
    special->dr0 = kd_put64(addresses[0]);
    special->dr1 = kd_put64(addresses[1]);
    special->dr2 = kd_put64(addresses[2]);
    special->dr3 = kd_put64(addresses[3]);
    special->dr6 = kd_put64(0);
    special->dr7 = kd_put64(dr7);
    session->dr7 = dr7;
    return target_set_special(session, problem);
}

/* --- running */

static bool stands_on_breakpoint(const struct debug_session *session, uint64_t pc)
{
    for (size_t i = 0; i < SESSION_BREAKPOINTS; i++) {
        const struct debug_breakpoint *breakpoint = &session->breakpoints[i];

        if (breakpoint->used && breakpoint->address == pc &&
            (breakpoint->kind == BREAKPOINT_CODE || breakpoint->kind == BREAKPOINT_EXECUTE))
            return true;
    }
    return false;
}

static bool plant_all(struct debug_session *session, struct problem *problem)
{
    for (size_t i = 0; i < SESSION_BREAKPOINTS; i++) {
        struct debug_breakpoint *breakpoint = &session->breakpoints[i];

        if (!breakpoint->used || breakpoint->kind != BREAKPOINT_CODE || breakpoint->handle)
            continue;
        if (!target_plant(session, breakpoint->address, &breakpoint->handle, problem)) {
            breakpoint->handle = 0;
            return false;
        }
    }
    return true;
}

static uint32_t resume_status(const struct debug_session *session, bool handled)
{
    if (session->stop.state != KD_STATE_EXCEPTION)
        return KD_NT(DBG_CONTINUE);
    return handled ? KD_NT(DBG_EXCEPTION_HANDLED) : KD_NT(DBG_EXCEPTION_NOT_HANDLED);
}

static bool program_counter(struct debug_session *session, uint64_t *pc, struct problem *problem)
{
    return target_context(session, problem) && registers_get(session, "$pc", pc, problem);
}

/* One instruction with no breakpoint in its way; the stop that follows is in session->stop and was
 * not told. *expected: it is the single step, and nothing else. */
static bool step_quietly(struct debug_session *session, bool *expected, struct problem *problem)
{
    uint64_t pc, until = clock_monotonic() + session->patience;

    if (!program_counter(session, &pc, problem) || !pass_break(session, problem) ||
        !put_hardware(session, pc, true, problem) ||
        !target_continue(session, resume_status(session, true), true, session->dr7, problem))
        return false;
    for (;;) {
        if (!session_await_change(session, until, problem))
            return false;
        session_forget(session);
        read_change(session);
        if (!passes_by(session))
            break;
        if (!pass_break(session, problem) ||
            !target_continue(session, KD_NT(DBG_CONTINUE), true, session->dr7, problem))
            return false;
    }
    *expected = session->stop.state == KD_STATE_EXCEPTION &&
                session->stop.code == KD_NT(STATUS_SINGLE_STEP) && breakpoint_hit(session) < 0;
    session->stopped = true;
    return true;
}

/* Tells a stop that came while nothing was told. */
static bool tell_now(struct debug_session *session, struct problem *problem)
{
    int hit = session->stop.state == KD_STATE_EXCEPTION ? breakpoint_hit(session) : -1;

    if (hit >= 0)
        session->breakpoints[hit].hits++;
    tell_stop(session, hit);
    return settle(session, problem);
}

bool run_go(struct debug_session *session, bool handled, struct problem *problem)
{
    uint64_t pc;
    bool expected = true;

    if (!program_counter(session, &pc, problem))
        return false;
    if (stands_on_breakpoint(session, pc) && handled) {
        if (!step_quietly(session, &expected, problem))
            return false;
        if (!expected)
            return tell_now(session, problem);
    } else if (handled && !pass_break(session, problem)) {
        return false;
    }
    return plant_all(session, problem) && put_hardware(session, 0, false, problem) &&
           target_continue(session, resume_status(session, handled), false, session->dr7, problem);
}

/* After a step: whether it went into a call, and where that returns to. */
static bool entered_call(struct debug_session *session, uint64_t pc, uint64_t sp, uint64_t *back)
{
    struct problem ignored;
    size_t word = session->arch == KD_ARCH_X86 ? 4 : 8;
    uint64_t new_sp;

    return runs_x86(session) && target_context(session, &ignored) &&
           registers_get(session, "$sp", &new_sp, &ignored) && new_sp == sp - word &&
           target_read_number(session, new_sp, word, back, &ignored) && *back > pc &&
           *back - pc <= LONGEST && session->stop.pc != *back;
}

/* Runs until the call has come back to the frame it was made from. *expected as above. */
static bool finish_call(struct debug_session *session, uint64_t back, uint64_t sp, bool *expected,
                        struct problem *problem)
{
    struct debug_breakpoint *breakpoint;
    uint64_t until = clock_monotonic() + session->patience, now = 0;

    do {
        breakpoint = run_add_breakpoint(session, BREAKPOINT_CODE, 1, back, problem);
        if (!breakpoint)
            return false;
        breakpoint->temporary = true;
        if (!run_go(session, true, problem) || !session_await_change(session, until, problem))
            return false;
        session_forget(session);
        read_change(session);
        while (passes_by(session))
            if (!pass_on(session, problem) || !session_await_change(session, until, problem))
                return false;
            else
                read_change(session);
        session->stopped = true;
        *expected = session->stop.state == KD_STATE_EXCEPTION &&
                    session->stop.code == KD_NT(STATUS_BREAKPOINT) && session->stop.pc == back;
        if (!*expected)
            return true;
        if (!unplant_all(session, problem))
            return false;
        drop_temporaries(session);
        if (!target_context(session, problem) || !registers_get(session, "$sp", &now, problem))
            return false;
    } while (now < sp);
    session->stop.code = KD_NT(STATUS_SINGLE_STEP); /* the breakpoint was only our way to step */
    return true;
}

/* One instruction, or one call; nothing is told. */
static bool step_over(struct debug_session *session, bool *expected, struct problem *problem)
{
    uint64_t pc, sp, back;

    if (!program_counter(session, &pc, problem) || !registers_get(session, "$sp", &sp, problem) ||
        !step_quietly(session, expected, problem))
        return false;
    if (*expected && entered_call(session, pc, sp, &back))
        return finish_call(session, back, sp, expected, problem);
    return true;
}

bool run_step(struct debug_session *session, bool over, struct problem *problem)
{
    bool expected;

    if (over ? !step_over(session, &expected, problem) : !step_quietly(session, &expected, problem))
        return false;
    return tell_now(session, problem);
}

static bool is_return(struct debug_session *session)
{
    struct problem ignored;
    uint8_t code[2] = {0};
    uint64_t pc;
    unsigned at;

    if (!program_counter(session, &pc, &ignored))
        return false;
    target_read(session, SPACE_VIRTUAL, pc, code, sizeof code, NULL, &ignored);
    at = code[0] == 0xF3 || code[0] == 0xF2;
    return code[at] == 0xC3 || code[at] == 0xC2;
}

bool run_up(struct debug_session *session, struct problem *problem)
{
    uint64_t start, sp, until = clock_monotonic() + session->patience;
    bool expected = true, leaves = false;

    if (!runs_x86(session)) {
        problem_set(problem, "gu is for x86 and AMD64 targets");
        return false;
    }
    if (!target_context(session, problem) || !registers_get(session, "$sp", &start, problem))
        return false;
    for (unsigned i = 0; i < UP_STEPS && clock_monotonic() < until; i++) {
        leaves = is_return(session);
        if (!step_over(session, &expected, problem))
            return false;
        if (!expected)
            return tell_now(session, problem);
        if (!target_context(session, problem) || !registers_get(session, "$sp", &sp, problem))
            return false;
        if (leaves && sp > start)
            return tell_now(session, problem);
    }
    output_say(session->out, "The function has not returned yet.\n");
    return tell_now(session, problem);
}

/* --- the table of breakpoints */

struct debug_breakpoint *run_add_breakpoint(struct debug_session *session,
                                            enum breakpoint_kind kind, unsigned size,
                                            uint64_t address, struct problem *problem)
{
    struct debug_breakpoint *room = NULL;
    unsigned hardware = 0;

    for (size_t i = SESSION_BREAKPOINTS; i > 0; i--) {
        struct debug_breakpoint *breakpoint = &session->breakpoints[i - 1];

        if (!breakpoint->used)
            room = breakpoint;
        else if (breakpoint->kind != BREAKPOINT_CODE)
            hardware++;
    }
    if (!room || (kind != BREAKPOINT_CODE && hardware >= HARDWARE_LIMIT)) {
        problem_set(problem, "there is no room for another %s; remove one with bc",
                    kind == BREAKPOINT_CODE ? "breakpoint (32 are possible)"
                                            : "hardware breakpoint (4 are possible)");
        return NULL;
    }
    *room = (struct debug_breakpoint){.used = true, .kind = kind, .size = size, .address = address};
    return room;
}

void run_clear(struct debug_session *session)
{
    struct problem ignored;

    memset(session->breakpoints, 0, sizeof session->breakpoints);
    if (session->dr7 != DR7_FIXED)
        put_hardware(session, 0, false, &ignored);
}
