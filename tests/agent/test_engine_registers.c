/* test_engine_registers.c - contexts, control space, ports, MSRs, bus data, version, refusals.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Shapes are the Windows boot manager's; what it refuses and we serve is as public descriptions of
 * NT have it.
 */
#include <string.h>

#include "check.h"
#include "peer.h"

#define CONTEXT 1232u

static struct peer peer;

static void begin(void)
{
    peer_open(&peer);
    CHECK(peer_expect_stop(&peer).there);
}

static void end(void)
{
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    peer_close(&peer);
}

static void get_context(void)
{
    struct peer_reply reply;

    begin();
    reply = peer_request(&peer, 0x3132, NULL, 0, "d", 0x1003Fu);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(reply.size, CONTEXT);
    CHECK_EQ_U64(peer_get(reply.body, 4), 0x1003F);
    CHECK_EQ_U64(peer_get(reply.data + 0x30, 4), 0x10001B);
    CHECK_EQ_U64(peer_get(reply.data + 0xF8, 8), MACHINE_RAM + 0x2000);
    CHECK_EQ_U64(peer_get(reply.data + 0x44, 4), 0x246);
    end();
}

/* Microsoft's target ignores the number of a processor that does not exist. */
static void get_context_of_any_processor(void)
{
    uint8_t payload[56] = {0x32, 0x31, 0, 0, 0, 0, 0xFF, 0xFF, 3, 1};
    struct peer_packet packet;

    begin();
    peer_data(&peer, PEER_MANIPULATE, peer.next_id, payload, sizeof payload);
    peer.next_id ^= 1;
    peer_run(&peer);
    packet = peer_receive(&peer);
    CHECK_EQ_U64(packet.size, 56 + CONTEXT);
    CHECK_EQ_U64(peer_get(packet.payload + 8, 4), 0);
    end();
}

static void set_context(void)
{
    struct peer_reply old, reply;

    begin();
    old = peer_request(&peer, 0x3132, NULL, 0, "d", 0u);
    peer_put(old.data + 0x78, 8, 0x1122334455667788);
    peer_put(old.data + 0xF8, 8, MACHINE_RAM + 0x3000);
    peer_put(old.data + 0x30, 4, 0x100002);
    reply = peer_request(&peer, 0x3133, old.data, CONTEXT, "d", 0x10001Fu);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(reply.size, 0);
    CHECK_EQ_U64(peer.machine.set_groups, 0x100002);
    CHECK_EQ_U64(kd_get64(peer.machine.context.rax), 0x1122334455667788);
    CHECK_EQ_U64(kd_get64(peer.machine.context.rip), MACHINE_RAM + 0x2000);
    /* Only the first 0x100 bytes: those count, the rest stays. */
    peer_put(old.data + 0x30, 4, 0x100003);
    reply = peer_request(&peer, 0x3133, old.data, 0x100, "d", 0x10001Fu);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(kd_get64(peer.machine.context.rip), MACHINE_RAM + 0x3000);
    reply = peer_request(&peer, 0x3133, NULL, 0, "d", 0u);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(kd_get64(peer.machine.context.rip), MACHINE_RAM + 0x3000);
    end();
}

static void expect_context_ex(uint32_t offset, uint32_t count, uint32_t start, uint32_t copied)
{
    struct peer_reply whole = peer_request(&peer, 0x3132, NULL, 0, "d", 0u);
    struct peer_reply reply = peer_request(&peer, 0x315F, NULL, 0, "ddd", offset, count, 0u);

    CHECK(reply.there);
    CHECK_EQ_U64(reply.status, 0x103);
    CHECK_EQ_U64(peer_get(reply.body, 4), start);
    CHECK_EQ_U64(peer_get(reply.body + 4, 4), CONTEXT);
    CHECK_EQ_U64(peer_get(reply.body + 8, 4), copied);
    CHECK_EQ_U64(reply.size, copied);
    CHECK_EQ_MEM(reply.data, whole.data + start, copied);
}

static void get_context_ex(void)
{
    begin();
    expect_context_ex(0, 0x4D0, 0, 0x4D0);
    expect_context_ex(0, 0x1000, 0, 0x4D0);
    expect_context_ex(0x30, 0x10, 0x30, 0x10);
    expect_context_ex(0x4C0, 0x10, 0x4C0, 0x10);
    expect_context_ex(0x4D0, 1, 0x4D0, 0);
    expect_context_ex(0x2000, 16, 0x4D0, 0);
    expect_context_ex(0, 0, 0, 0);
    expect_context_ex(UINT32_MAX, UINT32_MAX, 0x4D0, 0);
    end();
}

static uint32_t set_part(const uint8_t *data, uint32_t offset, uint32_t count, size_t size,
                         uint32_t total)
{
    struct peer_reply reply =
        peer_request(&peer, 0x3160, data + offset, size, "ddd", offset, count, total);

    CHECK(reply.there);
    CHECK_EQ_U64(peer_get(reply.body, 4), offset);
    CHECK_EQ_U64(peer_get(reply.body + 4, 4), count);
    CHECK_EQ_U64(peer_get(reply.body + 8, 4), reply.status ? total : count);
    return reply.status;
}

static void set_context_ex(void)
{
    static uint8_t data[0x5000];
    struct peer_reply old;
    unsigned calls;

    begin();
    old = peer_request(&peer, 0x3132, NULL, 0, "d", 0u);
    memcpy(data, old.data, CONTEXT);
    peer_put(data + 0xF8, 8, MACHINE_RAM + 0x4000);
    calls = peer.machine.set_context_calls;
    CHECK_EQ_U64(set_part(data, 0, 0x200, 0x200, CONTEXT), 0);
    CHECK_EQ_U64(peer.machine.set_context_calls, calls);
    CHECK_EQ_U64(set_part(data, 0x200, 0x2D0, 0x2D0, CONTEXT), 0);
    CHECK_EQ_U64(peer.machine.set_context_calls, calls + 1);
    CHECK_EQ_U64(kd_get64(peer.machine.context.rip), MACHINE_RAM + 0x4000);
    CHECK_EQ_U64(set_part(data, 0, CONTEXT, CONTEXT, CONTEXT), 0);
    /* With an area behind that we do not have. */
    CHECK_EQ_U64(set_part(data, 0, 0xE00, 0xE00, 0x1000), 0);
    calls = peer.machine.set_context_calls;
    CHECK_EQ_U64(set_part(data, 0xE00, 0x200, 0x200, 0x1000), 0);
    CHECK_EQ_U64(peer.machine.set_context_calls, calls + 1);
    CHECK_EQ_U64(set_part(data, 0x4C0, 0x40, 0x40, CONTEXT), 0xC000000D);
    CHECK_EQ_U64(set_part(data, 0x500, 0, 0, CONTEXT), 0xC000000D);
    CHECK_EQ_U64(set_part(data, 0, 0x100, 0x80, CONTEXT), 0xC000000D);
    CHECK_EQ_U64(set_part(data, 0, 0x100, 0x100, 0x3001), 0xC000000D);
    CHECK_EQ_U64(peer.machine.set_context_calls, calls + 1);
    end();
}

static void expect_control(uint64_t selector, uint32_t count, uint32_t status, uint32_t size)
{
    struct peer_reply reply =
        peer_request(&peer, 0x3137, NULL, 0, "qdd", selector, count, UINT32_MAX);

    CHECK(reply.there);
    CHECK_EQ_U64(reply.status, status);
    CHECK_EQ_U64(reply.size, size);
    CHECK_EQ_U64(peer_get(reply.body + 8, 4), count);
    CHECK_EQ_U64(peer_get(reply.body + 12, 4), size);
    if (selector == 2)
        CHECK_EQ_MEM(reply.data, &peer.machine.special, size);
}

static void read_control_space(void)
{
    struct peer_reply pcr, prcb;

    begin();
    expect_control(0, 8, 0, 8);
    expect_control(0, 4, 0, 8);
    expect_control(0, 16, 0, 8);
    expect_control(1, 8, 0, 8);
    expect_control(2, 0xE0, 0, 0xE0);
    expect_control(2, 0xF0, 0, 0xF0);
    expect_control(2, 0x200, 0, 0xF0);
    expect_control(2, 8, 0, 8);
    expect_control(3, 8, 0xC0000001, 0);
    expect_control(4, 8, 0xC0000001, 0);
    expect_control(0xFFFF, 8, 0xC0000001, 0);
    expect_control(UINT64_C(0x100000002), 8, 0xC0000001, 0);
    /* What the pointers point at can be read, and leads from one to the other. */
    pcr = peer_request(&peer, 0x3137, NULL, 0, "qdd", UINT64_C(0), 8u, 0u);
    prcb = peer_request(&peer, 0x3137, NULL, 0, "qdd", UINT64_C(1), 8u, 0u);
    pcr = peer_request(&peer, 0x3130, NULL, 0, "qdd", peer_get(pcr.data, 8) + 0x20, 8u, 0u);
    CHECK_EQ_U64(pcr.status, 0);
    CHECK_EQ_U64(peer_get(pcr.data, 8), peer_get(prcb.data, 8));
    end();
}

static struct peer_reply write_control(uint64_t selector, uint32_t count, const uint8_t *data,
                                       size_t size)
{
    return peer_request(&peer, 0x3138, data, size, "qdd", selector, count, 0u);
}

static void write_control_space(void)
{
    uint8_t block[0x100];
    struct peer_reply reply;

    begin();
    memset(block, 0, sizeof block);
    memcpy(block, &peer.machine.special, 0xF0);
    peer_put(block + 0x20, 8, 0xD0);
    peer_put(block + 0x48, 8, 0x401);
    reply = write_control(2, 0xE0, block, 0xE0);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(reply.size, 0);
    CHECK_EQ_U64(peer_get(reply.body + 12, 4), 0xE0);
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr0), 0xD0);
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr7), 0x401);
    CHECK_EQ_U64(kd_get64(peer.machine.special.msr_fs_base), 0x1234);
    peer_put(block, 8, 0x33);
    reply = write_control(2, 8, block, 8);
    CHECK_EQ_U64(peer_get(reply.body + 12, 4), 8);
    CHECK_EQ_U64(kd_get64(peer.machine.special.cr0), 0x33);
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr7), 0x401);
    reply = write_control(2, 0x100, block, 0x100);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(peer_get(reply.body + 12, 4), 0xF0);
    reply = write_control(1, 8, block, 8);
    CHECK_EQ_U64(reply.status, 0xC0000001);
    CHECK_EQ_U64(peer_get(reply.body + 12, 4), 0);
    peer.machine.refuse_special = true;
    CHECK_EQ_U64(write_control(2, 8, block, 8).status, 0xC0000001);
    end();
}

static void expect_port(uint64_t port, uint32_t size, uint32_t status, uint32_t value)
{
    struct peer_reply reply = peer_request(&peer, 0x3139, NULL, 0, "qdd", port, size, 7u);

    CHECK(reply.there);
    CHECK_EQ_U64(reply.status, status);
    CHECK_EQ_U64(peer_get(reply.body, 8), port);
    CHECK_EQ_U64(peer_get(reply.body + 12, 4), value);
}

static void ports(void)
{
    struct peer_reply reply;

    begin();
    expect_port(0x80, 1, 0, 0xDA);
    expect_port(0x80, 2, 0, 0xDBDA);
    expect_port(0x80, 4, 0, 0xD9D8DBDA);
    expect_port(0x80, 8, 0xC000000D, 7);
    expect_port(0x80, 3, 0xC000000D, 7);
    expect_port(0x80, 0, 0xC000000D, 7);
    expect_port(0x81, 4, 0x80000002, 7);
    expect_port(0x81, 2, 0x80000002, 7);
    expect_port(0x81, 1, 0, 0xDB);
    expect_port(0x10080, 1, 0, 0xDA);
    expect_port(0xFFFC, 4, 0, 0xA5A4A7A6);
    reply = peer_request(&peer, 0x313A, NULL, 0, "qdd", UINT64_C(0x80), 2u, 0x11223344u);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(peer_get(reply.body + 12, 4), 0x11223344);
    CHECK_EQ_U64(peer.machine.ports[0x80], 0x44);
    CHECK_EQ_U64(peer.machine.ports[0x81], 0x33);
    CHECK_EQ_U64(peer.machine.ports[0x82], 0xD8);
    reply = peer_request(&peer, 0x313A, NULL, 0, "qdd", UINT64_C(0x80), 8u, 1u);
    CHECK_EQ_U64(reply.status, 0xC000000D);
    reply = peer_request(&peer, 0x313A, NULL, 0, "qdd", UINT64_C(0x81), 2u, 1u);
    CHECK_EQ_U64(reply.status, 0x80000002);
    end();
}

static void ports_extended(void)
{
    struct peer_reply reply;

    begin();
    reply = peer_request(&peer, 0x3144, NULL, 0, "ddddqd", 1u, 1u, 0u, 1u, UINT64_C(0x80), 0u);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(peer_get(reply.body + 24, 4), 0xDA);
    reply = peer_request(&peer, 0x3145, NULL, 0, "ddddqd", 1u, 1u, 0u, 1u, UINT64_C(0x80), 5u);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(peer.machine.ports[0x80], 5);
    reply = peer_request(&peer, 0x3144, NULL, 0, "ddddqd", 1u, 1u, 0u, 0u, UINT64_C(0x80), 0u);
    CHECK_EQ_U64(reply.status, 0xC000000D);
    reply = peer_request(&peer, 0x3145, NULL, 0, "ddddqd", 1u, 1u, 1u, 1u, UINT64_C(0x80), 0u);
    CHECK_EQ_U64(reply.status, 0xC000000D);
    reply = peer_request(&peer, 0x3144, NULL, 0, "ddddqd", 8u, 1u, 0u, 1u, UINT64_C(0x80), 0u);
    CHECK_EQ_U64(reply.status, 0xC000000D);
    end();
}

static void msrs(void)
{
    struct peer_reply reply;

    begin();
    reply = peer_request(&peer, 0x3152, NULL, 0, "ddd", 0xC0000080u, 9u, 9u);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(peer_get(reply.body + 4, 8), 0xD00);
    reply = peer_request(&peer, 0x3152, NULL, 0, "ddd", 0x12345678u, 9u, 9u);
    CHECK_EQ_U64(reply.status, 0xC0000001);
    CHECK_EQ_U64(peer_get(reply.body + 4, 8), 0);
    reply = peer_request(&peer, 0x3153, NULL, 0, "ddd", 0xC0000080u, 0x501u, 0x80000000u);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(peer.machine.msr_efer, UINT64_C(0x8000000000000501));
    reply = peer_request(&peer, 0x3153, NULL, 0, "ddd", 0x1Bu, 1u, 2u);
    CHECK_EQ_U64(reply.status, 0xC0000001);
    end();
}

static struct peer_reply bus_data(uint32_t api, uint32_t type, uint32_t bus, uint32_t slot,
                                  uint32_t offset, uint32_t length)
{
    return peer_request(&peer, api, "\xAB\xCD", api == 0x3158 ? 2 : 0, "ddddd", type, bus, slot,
                        offset, length);
}

static void bus(void)
{
    struct peer_reply reply;

    begin();
    reply = bus_data(0x3157, 4, 0, 0, 0, 16);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(reply.size, 16);
    CHECK_EQ_U64(peer_get(reply.body + 16, 4), 16);
    CHECK_EQ_MEM(reply.data, peer.machine.pci, 16);
    reply = bus_data(0x3157, 4, 0, 0, 0xF8, 0x1000);
    CHECK_EQ_U64(reply.size, 8);
    CHECK_EQ_U64(peer_get(reply.body + 16, 4), 8);
    CHECK_EQ_U64(bus_data(0x3157, 4, 0, 31, 0, 16).status, 0xC0000001);
    CHECK_EQ_U64(bus_data(0x3157, 4, 0, 0x20, 0, 16).status, 0xC0000001); /* function 1 */
    CHECK_EQ_U64(bus_data(0x3157, 4, 0, 0x100, 0, 16).status, 0xC0000001);
    CHECK_EQ_U64(bus_data(0x3157, 4, 256, 0, 0, 16).status, 0xC0000001);
    CHECK_EQ_U64(bus_data(0x3157, 99, 0, 0, 0, 16).status, 0xC0000001);
    reply = bus_data(0x3158, 4, 0, 0, 0x3C, 1);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(peer.machine.pci[0x3C], 0xAB);
    CHECK_EQ_U64(peer.machine.pci[0x3D], (uint8_t)(0x86 + 0x3D));
    CHECK_EQ_U64(peer_get(reply.body + 16, 4), 1);
    reply = bus_data(0x3158, 4, 0, 0, 0x40, 100);
    CHECK_EQ_U64(peer_get(reply.body + 16, 4), 2);
    CHECK_EQ_U64(bus_data(0x3158, 4, 1, 0, 0, 2).status, 0xC0000001);
    end();
}

/* What radare2 and WinDbg follow from GetVersion on (kd-peers: "Minimum fake data"). */
static void version(void)
{
    static const uint8_t head[] = {0x0F, 0x04, 0xBA, 0x47, 6,    2, 6, 0,
                                   0x64, 0x86, 0x0C, 0x32, 0x59, 0, 0, 0};
    struct peer_reply reply, list, block;
    uint64_t modules, data;

    begin();
    reply = peer_request(&peer, 0x3146, NULL, 0, "");
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(reply.size, 0);
    CHECK_EQ_MEM(reply.body, head, sizeof head);
    CHECK_EQ_U64(peer_get(reply.body + 16, 8), MACHINE_RAM);
    modules = peer_get(reply.body + 24, 8);
    list = peer_request(&peer, 0x3130, NULL, 0, "qdd", peer_get(reply.body + 32, 8), 8u, 0u);
    CHECK_EQ_U64(list.status, 0);
    data = peer_get(list.data, 8);
    block = peer_request(&peer, 0x3130, NULL, 0, "qdd", data, 0x3A8u, 0u);
    CHECK_EQ_U64(block.size, 0x3A8);
    CHECK_EQ_MEM(block.data + 16, "KDBG", 4);
    CHECK_EQ_U64(peer_get(block.data + 20, 4), 0x3A8);
    CHECK_EQ_U64(peer_get(block.data, 8), peer_get(reply.body + 32, 8));
    CHECK_EQ_U64(peer_get(block.data + 0x18, 8), MACHINE_RAM);
    CHECK_EQ_U64(peer_get(block.data + 0x48, 8), modules);
    CHECK_EQ_U64(peer_get(block.data + 0x36, 2), 0);
    list = peer_request(&peer, 0x3130, NULL, 0, "qdd", peer_get(block.data + 0x268, 8), 8u, 0u);
    CHECK_EQ_U64(list.size, 8);
    CHECK_EQ_U64(peer_get(list.data, 8), 0);
    /* No image yet: the head points at itself. */
    list = peer_request(&peer, 0x3130, NULL, 0, "qdd", modules, 16u, 0u);
    CHECK_EQ_U64(peer_get(list.data, 8), modules);
    CHECK_EQ_U64(peer_get(list.data + 8, 8), modules);
    end();
}

static void refusals(void)
{
    static const uint32_t refused[] = {0x313F, 0x3143, 0x3149, 0x3151, 0x3154,    0x3155,
                                       0x3159, 0x315D, 0x315E, 0x3161, 0x3162,    0x3112,
                                       0x312F, 0x31FF, 0,      0x3163, 0xFFFFFFFF};
    uint8_t body[40];

    begin();
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i + 1);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct peer_reply reply = peer_ask(&peer, refused[i], body, sizeof body, "data", 4);

        CHECK(reply.there);
        CHECK_EQ_U64(reply.api, refused[i]);
        CHECK_EQ_U64(reply.status, 0xC0000001);
        CHECK_EQ_U64(reply.size, 0);
        CHECK_EQ_MEM(reply.body, body, sizeof body);
    }
    end();
}

static void silence(void)
{
    static const uint32_t silent[] = {0x3140, 0x3141, 0x3142, 0x315A};

    begin();
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++) {
        uint32_t id = peer.next_id;

        CHECK(!peer_request(&peer, silent[i], NULL, 0, "q", UINT64_C(1)).there);
        CHECK(peer.next_id != id);
        peer_pass(&peer, 3000000);
        CHECK(!peer_take(&peer).there);
    }
    CHECK_EQ_U64(peer_request(&peer, 0x3146, NULL, 0, "").status, 0);
    end();
}

static void reboot(void)
{
    begin();
    CHECK(!peer_request(&peer, 0x313B, NULL, 0, "").there);
    CHECK_EQ_U64(peer.machine.reboots, 1);
    end();
}

static void switch_processor(void)
{
    uint8_t payload[56] = {0x50, 0x31, 0, 0, 0, 0, 5, 0, 3, 1};
    struct peer_packet packet;

    begin();
    peer_data(&peer, PEER_MANIPULATE, peer.next_id, payload, sizeof payload);
    peer.next_id ^= 1;
    peer_run(&peer);
    packet = peer_receive(&peer);
    CHECK_EQ_U64(packet.type, PEER_MANIPULATE);
    CHECK_EQ_U64(peer_get(packet.payload + 8, 4), 0xC0000001);
    payload[6] = 0;
    peer_data(&peer, PEER_MANIPULATE, peer.next_id, payload, sizeof payload);
    peer.next_id ^= 1;
    peer_run(&peer);
    packet = peer_receive(&peer);
    CHECK_EQ_U64(packet.type, PEER_STATE);
    CHECK_EQ_U64(peer_get(packet.payload, 4), 0x3030);
    end();
}

KD_TEST_MAIN({"GetContext", get_context}, {"any processor", get_context_of_any_processor},
             {"SetContext", set_context}, {"GetContextEx", get_context_ex},
             {"SetContextEx", set_context_ex}, {"ReadControlSpace", read_control_space},
             {"WriteControlSpace", write_control_space}, {"ports", ports},
             {"ports, extended", ports_extended}, {"MSRs", msrs}, {"bus data", bus},
             {"GetVersion", version}, {"refusals", refusals}, {"silence", silence},
             {"Reboot", reboot}, {"SwitchProcessor", switch_processor})
