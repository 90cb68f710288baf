/* dump_gather.c - what a dump of a stop is made of. See dump.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Registers are those that the debugger read or set while the target stood; of a processor that it
 * did not ask, the state change tells a few. Each module's record of its PDB is looked up in the
 * memory that was captured.
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/carve.h"
#include "dump.h"

#define PROCESSORS_MAX 256u
#define CODEVIEW_HEAD  24u /* "RSDS", GUID, age */
/* Special registers of AMD64: of the control space, and at least up to Tr. */
#define SPECIAL_SELECTOR 2u
#define SPECIAL_NEEDED   (offsetof(struct kd_special_registers_amd64, tr) + 2)

/* --- registers */

/* ContextFlags: the architecture's bit, and which groups of registers are meant. */
#define AMD64_CONTROL 0x00100001u
#define X86_CONTROL   0x00010001u
#define ARM64_CONTROL 0x00400001u

/* What the state change itself says. */
static void context_of_stop(enum kd_arch arch, const struct kda_stop *stop, uint8_t *out)
{
    struct kd_context_amd64 *amd64 = (void *)out;
    struct kd_context_arm64 *arm64 = (void *)out;
    struct kd_context_x86 *x86 = (void *)out;

    if (arch == KD_ARCH_AMD64) {
        amd64->context_flags = kd_put32(AMD64_CONTROL);
        amd64->seg_cs = kd_put16(stop->cs);
        amd64->eflags = kd_put32(stop->flags);
        amd64->rip = kd_put64(stop->pc);
    } else if (arch == KD_ARCH_X86) {
        x86->context_flags = kd_put32(X86_CONTROL);
        x86->seg_cs = kd_put32(stop->cs);
        x86->eflags = kd_put32(stop->flags);
        x86->eip = kd_put32((uint32_t)stop->pc);
    } else {
        arm64->context_flags = kd_put32(ARM64_CONTROL);
        arm64->cpsr = kd_put32(stop->flags);
        arm64->pc = kd_put64(stop->pc);
    }
}

/* As of a frame: the newest. Of a stop: as the target had them when it stopped, so what was read
 * first, and not what the debugger set before it let go. NULL: none. */
static const struct kda_context *find_context(const struct dump_facts *facts,
                                              const struct kda_model *model, uint16_t processor)
{
    if (facts->as_of_frame)
        return kda_model_context_at(model, processor, facts->at, true);
    for (size_t i = 0; i < kda_model_context_count(model); i++) {
        const struct kda_context *context = kda_model_context(model, i);

        if (context->stop == facts->stop->frame && context->processor == processor && !context->set)
            return context;
    }
    return NULL;
}

/* As for contexts. NULL: none. */
static const struct kda_value *find_special(const struct dump_facts *facts,
                                            const struct kda_model *model, uint16_t processor)
{
    if (facts->as_of_frame)
        return kda_model_value_at(model, KDA_VALUE_CONTROL_SPACE, processor, SPECIAL_SELECTOR,
                                  facts->at);
    for (size_t i = 0; i < kda_model_value_count(model); i++) {
        const struct kda_value *value = kda_model_value(model, i);

        if (value->kind == KDA_VALUE_CONTROL_SPACE && value->stop == facts->stop->frame &&
            value->processor == processor && value->address == SPECIAL_SELECTOR && !value->set)
            return value;
    }
    return NULL;
}

/* Special registers of an AMD64 target, as many as were read, the rest zero; NULL: too few, or
 * memory is short. */
static uint8_t *read_special(const struct dump_facts *facts, const struct kda_model *model,
                             uint16_t processor)
{
    const size_t size = sizeof(struct kd_special_registers_amd64);
    const struct kda_value *value = find_special(facts, model, processor);
    struct kda_bytes bytes;
    uint8_t *out;

    if (facts->dump.arch != KD_ARCH_AMD64 || !value || value->bytes.size < SPECIAL_NEEDED)
        return NULL;
    bytes = value->bytes;
    bytes.size = bytes.size < size ? bytes.size : (uint32_t)size;
    out = calloc(1, size);
    if (!out || kda_model_bytes(model, bytes, out))
        return out;
    free(out);
    return NULL;
}

/* False when memory is short. Nothing is added for a processor that nothing is known of. */
static bool add_thread(struct dump_facts *facts, const struct kda_model *model, uint16_t processor)
{
    size_t size = kda_dump_context_size(facts->dump.arch);
    const struct kda_context *context = find_context(facts, model, processor);
    bool known = context && context->bytes.size >= size && context->arch == facts->dump.arch;
    struct kda_bytes bytes = known ? context->bytes : (struct kda_bytes){0};
    uint8_t *out;

    if (!known && processor != facts->stop->processor)
        return true;
    out = calloc(1, size);
    if (!out)
        return false;
    facts->threads[facts->dump.thread_count++] = (struct kda_dump_thread){
        .processor = processor,
        .context = out,
        .special = read_special(facts, model, processor),
    };
    bytes.size = known ? (uint32_t)size : 0;
    if (!known)
        context_of_stop(facts->dump.arch, facts->stop, out);
    else if (!kda_model_bytes(model, bytes, out))
        return false;
    if (processor == facts->stop->processor)
        facts->registers_read = known;
    return true;
}

static bool gather_threads(struct dump_facts *facts, const struct kda_model *model)
{
    uint32_t count = facts->dump.processors;

    facts->threads = calloc(PROCESSORS_MAX + 1, sizeof *facts->threads);
    if (!facts->threads || !add_thread(facts, model, facts->stop->processor))
        return false;
    facts->dump.threads = facts->threads;
    for (uint32_t i = 0; i < count && i < PROCESSORS_MAX; i++)
        if (i != facts->stop->processor && !add_thread(facts, model, (uint16_t)i))
            return false;
    return true;
}

/* --- modules */

/* By address; of one address the one that came last, last. */
static int compare_modules(const void *a, const void *b)
{
    const struct kda_module *const *left = a, *const *right = b;

    if ((*left)->base != (*right)->base)
        return (*left)->base < (*right)->base ? -1 : 1;
    return ((*left)->loaded > (*right)->loaded) - ((*left)->loaded < (*right)->loaded);
}

static void put_codeview(struct dump_facts *facts, const struct kda_memory *memory,
                         struct kda_dump_module *module)
{
    struct kda_image_place place = {memory, {.at = facts->at}, module->base};
    const struct img_source port = kda_image_port(&place);
    struct img_image image;
    struct img_codeview codeview;
    size_t size;
    uint8_t *record;
    enum img_result result = img_open(&image, &port, module->base);

    if ((result != IMG_OK && result != IMG_MACHINE) || img_codeview(&image, &codeview) != IMG_OK)
        return;
    size = CODEVIEW_HEAD + strlen(codeview.path) + 1;
    record = malloc(size);
    if (!record)
        return;
    memcpy(record, "RSDS", 4);
    memcpy(record + 4, codeview.guid, sizeof codeview.guid);
    for (unsigned i = 0; i < 4; i++)
        record[20 + i] = (uint8_t)(codeview.age >> 8 * i);
    memcpy(record + CODEVIEW_HEAD, codeview.path, size - CODEVIEW_HEAD);
    module->codeview = record;
    module->codeview_size = (uint32_t)size;
    facts->named++;
}

static bool add_module(struct dump_facts *facts, const struct kda_model *model,
                       const struct kda_module *known)
{
    struct kda_dump_module *module = &facts->modules[facts->dump.module_count++];
    uint8_t *name = malloc(known->path.size + 1u);

    *module = (struct kda_dump_module){
        .base = known->base,
        .size = known->size,
        .checksum = known->checksum,
        .timestamp = known->timestamp,
        .name = name,
        .name_size = known->path.size,
    };
    if (!name || !kda_model_bytes(model, known->path, name))
        return false;
    while (module->name_size && name[module->name_size - 1] == '\0')
        module->name_size--;
    put_codeview(facts, kda_model_virtual(model), module);
    return true;
}

static bool gather_modules(struct dump_facts *facts, const struct kda_model *model)
{
    size_t count = kda_model_module_count(model), there = 0;
    const struct kda_module **list = calloc(count + 1, sizeof *list);
    bool fine = true;

    facts->modules = calloc(count + 1, sizeof *facts->modules);
    facts->dump.modules = facts->modules;
    fine = list && facts->modules;
    for (size_t i = 0; fine && i < count; i++) {
        const struct kda_module *module = kda_model_module(model, i);

        if (module->loaded <= facts->at && (!module->unloaded || module->unloaded > facts->at))
            list[there++] = module;
    }
    if (fine)
        qsort(list, there, sizeof *list, compare_modules);
    for (size_t i = 0; fine && i < there; i++)
        if (i + 1 == there || list[i + 1]->base != list[i]->base)
            fine = add_module(facts, model, list[i]);
    free(list);
    return fine;
}

/* --- the interface */

static void gather_exception(struct dump_facts *facts)
{
    const struct kda_stop *stop = facts->stop;

    if (stop->reason != KDA_REASON_EXCEPTION)
        return;
    facts->exception = (struct kda_dump_exception){
        .code = stop->code,
        .flags = stop->exception_flags,
        .address = stop->address,
        .parameter_count = stop->parameter_count < 15 ? stop->parameter_count : 15,
    };
    memcpy(facts->exception.parameters, stop->parameters, sizeof stop->parameters);
    facts->dump.exception = &facts->exception;
}

/* What the target said of itself. */
static void gather_version(struct dump_facts *facts, const struct kda_model *model)
{
    const struct kda_version *version = kda_model_version(model);

    facts->dump.physical = kda_model_physical(model);
    facts->dump.introduced = version->frame != 0;
    facts->dump.build = version->build;
    facts->dump.major = version->major;
    facts->dump.secondary = version->secondary;
    facts->dump.kern_base = version->kern_base;
    facts->dump.module_list = version->module_list;
    facts->dump.data_block = version->data_block;
}

bool dump_gather(struct dump_facts *facts, const struct models_seat *seat,
                 const struct kda_stop *stop, uint32_t at, struct problem *problem)
{
    *facts = (struct dump_facts){.stop = stop, .as_of_frame = at != 0};
    facts->at = at ? at : stop->left_frame ? stop->left_frame : KDA_END;
    facts->dump = (struct kda_dump){
        .arch = stop->arch ? stop->arch : kda_model_arch(seat->model),
        .processors = stop->processors ? stop->processors : 1,
        .time = stop->time,
        .memory = kda_model_virtual(seat->model),
        .view = {.at = facts->at},
    };
    if (kda_dump_context_size(facts->dump.arch) == 0) {
        problem_set(problem, "the target's processor is none of AMD64, x86 and ARM64, or the "
                             "capture does not say which it is");
        return false;
    }
    gather_version(facts, seat->model);
    gather_exception(facts);
    if (gather_threads(facts, seat->model) && gather_modules(facts, seat->model))
        return true;
    problem_set(problem, "out of memory");
    return false;
}

/* What was allocated is ours: the structs only promise not to change it. */
static void let_go(const uint8_t *bytes)
{
    free((void *)(uintptr_t)bytes);
}

void dump_forget(struct dump_facts *facts)
{
    for (size_t i = 0; i < facts->dump.thread_count; i++) {
        let_go(facts->threads[i].context);
        let_go(facts->threads[i].special);
    }
    for (size_t i = 0; i < facts->dump.module_count; i++) {
        let_go(facts->modules[i].name);
        let_go(facts->modules[i].codeview);
    }
    free(facts->threads);
    free(facts->modules);
    *facts = (struct dump_facts){0};
}
