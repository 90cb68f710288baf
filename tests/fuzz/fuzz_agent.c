/* fuzz_agent.c - libFuzzer target: the whole engine of the agent, a debugger and a machine that do
 * anything.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The input is a program. Each step is a byte of choice and what belongs to it: bytes for the line,
 * a well-formed request with the id the engine expects, an ACK of what it sent, time, a trait of
 * the machine, or a call of the engine. When the engine waits it gets the next step; when there is
 * none the run is over.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "kd/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAM_BASE UINT64_C(0x1000)
#define RAM_SIZE 0x3000u
#define QUEUE    16384u

/* Nothing the engine does may need more looks at the line than this without a byte of input. */
#define IDLE_LIMIT 200000u

static struct {
    const uint8_t *data;
    size_t size;
    jmp_buf over;
    uint64_t now;
    unsigned idle;

    uint8_t ram[RAM_SIZE];
    uint8_t hole; /* this page of RAM is absent */
    uint8_t traits;
    struct kd_context_amd64 context;
    struct kd_special_registers_amd64 special;

    uint8_t line[QUEUE]; /* to the engine */
    size_t line_start, line_end;
    uint32_t sent_id;  /* of the engine's last data packet */
    uint32_t asked_id; /* of the next request */
    bool busy_seen;
    struct kda_engine *engine;
    uint8_t *memory;
} world;

enum trait { REFUSE_MSR = 1, REFUSE_SPECIAL = 2, REFUSE_PCI = 4, STUCK_LINE = 8, ROM = 16 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

static uint8_t next(void)
{
    if (world.size == 0)
        longjmp(world.over, 1);
    world.size--;
    return *world.data++;
}

static uint64_t next_number(unsigned bytes)
{
    uint64_t value = 0;

    while (bytes-- > 0)
        value = value << 8 | next();
    return value;
}

static bool there(uint64_t address)
{
    uint64_t at = address - RAM_BASE;

    return at < RAM_SIZE && at >> 12 != (world.hole & 7);
}

static size_t read_memory(void *self, uint64_t address, uint8_t *out, size_t size)
{
    uint64_t engine = (uint64_t)(uintptr_t)world.memory;
    size_t i;

    (void)self;
    require(size <= KD_PACKET_MAX_SIZE);
    memset(out, 0xEE, size);
    for (i = 0; i < size; i++) {
        if (address + i - engine < kda_size())
            out[i] = world.memory[address + i - engine];
        else if (there(address + i))
            out[i] = world.ram[address + i - RAM_BASE];
        else
            break;
    }
    return i;
}

/* Not the engine's own memory: what a debugger writes there is at its own risk. */
static size_t write_memory(void *self, uint64_t address, const uint8_t *bytes, size_t size)
{
    size_t i;

    (void)self;
    require(size <= KD_PACKET_MAX_SIZE);
    for (i = 0; i < size && there(address + i) && !(world.traits & ROM); i++)
        world.ram[address + i - RAM_BASE] = bytes[i];
    return i;
}

static size_t read_physical(void *self, uint64_t address, uint8_t *out, size_t size,
                            uint32_t caching)
{
    (void)caching;
    return read_memory(self, address, out, size);
}

static size_t write_physical(void *self, uint64_t address, const uint8_t *bytes, size_t size,
                             uint32_t caching)
{
    (void)caching;
    return write_memory(self, address, bytes, size);
}

static void query_page(void *self, uint64_t address, struct kda_page *page)
{
    (void)self;
    *page = (struct kda_page){there(address), world.traits & 1, world.traits & 2};
}

static void get_context(void *self, struct kd_context_amd64 *out)
{
    (void)self;
    *out = world.context;
}

static void set_context(void *self, const struct kd_context_amd64 *in)
{
    (void)self;
    world.context = *in;
}

static void get_special(void *self, struct kd_special_registers_amd64 *out)
{
    (void)self;
    *out = world.special;
}

static bool set_special(void *self, const struct kd_special_registers_amd64 *in)
{
    (void)self;
    world.special = *in;
    return !(world.traits & REFUSE_SPECIAL);
}

static uint32_t read_port(void *self, uint16_t port, unsigned size)
{
    (void)self;
    require(size == 1 || size == 2 || size == 4);
    return port * size;
}

static void write_port(void *self, uint16_t port, unsigned size, uint32_t value)
{
    (void)read_port(self, port, size);
    (void)value;
}

static bool read_msr(void *self, uint32_t number, uint64_t *value)
{
    (void)self;
    *value = number;
    return !(world.traits & REFUSE_MSR);
}

static bool write_msr(void *self, uint32_t number, uint64_t value)
{
    (void)self;
    (void)number;
    (void)value;
    return !(world.traits & REFUSE_MSR);
}

static size_t read_pci(void *self, unsigned bus, unsigned device, unsigned function,
                       unsigned offset, uint8_t *out, size_t size)
{
    (void)self;
    (void)offset;
    require(bus < 256 && device < 32 && function < 8 && size <= KD_PACKET_MAX_SIZE);
    if (world.traits & REFUSE_PCI)
        return 0;
    memset(out, (int)bus, size);
    return size;
}

static size_t write_pci(void *self, unsigned bus, unsigned device, unsigned function,
                        unsigned offset, const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;

    (void)self;
    (void)offset;
    require(bus < 256 && device < 32 && function < 8);
    for (size_t i = 0; i < size; i++)
        sum ^= bytes[i];
    return (world.traits & REFUSE_PCI) || sum == 0xFF ? 0 : size;
}

static void reboot(void *self)
{
    (void)self;
    longjmp(world.over, 1);
}

static uint64_t now(void *self)
{
    (void)self;
    return world.now;
}

static void put_line(const uint8_t *bytes, size_t size)
{
    if (world.line_start == world.line_end)
        world.line_start = world.line_end = 0;
    if (size > QUEUE - world.line_end)
        return;
    memcpy(world.line + world.line_end, bytes, size);
    world.line_end += size;
}

static void put_packet(enum kd_packet_type type, uint32_t id, const uint8_t *payload, size_t size)
{
    uint8_t bytes[KD_HEADER_SIZE + 512];

    put_line(bytes, kd_frame_encode(bytes, sizeof bytes, type, id, payload, size, true));
}

/* A request whose numbers are small, or near what exists. */
static void put_request(enum kd_packet_type type)
{
    uint8_t payload[KD_MANIPULATE_DATA + 256] = {0};
    uint8_t shape = next();
    size_t size = KD_MANIPULATE_DATA + (shape & 1 ? next() : 0u);

    payload[0] = (uint8_t)(type == KD_PACKET_DEBUG_IO ? 0x31 : 0x30 + next() % 0x40);
    payload[1] = type == KD_PACKET_DEBUG_IO ? 0x32 : 0x31;
    for (size_t i = 8; i < KD_MANIPULATE_DATA && shape & 2; i++)
        payload[i] = next();
    if (shape & 4) {
        uint64_t address = RAM_BASE + next_number(2) % (RAM_SIZE + 64) - 32;

        for (unsigned i = 0; i < 8; i++)
            payload[KD_MANIPULATE_UNION + i] = (uint8_t)(address >> 8 * i);
    } else {
        payload[KD_MANIPULATE_UNION] = shape >> 4;
    }
    if (shape & 8)
        payload[KD_MANIPULATE_UNION + 8] = next();
    for (size_t i = KD_MANIPULATE_DATA; i < size; i++)
        payload[i] = shape & 32 ? (uint8_t)i : next();
    put_packet(type, world.asked_id, payload, size);
    world.asked_id ^= 1;
}

/* One step of the program that the engine sees on its line, or in time. */
static void step(uint8_t choice)
{
    switch (choice % 10) {
    case 0: {
        uint8_t bytes[64];
        size_t size = next() % sizeof bytes;

        for (size_t i = 0; i < size; i++)
            bytes[i] = next();
        put_line(bytes, size);
        break;
    }
    case 1:
        put_packet(KD_PACKET_ACKNOWLEDGE, world.sent_id & ~KD_SYNC_PACKET_ID, NULL, 0);
        break;
    case 2:
        put_packet(KD_PACKET_ACKNOWLEDGE, world.sent_id & ~KD_SYNC_PACKET_ID, NULL, 0);
        put_request(KD_PACKET_STATE_MANIPULATE);
        break;
    case 3:
        put_request(choice & 128 ? KD_PACKET_DEBUG_IO : KD_PACKET_STATE_MANIPULATE);
        break;
    case 4:
        world.now += next_number(2) * 64;
        break;
    case 5:
        put_packet(choice & 128 ? KD_PACKET_RESET : KD_PACKET_RESEND, 0, NULL, 0);
        world.asked_id = choice & 128 ? KD_INITIAL_PACKET_ID : world.asked_id;
        break;
    case 6:
        put_line((const uint8_t *)"b", 1);
        break;
    case 7:
        world.traits = next();
        world.hole = next();
        break;
    case 8:
        world.asked_id ^= 1;
        break;
    default:
        world.now += 1000000;
        break;
    }
}

static void relax(void *self)
{
    (void)self;
    world.busy_seen = true;
    require(kda_busy(world.engine));
    require(++world.idle < IDLE_LIMIT);
    step(next());
}

static size_t read_line(void *self, uint8_t *out, size_t room)
{
    size_t size = world.line_end - world.line_start;

    (void)self;
    size = size < room ? size : room;
    memcpy(out, world.line + world.line_start, size);
    world.line_start += size;
    return size;
}

/* The engine sends nothing but whole packets that are well-formed. */
static size_t write_line(void *self, const uint8_t *bytes, size_t size)
{
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_DEBUGGER};
    struct kd_frame frame;

    (void)self;
    kd_frame_scan(&framing, bytes, size, false, true, &frame);
    require(frame.kind == KD_FRAME_PACKET && frame.flags == 0 && frame.size == size);
    if (!kd_is_control(bytes[4]))
        world.sent_id = kd_get32(((const struct kd_packet_header *)bytes)->packet_id);
    return world.traits & STUCK_LINE ? size / 2 : size;
}

/* A call of the program that is debugged. */
static void call(uint8_t choice)
{
    static const char text[] = "\xC3\xA9\xFF text of a program";
    struct kda_exception exception = {.code = choice & 16 ? 0x80000003 : 0x80000004,
                                      .address = RAM_BASE + (choice >> 4) * 0x100u,
                                      .count = choice,
                                      .first_chance = true};
    struct kda_image image = {text, RAM_BASE + (choice >> 5) * 0x800u, RAM_BASE, 0x800, 1, 2};
    char answer[16];
    size_t size;

    switch (choice % 16) {
    case 0:
        (void)kda_print(world.engine, text, sizeof text - 1);
        break;
    case 1:
        size = kda_prompt(world.engine, text, choice >> 4, answer, sizeof answer);
        require(size == SIZE_MAX || size <= sizeof answer);
        break;
    case 2:
        (void)kda_image_loaded(world.engine, &image, choice & 16);
        break;
    case 3:
        kda_image_unloaded(world.engine, image.base, choice & 16);
        break;
    case 4:
        (void)kda_command(world.engine, text, sizeof text - 1);
        break;
    case 5:
        kda_announce(world.engine);
        break;
    case 6:
        (void)kda_claim_step(world.engine);
        break;
    case 7:
        kda_leave(world.engine);
        break;
    case 8:
    case 9:
        (void)kda_poll(world.engine);
        break;
    default:
        world.context.rip = kd_put64(exception.address);
        (void)kda_stop(world.engine, &exception);
        break;
    }
    require(!kda_busy(world.engine));
}

static void run(void)
{
    static const struct kda_target_ops ops = {
        read_memory, write_memory, read_physical, write_physical, query_page, get_context,
        set_context, get_special,  set_special,   read_port,      write_port, read_msr,
        write_msr,   read_pci,     write_pci,     reboot,         now,        relax,
    };
    static const struct kda_transport_ops line = {read_line, write_line};
    const struct kda_target target = {&ops, NULL};
    const struct kda_transport transport = {&line, NULL};
    struct kda_config config = {.major = KDA_IDENTITY_BOOT, .message_us = 1000};
    uint8_t choice = next();

    config.wait_us = choice & 1 ? 100000 : 0;
    config.max_read = choice & 2 ? 1992 : 0;
    world.engine = kda_init(world.memory, kda_size(), &config, &target, &transport);
    require(world.engine);
    for (;;) {
        choice = next();
        if (choice & 128)
            call(next());
        else
            step(choice);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *memory = aligned_alloc(16, (kda_size() + 15) & ~(size_t)15);

    require(memory != NULL);
    memset(&world, 0, sizeof world);
    world.data = data;
    world.size = size;
    world.hole = 7;
    world.asked_id = KD_INITIAL_PACKET_ID;
    world.memory = memory;
    if (setjmp(world.over) == 0)
        run();
    free(memory);
    return 0;
}
