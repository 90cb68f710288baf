/* stack.c - the call stack of a program that faulted, as lines of text.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Runs in the engine's time: no firmware calls, and memory only through the safe copies. The images
 * are those of the agent's own list. Names come from what an image says of itself (NativeAOT's
 * metadata, exports); without any, a frame is the image and an offset into it.
 */
#include "agent_state.h"
#include "image/aot.h"
#include "image/unwind.h"
#include "x64.h"

#define FRAMES_MAX 32u
#define SCAN_MAX   256u /* words of the stack that a guess may skip */
/* From the fault up. A program's own stack may lie anywhere below the firmware's. */
#define STACK_MAX     (UINT64_C(1) << 32)
#define AOT_IMAGE_MAX (64u << 20) /* larger images are not searched for metadata */
#define NAME_ROOM     100u
#define LINE_ROOM     156u /* what fits a line of the console */
#define FX_XMM        160u /* in the FXSAVE area */

/* Too large for a stack. One walk at a time: there is one engine. */
static struct {
    bool busy;                         /* still set when a walk begins: the last one faulted */
    const struct agent_module *module; /* whose image is open; NULL: none */
    struct img_image image;
    struct img_aot aot;
    bool aot_sought, has_aot;
    struct img_walk walk;
    struct img_walk_frame frame;
    struct img_export export;
    char name[NAME_ROOM];
    char line[LINE_ROOM];
    size_t used;
} stack;

static void add(const char *text)
{
    for (; *text && stack.used + 1 < sizeof stack.line; text++)
        stack.line[stack.used++] = *text;
    stack.line[stack.used] = 0;
}

static void add_hex(uint64_t value, unsigned digits)
{
    char text[2] = {0, 0};

    while (digits < 16 && value >> 4 * digits)
        digits++;
    while (digits-- > 0) {
        text[0] = "0123456789abcdef"[value >> 4 * digits & 15];
        add(text);
    }
}

static bool read_memory(void *context, uint64_t address, void *buffer, size_t size)
{
    (void)context;
    return agent.machine.ops->read_virtual(agent.machine.self, address, buffer, size) == size;
}

static bool read_image(void *context, uint64_t offset, void *buffer, size_t size)
{
    const struct agent_module *module = context;

    return read_memory(NULL, module->base + offset, buffer, size);
}

static struct agent_module *module_at(uint64_t address)
{
    for (size_t i = 0; i < agent.module_count; i++) {
        if (address - agent.modules[i].base < agent.modules[i].size)
            return &agent.modules[i];
    }
    return NULL;
}

static const struct img_image *find_image(void *context, uint64_t address)
{
    struct agent_module *module = module_at(address);
    const struct img_source source = {read_image, module, module ? module->size : 0, IMG_MAPPED};

    (void)context;
    if (!module)
        return NULL;
    if (module != stack.module) {
        stack.aot_sought = false;
        stack.module = img_open(&stack.image, &source, module->base) == IMG_OK ? module : NULL;
    }
    return stack.module ? &stack.image : NULL;
}

static void start_walk(const struct x64_frame *frame)
{
    struct img_registers registers = {
        .rip = frame->rip,
        .gpr = {frame->rax, frame->rcx, frame->rdx, frame->rbx, frame->rsp, frame->rbp, frame->rsi,
                frame->rdi, frame->r8, frame->r9, frame->r10, frame->r11, frame->r12, frame->r13,
                frame->r14, frame->r15},
    };
    uint64_t room = UINT64_MAX - frame->rsp;

    __builtin_memcpy(registers.xmm, frame->fx + FX_XMM, sizeof registers.xmm);
    stack.module = NULL;
    stack.walk = (struct img_walk){
        .find = find_image,
        .memory = {read_memory, NULL},
        .stack_low = frame->rsp,
        .stack_high = frame->rsp + (room < STACK_MAX ? room : STACK_MAX),
        .max_frames = FRAMES_MAX,
        .max_scan = SCAN_MAX,
    };
    img_walk_start(&stack.walk, &registers);
}

static bool find_aot_name(uint32_t rva, uint32_t *offset)
{
    struct img_aot_name name = {.text = stack.name, .room = sizeof stack.name};

    if (!stack.aot_sought) {
        stack.aot_sought = true;
        stack.has_aot = stack.image.size <= AOT_IMAGE_MAX &&
                        img_aot_open(&stack.aot, &stack.image) == IMG_AOT_OK;
    }
    return stack.has_aot && img_aot_name_of(&stack.aot, rva, false, &name, offset) == IMG_AOT_OK &&
           name.length;
}

static bool find_export(uint32_t rva, uint32_t *offset)
{
    if (img_export_of(&stack.image, rva, &stack.export) != IMG_OK)
        return false;
    *offset = rva - stack.export.rva;
    __builtin_memcpy(stack.name, stack.export.name, sizeof stack.name - 1);
    stack.name[sizeof stack.name - 1] = 0;
    return true;
}

/* The last part of the path without its extension: as debuggers call it. */
static void add_module(const char *path)
{
    const char *name = path, *end = NULL;
    char text[2] = {0, 0};

    for (const char *c = path; *c; c++) {
        if (*c == '\\' || *c == '/') {
            name = c + 1;
            end = NULL;
        } else if (*c == '.') {
            end = c;
        }
    }
    for (; *name && name != end; name++) {
        text[0] = *name;
        add(text);
    }
}

static void add_place(const struct img_walk_frame *frame)
{
    /* A return address may lie behind the last byte of the function that called. */
    uint32_t back = frame->interrupted ? 0 : 1, rva, offset;

    if (!frame->image || !find_image(NULL, frame->rip) ||
        !img_rva(&stack.image, frame->rip, &rva)) {
        add("?");
        return;
    }
    add_module(stack.module->path);
    if (rva >= back && (find_aot_name(rva - back, &offset) || find_export(rva - back, &offset))) {
        add("!");
        add(stack.name);
        offset += back;
    } else {
        offset = rva;
    }
    add("+0x");
    add_hex(offset, 1);
}

static void begin_line(const char *text)
{
    stack.used = 0;
    add(text);
}

static bool say_line(agent_line_out say)
{
    /* A line that is too long loses its last character to the line end. */
    if (stack.used + 1 == sizeof stack.line)
        stack.used--;
    add("\n");
    return say(stack.line, stack.used);
}

static bool say_fault(const struct x64_frame *frame, agent_line_out say)
{
    begin_line("kdagent: call stack:");
    if (frame->vector == X64_CALL)
        return say_line(say);
    begin_line("kdagent: fault, vector ");
    add_hex(frame->vector, 2);
    add(" at ");
    add_hex(frame->rip, 16);
    add(", address ");
    add_hex(frame->cr2, 16);
    add("; call stack:");
    return say_line(say);
}

static void say_frames(agent_line_out say)
{
    enum img_walk_result result;
    unsigned number = 0;

    while ((result = img_walk_next(&stack.walk, &stack.frame)) == IMG_WALK_FRAME) {
        begin_line("  ");
        add_hex(number++, 2);
        add(" ");
        add_hex(stack.frame.rip, 16);
        add(" ");
        add_place(&stack.frame);
        if (stack.frame.guessed)
            add(" (guess)");
        if (!say_line(say))
            return;
    }
    if (result == IMG_WALK_END)
        return;
    begin_line("  no further: ");
    add(img_walk_result_text(result));
    say_line(say);
}

void agent_tell_stack(const struct x64_frame *frame, agent_line_out say)
{
    if (stack.busy)
        return;
    stack.busy = true;
    start_walk(frame);
    if (say_fault(frame, say))
        say_frames(say);
    stack.busy = false;
}

/* Only what unwinding needs. */
static bool read_registers(const void *context, struct x64_frame *frame)
{
    static struct kd_context_amd64 registers;

    if (!read_memory(NULL, (uint64_t)(uintptr_t)context, &registers, sizeof registers))
        return false;
    *frame = (struct x64_frame){
        .vector = X64_CALL,
        .rip = kd_get64(registers.rip),
        .rsp = kd_get64(registers.rsp),
        .rbx = kd_get64(registers.rbx),
        .rbp = kd_get64(registers.rbp),
        .rsi = kd_get64(registers.rsi),
        .rdi = kd_get64(registers.rdi),
        .r12 = kd_get64(registers.r12),
        .r13 = kd_get64(registers.r13),
        .r14 = kd_get64(registers.r14),
        .r15 = kd_get64(registers.r15),
    };
    return true;
}

bool agent_tell_stack_of(const void *context, agent_line_out say)
{
    static struct x64_frame frame;

    if (!context)
        agent_tell_stack(x64_current(), say);
    else if (read_registers(context, &frame))
        agent_tell_stack(&frame, say);
    else
        return false;
    return true;
}
