/* start.c - starts the managed runtime in a test application; prints call stacks. See start.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "start.h"

#include "image/unwind.h"

#define HEAP_SIZE   (1u << 20)
#define STACK_REACH (64u << 10) /* bytes of stack that the application may have used */
#define FRAMES_MAX  64

extern const char __ImageBase[];

static uint64_t heap[HEAP_SIZE / sizeof(uint64_t)];

static void fail(const struct rt_aot_problem *problem)
{
    say("failed ");
    say(rt_aot_text(problem->failure));
    say(": ");
    say(img_aot_text(problem->status));
    say(" ");
    say_hex(problem->a);
    say(" ");
    say_hex(problem->b);
    say("\n");
    say_stack();
    end_test();
    console_stop();
}

static void say_version(const struct rt_aot_result *result)
{
    say_number(result->major);
    say(".");
    say_number(result->minor);
}

bool start_managed(void *image, const void *system_table, bool cached)
{
    struct rt_aot_result result;
    struct rt_aot_config config = {
        .image = __ImageBase,
        .heap = heap,
        .heap_size = sizeof heap,
        .fail = fail,
        .header = rt_aot_header(),
        .no_cache = !cached,
    };

    console_open(image, system_table);
    say("\nbegin\n");
    if (!rt_aot_start(&config, &result)) {
        say("start failed: ");
        say(result.step);
        say(": ");
        say(result.image != IMG_OK ? img_result_text(result.image) : img_aot_text(result.status));
        if (result.status == IMG_AOT_VERSION) {
            say(": ");
            say_version(&result);
        }
        say("\n");
        end_test();
        return false;
    }
    say("version ");
    say_version(&result);
    say("\n");
    return true;
}

void end_test(void)
{
    struct rt_aot_counters counters = rt_aot_counters();

    say("counters resolved ");
    say_number(counters.resolved);
    say(" cached ");
    say_number(counters.cached);
    say(" allocated ");
    say_number(counters.allocated);
    say("\nend\n");
}

static bool read_memory(void *context, uint64_t address, void *buffer, size_t size)
{
    const uint8_t *from = (const uint8_t *)(uintptr_t)address;

    (void)context;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buffer)[i] = from[i];
    return true;
}

static const struct img_image *find(void *context, uint64_t address)
{
    uint32_t rva;

    (void)context;
    return img_rva(rt_aot_metadata()->image, address, &rva) ? rt_aot_metadata()->image : NULL;
}

static void say_frame(const struct img_walk_frame *frame)
{
    char text[512];
    struct img_aot_name name = {.text = text, .room = sizeof text};
    uint32_t rva = (uint32_t)(frame->rip - frame->image->base), offset;

    say("frame ");
    /* A return address may be the next function's start. */
    if (img_aot_name_of(rt_aot_metadata(), rva - 1, false, &name, &offset) == IMG_AOT_OK) {
        say(text);
        say("+");
        say_hex(offset + 1);
    } else {
        say("image+");
        say_hex(rva);
    }
    say("\n");
}

/* The registers that an unwinder needs, here. Inlined: a frame of its own would be gone after it.
 */
static inline __attribute__((always_inline)) void capture(struct img_registers *registers)
{
    static const uint8_t order[] = {IMG_RBX, IMG_RBP, IMG_RSI, IMG_RDI, IMG_R12,
                                    IMG_R13, IMG_R14, IMG_R15, IMG_RSP};
    uint64_t values[10];

    __asm__ volatile("mov %%rbx, 0(%0)\n\tmov %%rbp, 8(%0)\n\tmov %%rsi, 16(%0)\n\t"
                     "mov %%rdi, 24(%0)\n\tmov %%r12, 32(%0)\n\tmov %%r13, 40(%0)\n\t"
                     "mov %%r14, 48(%0)\n\tmov %%r15, 56(%0)\n\tmov %%rsp, 64(%0)\n\t"
                     "lea 0(%%rip), %%rax\n\tmov %%rax, 72(%0)"
                     :
                     : "r"(values)
                     : "rax", "memory");
    for (unsigned i = 0; i < sizeof order; i++)
        registers->gpr[order[i]] = values[i];
    registers->rip = values[9];
}

void say_stack(void)
{
    struct img_registers registers = {0};
    struct img_walk_frame frame;
    struct img_walk walk = {
        .find = find,
        .memory = {read_memory, NULL},
        .max_frames = FRAMES_MAX,
    };

    if (!rt_aot_metadata())
        return;
    capture(&registers);
    walk.stack_low = registers.gpr[IMG_RSP];
    walk.stack_high = walk.stack_low + STACK_REACH;
    img_walk_start(&walk, &registers);
    while (img_walk_next(&walk, &frame) == IMG_WALK_FRAME)
        if (frame.image)
            say_frame(&frame);
}
