/* debug_stack.c - the call stack. See debug_stack.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Names: the PDB's, where -y has the image; the metadata of NativeAOT; exports; else module+offset.
 * A name counts inside its own function only. What a frame called is looked up one byte before the
 * return address, which may be the first byte of another function.
 */
#include "debug_stack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debug_guest.h"
#include "debug_modules.h"
#include "debug_run.h"
#include "debug_symbols.h"
#include "debug_target.h"
#include "image/unwind.h"
#include "json.h"
#include "kd/describe.h"

#define READS_PER_FRAME 10u
#define READS_BESIDES   512u /* tables of names */
#define SCAN_WORDS      128u
#define STACK_SIZE      (UINT64_C(1) << 32) /* a program's own may lie far from the thread's */
#define NAME_ROOM       512u
#define NO_OFFSET       UINT32_MAX

struct frame {
    uint64_t rip, rsp;
    enum img_frame_kind kind; /* how its caller was found */
    bool guessed, interrupted;
    char *texts;          /* of the PDB, see symbols_texts */
    uint32_t offset;      /* in the function of the PDB's name; NO_OFFSET: not known */
    char name[NAME_ROOM]; /* without a PDB; "" when there is none */
};

struct stack {
    struct debug_session *session;
    struct debug_guest *guest;
    struct frame *frames;
    unsigned count, limit;
    enum img_walk_result result;
    char end[200]; /* why there are no more */
};

/* --- walking */

static const struct img_image *find_image(void *context, uint64_t address)
{
    struct stack *stack = context;
    struct guest_image *image = guest_image_at(stack->guest, address);

    return image && image->opened == IMG_OK ? &image->image : NULL;
}

static void take_registers(const struct debug_session *session, struct img_registers *registers)
{
    const struct kd_context_amd64 *from = (const struct kd_context_amd64 *)session->context;
    const kd_u64 gpr[IMG_GPR_COUNT] = {
        from->rax, from->rcx, from->rdx, from->rbx, from->rsp, from->rbp, from->rsi, from->rdi,
        from->r8,  from->r9,  from->r10, from->r11, from->r12, from->r13, from->r14, from->r15};

    /* XMM registers lead to no frame. */
    *registers = (struct img_registers){.rip = kd_get64(from->rip)};
    for (size_t i = 0; i < IMG_GPR_COUNT; i++)
        registers->gpr[i] = kd_get64(gpr[i]);
}

/* Frames go up from here. An interrupted frame may be on another stack. */
static void set_limits(struct img_walk *walk)
{
    uint64_t rsp = walk->registers.gpr[IMG_RSP];

    walk->stack_low = rsp;
    walk->stack_high = rsp < UINT64_MAX - STACK_SIZE ? rsp + STACK_SIZE : UINT64_MAX;
}

/* An address in no module may be in one that was loaded before this program came. */
static void know_module(struct stack *stack, uint64_t address)
{
    struct problem ignored;

    if (!modules_at(stack->session, address))
        modules_list(stack->session, &ignored);
}

static void add_frame(struct stack *stack, const struct img_walk_frame *from)
{
    stack->frames[stack->count++] = (struct frame){.rip = from->rip,
                                                   .rsp = from->rsp,
                                                   .kind = from->frame.kind,
                                                   .guessed = from->guessed,
                                                   .interrupted = from->interrupted,
                                                   .offset = NO_OFFSET};
}

static void walk(struct stack *stack)
{
    struct img_walk walk = {.find = find_image,
                            .find_context = stack,
                            .memory = {guest_read, stack->guest},
                            .max_frames = stack->limit,
                            .max_scan = SCAN_WORDS};
    struct img_registers registers;
    struct img_walk_frame frame;

    take_registers(stack->session, &registers);
    img_walk_start(&walk, &registers);
    do {
        if (walk.interrupted)
            set_limits(&walk);
        if (walk.next == IMG_WALK_FRAME)
            know_module(stack, walk.registers.rip);
        stack->result = img_walk_next(&walk, &frame);
        if (stack->result == IMG_WALK_FRAME)
            add_frame(stack, &frame);
    } while (stack->result == IMG_WALK_FRAME);
}

/* --- why there are no more frames */

static void explain_end(struct stack *stack)
{
    const struct frame *last = stack->count ? &stack->frames[stack->count - 1] : NULL;
    struct guest_image *image = last ? guest_image_at(stack->guest, last->rip) : NULL;
    char *end = stack->end;
    size_t room = sizeof stack->end;

    if (stack->result == IMG_WALK_FRAMES)
        snprintf(end, room, "there are more frames; \"bt COUNT\" shows as many");
    else if (guest_exhausted(stack->guest))
        snprintf(end, room, "given up after %u requests: the stack or a module makes no sense",
                 guest_requests(stack->guest));
    else if (image && image->opened != IMG_OK)
        snprintf(end, room, "the headers of %s: %s", modules_at(stack->session, last->rip)->name,
                 img_result_text(image->opened));
    else if (last && last->kind == IMG_FRAME_SCAN && stack->result == IMG_WALK_END)
        snprintf(end, room, "no return address in the next %u words of the stack", SCAN_WORDS);
    else if (stack->result == IMG_WALK_END)
        snprintf(end, room, "%s",
                 last && !image ? "this address is in no module" : "the return address is 0");
    else
        snprintf(end, room, "%s", img_walk_result_text(stack->result));
}

/* --- names */

/* The address that names the frame. */
static uint64_t place_of(const struct frame *frame)
{
    return frame->interrupted || frame->rip == 0 ? frame->rip : frame->rip - 1;
}

static void name_from_pdbs(struct stack *stack)
{
    uint64_t *addresses = calloc(stack->count, sizeof *addresses);
    char **texts = calloc(stack->count, sizeof *texts);
    struct problem problem;

    problem_set(&problem, "out of memory");
    for (unsigned i = 0; addresses && i < stack->count; i++)
        addresses[i] = place_of(&stack->frames[i]);
    if (!addresses || !texts ||
        !symbols_texts(stack->session, addresses, stack->count, texts, &problem))
        output_say(stack->session->out, "(no names of PDBs: %s)\n", problem.text);
    for (unsigned i = 0; texts && i < stack->count; i++)
        stack->frames[i].texts = texts[i];
    free(addresses);
    free(texts);
}

/* The image's own names. */
static void name_from_image(struct frame *frame, struct guest_image *image, uint32_t place)
{
    struct img_aot_name name = {.text = frame->name, .room = sizeof frame->name};
    const struct img_aot *aot = guest_aot(image);
    struct img_export export;
    uint32_t offset;

    if (aot && img_aot_name_of(aot, place, false, &name, &offset) == IMG_AOT_OK)
        return;
    frame->name[0] = '\0';
    if (img_export_of(&image->image, place, &export) == IMG_OK)
        snprintf(frame->name, sizeof frame->name, "%s", export.name);
}

static void name_frame(struct stack *stack, struct frame *frame)
{
    struct guest_image *image = guest_image_at(stack->guest, frame->rip);
    struct img_function function;
    struct img_export export;
    uint32_t place;

    if (!image || image->opened != IMG_OK || !img_rva(&image->image, place_of(frame), &place))
        return;
    if (img_whole_function(&image->image, place, &function))
        frame->offset = (uint32_t)(frame->rip - image->base) - function.begin;
    if (frame->texts)
        return;
    name_from_image(frame, image, place);
    if (frame->name[0] && frame->offset == NO_OFFSET &&
        img_export_of(&image->image, place, &export) == IMG_OK)
        frame->offset = (uint32_t)(frame->rip - image->base) - export.rva;
}

/* --- printing */

struct row {
    const struct stack *stack;
    unsigned number;
    bool is_inline;
    char site[NAME_ROOM + 200]; /* "module!function+0x12" */
    char source[300];           /* "file.c:20", or "" */
};

static const char *kind_name(enum img_frame_kind kind)
{
    static const char *const names[] = {
        [IMG_FRAME_TABLE] = "table",
        [IMG_FRAME_LEAF] = "leaf",
        [IMG_FRAME_MACHINE] = "interrupt",
        [IMG_FRAME_SCAN] = "scan",
    };

    return names[kind];
}

static void print_row(FILE *out, const void *context)
{
    const struct row *row = context;
    const struct frame *frame = &row->stack->frames[row->number];

    fprintf(out,
            "{\"event\":\"frame\",\"number\":%u,\"address\":\"0x%" PRIx64 "\",\"sp\":\"0x%" PRIx64
            "\",\"site\":",
            row->number, frame->rip, frame->rsp);
    json_text(out, row->site);
    if (row->source[0]) {
        fputs(",\"source\":", out);
        json_text(out, row->source);
    }
    fprintf(out, ",\"inline\":%s,\"guessed\":%s,\"interrupted\":%s,\"caller\":\"%s\"}\n",
            row->is_inline ? "true" : "false", frame->guessed ? "true" : "false",
            frame->interrupted ? "true" : "false", kind_name(frame->kind));
}

static void say_row(const struct row *row)
{
    const struct frame *frame = &row->stack->frames[row->number];
    char place[40] = "(inline)         -";

    if (!row->is_inline)
        snprintf(place, sizeof place, "%016" PRIx64 " %016" PRIx64, frame->rsp, frame->rip);
    output_say(row->stack->session->out, "%02x %-33s %s%s%s%s%s%s\n", row->number, place,
               frame->guessed ? "? " : "", row->site, row->source[0] ? " [" : "", row->source,
               row->source[0] ? "]" : "",
               frame->interrupted && row->number > 0 && !row->is_inline ? " (interrupted)" : "");
    output_object(row->stack->session->out, print_row, row);
}

/* Text of a PDB, which may be anything. */
static void put_plain(char *out, size_t room, const char *text, size_t size)
{
    size_t i;

    for (i = 0; i < size && i + 1 < room; i++)
        out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    out[i] = '\0';
}

/* "file:line:column" without the column; "??:0:0" is nothing. */
static void take_source(struct row *row, const char *line, size_t size)
{
    size_t length = size;

    while (length > 0 && line[length - 1] != ':')
        length--;
    row->source[0] = '\0';
    if (length > 1 && strncmp(line, "??", 2) != 0)
        put_plain(row->source, sizeof row->source, line, length - 1);
}

/* module!name+offset; without an offset the place in the module is said, too. */
static void put_site(struct row *row, const char *name, uint32_t offset)
{
    const struct frame *frame = &row->stack->frames[row->number];
    const struct debug_module *module = modules_at(row->stack->session, frame->rip);
    char where[160];

    run_name_address(row->stack->session, frame->rip, where, sizeof where);
    if (!*name)
        snprintf(row->site, sizeof row->site, "%s", where);
    else if (row->is_inline)
        snprintf(row->site, sizeof row->site, "%s!%s", module ? module->name : "", name);
    else if (offset == NO_OFFSET)
        snprintf(row->site, sizeof row->site, "%s!%s (%s)", module ? module->name : "", name,
                 where);
    else if (offset == 0)
        snprintf(row->site, sizeof row->site, "%s!%s", module ? module->name : "", name);
    else
        snprintf(row->site, sizeof row->site, "%s!%s+0x%" PRIx32, module ? module->name : "", name,
                 offset);
}

/* A row for each function that the PDB knows at the place: the last is the one with the frame. */
static void say_texts(struct row *row, const struct frame *frame)
{
    char name[NAME_ROOM];

    for (const char *at = frame->texts; *at;) {
        size_t function = strcspn(at, "\n");
        const char *source = at + function + (at[function] == '\n');
        size_t size = strcspn(source, "\n");

        put_plain(name, sizeof name, at, function);
        take_source(row, source, size);
        at = source + size + (source[size] == '\n');
        row->is_inline = *at != '\0';
        put_site(row, name, frame->offset);
        say_row(row);
    }
}

static void print_end(FILE *out, const void *context)
{
    const struct stack *stack = context;

    fprintf(out, "{\"event\":\"stack\",\"frames\":%u,\"requests\":%u,\"end\":", stack->count,
            guest_requests(stack->guest));
    json_text(out, stack->end);
    fputs("}\n", out);
}

static void say_stack(struct stack *stack)
{
    struct debug_output *out = stack->session->out;
    struct row row = {.stack = stack};

    output_say(out, " # Child-SP         Address          Call site\n");
    for (row.number = 0; row.number < stack->count; row.number++) {
        const struct frame *frame = &stack->frames[row.number];

        if (frame->texts) {
            say_texts(&row, frame);
            continue;
        }
        row.is_inline = false;
        row.source[0] = '\0';
        put_site(&row, frame->name, frame->offset);
        say_row(&row);
    }
    output_say(out, "(%s)\n", stack->end);
    output_object(out, print_end, stack);
}

/* --- all of it */

static bool walk_and_name(struct stack *stack, struct problem *problem)
{
    walk(stack);
    if (guest_failed(stack->guest, problem))
        return false;
    explain_end(stack);
    if (stack->session->symbol_path)
        name_from_pdbs(stack);
    for (unsigned i = 0; i < stack->count; i++)
        name_frame(stack, &stack->frames[i]);
    if (guest_failed(stack->guest, problem))
        return false;
    say_stack(stack);
    return true;
}

bool stack_print(struct debug_session *session, unsigned limit, struct problem *problem)
{
    struct stack stack = {.session = session, .limit = limit};
    const struct kd_arch_info *arch;
    bool fine;

    if (!target_context(session, problem))
        return false;
    arch = kd_arch_info(session->arch);
    if (session->arch != KD_ARCH_AMD64) {
        problem_set(problem, "only stacks of AMD64 can be walked; the target is %s", arch->name);
        return false;
    }
    stack.guest = guest_new(session, limit * READS_PER_FRAME + READS_BESIDES);
    stack.frames = calloc(limit, sizeof *stack.frames);
    if (!stack.guest || !stack.frames)
        problem_set(problem, "out of memory");
    fine = stack.guest && stack.frames && walk_and_name(&stack, problem);
    for (unsigned i = 0; i < stack.count; i++)
        free(stack.frames[i].texts);
    free(stack.frames);
    guest_free(stack.guest);
    return fine;
}
