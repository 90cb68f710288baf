/* debug_registers.c - registers by name. See debug_registers.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_registers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "debug_target.h"
#include "kd/describe.h"

/* A register: a field of one of the two blocks. */
struct place {
    const struct kd_field *field;
    bool special;
};

static const struct {
    const char *name;
    const char *member;
} aliases[] = {
    {"cs", "seg_cs"},      {"ds", "seg_ds"},       {"es", "seg_es"},      {"fs", "seg_fs"},
    {"gs", "seg_gs"},      {"ss", "seg_ss"},       {"efl", "eflags"},     {"mxcsr", "mx_csr"},
    {"gdtr", "gdtr_base"}, {"gdtl", "gdtr_limit"}, {"idtr", "idtr_base"}, {"idtl", "idtr_limit"},
};

/* AMD64's, in the order of printing. */
static const char *const integers[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi",
                                       "rip", "rsp", "rbp", "r8",  "r9",  "r10",
                                       "r11", "r12", "r13", "r14", "r15", NULL};
static const char *const segments[] = {"cs", "ss", "ds", "es", "fs", "gs", "efl", NULL};
static const char *const specials[] = {"cr0",  "cr2",  "cr3", "cr4",  "cr8", "xcr0", "dr0",
                                       "dr1",  "dr2",  "dr3", "dr6",  "dr7", "gdtr", "gdtl",
                                       "idtr", "idtl", "tr",  "ldtr", NULL};

/* The name of this architecture's program counter and stack pointer. */
static const char *by_role(enum kd_arch arch, const char *name)
{
    bool pc = strcmp(name, "$pc") == 0 || strcmp(name, "$ip") == 0 || strcmp(name, "rip") == 0;
    bool sp = strcmp(name, "$sp") == 0 || strcmp(name, "rsp") == 0;

    if (!pc && !sp)
        return name;
    if (arch == KD_ARCH_AMD64)
        return pc ? "rip" : "rsp";
    if (arch == KD_ARCH_X86)
        return pc ? "eip" : "esp";
    return pc ? "pc" : "sp";
}

/* One number, so that it can be shown and set by name. */
static bool is_register(const struct kd_field *field)
{
    return field->member && field->count == 1 && field->type <= KD_TYPE_u64;
}

static const struct kd_field *field_of(enum kd_layout_id layout, const char *member)
{
    for (size_t i = 0; i < kd_layouts[layout].count; i++) {
        const struct kd_field *field = &kd_layouts[layout].fields[i];

        if (is_register(field) && strcmp(field->member, member) == 0)
            return field;
    }
    return NULL;
}

/* Control registers and descriptor tables are in the special block, which also has the debug
 * registers' true values while the target stands. */
static struct place find(const struct debug_session *session, const char *name)
{
    const struct kd_arch_info *arch = kd_arch_info(session->arch);
    struct place place = {NULL, false};
    const char *member;

    if (!arch)
        return place;
    member = by_role(session->arch, name);
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcmp(aliases[i].name, member) == 0)
            member = aliases[i].member;
    if (strncmp(member, "dr", 2) != 0)
        place.field = field_of(arch->context, member);
    if (!place.field) {
        place.special = true;
        place.field = field_of(arch->special, member);
    }
    return place;
}

const char *registers_name(enum kd_arch arch, size_t index)
{
    static const char *const *const lists[] = {integers, segments, specials};
    const struct kd_arch_info *info = kd_arch_info(arch);

    if (info && arch != KD_ARCH_AMD64) {
        const struct kd_layout *layout = &kd_layouts[info->context];

        for (size_t i = 0; i < layout->count; i++)
            if (is_register(&layout->fields[i]) && index-- == 0)
                return layout->fields[i].member;
        return NULL;
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const char *const *name = lists[i]; *name; name++)
            if (index-- == 0)
                return *name;
    return NULL;
}

bool registers_known(const struct debug_session *session, const char *name)
{
    return find(session, name).field != NULL;
}

static bool locate(struct debug_session *session, const char *name, struct place *place,
                   uint8_t **at, struct problem *problem)
{
    size_t size;

    if (!session->version_known && !target_version(session, problem))
        return false;
    *place = find(session, name);
    if (!place->field) {
        problem_set(problem, "there is no register %s", name);
        return false;
    }
    if (place->special ? !target_special(session, problem) : !target_context(session, problem))
        return false;
    size = kd_type_size((enum kd_type)place->field->type);
    if (place->field->offset + size >
        (place->special ? session->special_size : session->context_size)) {
        problem_set(problem, "the target does not tell register %s", name);
        return false;
    }
    *at = (place->special ? session->special : session->context) + place->field->offset;
    return true;
}

static uint64_t load(const uint8_t *at, size_t size)
{
    uint64_t value = 0;

    for (size_t i = size; i > 0; i--)
        value = value << 8 | at[i - 1];
    return value;
}

bool registers_get(struct debug_session *session, const char *name, uint64_t *value,
                   struct problem *problem)
{
    struct place place;
    uint8_t *at;

    if (!locate(session, name, &place, &at, problem))
        return false;
    *value = load(at, kd_type_size((enum kd_type)place.field->type));
    return true;
}

bool registers_set(struct debug_session *session, const char *name, uint64_t value,
                   struct problem *problem)
{
    struct place place;
    uint8_t *at;
    size_t size;

    if (!locate(session, name, &place, &at, problem))
        return false;
    size = kd_type_size((enum kd_type)place.field->type);
    if (size < 8 && value >> 8 * size) {
        problem_set(problem, "%s has %zu bits; %" PRIx64 " does not fit", name, 8 * size, value);
        return false;
    }
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * i);
    return place.special ? target_set_special(session, problem)
                         : target_set_context(session, problem);
}

/* --- printing */

static void print_list(struct debug_session *session, const char *const *names, unsigned columns)
{
    struct problem ignored;
    uint64_t value;
    unsigned column = 0;

    for (; *names; names++) {
        struct place place = find(session, *names);

        if (!place.field || !registers_get(session, *names, &value, &ignored))
            continue;
        output_say(session->out, "%s%s=%0*" PRIx64, column ? " " : "", *names,
                   (int)kd_type_size((enum kd_type)place.field->type) * 2, value);
        if (++column == columns) {
            output_say(session->out, "\n");
            column = 0;
        }
    }
    if (column)
        output_say(session->out, "\n");
}

/* The general registers of an architecture without a list of its own: the first block of words. */
static void print_all(struct debug_session *session)
{
    const struct kd_layout *layout = &kd_layouts[kd_arch_info(session->arch)->context];
    unsigned column = 0;

    for (size_t i = 0; i < layout->count; i++) {
        const struct kd_field *field = &layout->fields[i];
        size_t size = kd_type_size((enum kd_type)field->type) * field->count;

        if (!field->member || field->type > KD_TYPE_u64 || field->count > 32 ||
            field->offset + size > session->context_size)
            continue;
        for (unsigned j = 0; j < field->count; j++) {
            size_t each = kd_type_size((enum kd_type)field->type);

            output_say(session->out, "%s%s", column ? " " : "", field->member);
            if (field->count > 1)
                output_say(session->out, "%u", j);
            output_say(session->out, "=%0*" PRIx64, (int)each * 2,
                       load(session->context + field->offset + j * each, each));
            column = (column + 1) % 4;
            if (column == 0)
                output_say(session->out, "\n");
        }
    }
    if (column)
        output_say(session->out, "\n");
}

bool registers_print(struct debug_session *session, struct problem *problem)
{
    if (!target_context(session, problem))
        return false;
    if (session->arch == KD_ARCH_AMD64) {
        print_list(session, integers, 3);
        print_list(session, segments, 7);
    } else {
        print_all(session);
    }
    return true;
}

bool registers_print_special(struct debug_session *session, struct problem *problem)
{
    if (!target_special(session, problem))
        return false;
    print_list(session, specials, 3);
    return true;
}

bool registers_print_float(struct debug_session *session, bool vectors, struct problem *problem)
{
    const struct kd_context_amd64 *context = (const struct kd_context_amd64 *)session->context;

    if (!target_context(session, problem))
        return false;
    if (session->arch != KD_ARCH_AMD64) {
        problem_set(problem, "floating point registers are shown for AMD64 targets only");
        return false;
    }
    for (unsigned i = 0; !vectors && i < 8; i++)
        output_say(session->out, "st%u=%04" PRIx64 "%016" PRIx64 "\n", i,
                   load(context->float_registers[i].b + 8, 2),
                   load(context->float_registers[i].b, 8));
    for (unsigned i = 0; vectors && i < 16; i++)
        output_say(session->out, "xmm%u=%016" PRIx64 "%016" PRIx64 "\n", i,
                   load(context->xmm_registers[i].b + 8, 8), load(context->xmm_registers[i].b, 8));
    output_say(session->out, "fpcw=%04x fpsw=%04x mxcsr=%08" PRIx32 "\n",
               (unsigned)kd_get16(context->control_word), (unsigned)kd_get16(context->status_word),
               kd_get32(context->mx_csr));
    return true;
}
