/* test_vmbus_defs.c - VMBus as the public sources state it: sizes, offsets, numbers, whole
 * messages.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * All numbers are literals from public headers (Linux, openvmm, MacHyperVSupport, iPXE), none is
 * computed from the tables under test.
 */
#include "check.h"
#include "kd/describe.h"
#include "kd/vmbus.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Hexadecimal digits, blanks between them do not count. Returns the bytes. */
static size_t unhex(const char *text, uint8_t *out, size_t room)
{
    size_t digits = 0;

    for (; *text; text++) {
        int digit = *text >= 'a' ? *text - 'a' + 10 : *text >= 'A' ? *text - 'A' + 10 : *text - '0';

        if (*text == ' ' || digits / 2 >= room)
            continue;
        out[digits / 2] = (uint8_t)(digits % 2 ? out[digits / 2] << 4 | digit : digit);
        digits++;
    }
    return digits / 2;
}

static void test_sizes_of_messages(void)
{
    CHECK_EQ_U64(sizeof(struct kd_vmbus_offer), 196);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_relid), 12);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_message), 8);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_open), 156);
    CHECK_EQ_U64(KD_VMBUS_OPEN_SIZE, 148);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_open_result), 20);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_gpadl_created), 20);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_gpadl_teardown), 16);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_gpadl_torndown), 12);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_initiate_contact), 40);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_initiate_contact5), 56);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_version_response), 16);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_version_response5), 40);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_open_reserved), 28);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_close_reserved), 20);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_close_reserved_response), 12);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_tl_connect), 56);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_modify_channel), 16);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_tl_connect_result), 44);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_modify_channel_response), 16);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_modify_connection), 24);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_modify_connection_response), 9);
    CHECK_EQ_U64(sizeof(struct kd_hv_message), 16);
    CHECK_EQ_U64(sizeof(struct kd_hv_post_message), 16);
    CHECK_EQ_U64(sizeof(struct kd_hv_signal_event), 8);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_descriptor), 16);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_pipe), 8);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_frame), 24);
    CHECK_EQ_U64(sizeof(struct kd_vmbus_ic), 20);
}

static void test_offsets(void)
{
    CHECK_EQ_U64(offsetof(struct kd_vmbus_offer, interface_type), 8);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_offer, interface_instance), 24);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_offer, flags), 56);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_offer, user_defined), 60);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_offer, sub_channel_index), 180);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_offer, relid), 184);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_offer, monitor_flags), 189);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_offer, connection_id), 192);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_open, gpadl), 16);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_open, ring_page_offset), 24);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_open, user_data), 28);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_open_result, status), 16);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_initiate_contact, interrupt_page), 16);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_initiate_contact5, features), 20);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_initiate_contact5, parent_to_child_page), 24);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_initiate_contact5, child_to_parent_page), 32);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_version_response, supported), 8);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_version_response5, connection_id), 12);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_version_response5, features), 16);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_version_response5, parent_to_child_page), 24);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_ring_control, interrupt_mask), 8);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_ring_control, pending_send_size), 12);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_ring_control, features), 64);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_monitor_page, trigger_group), 8);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_monitor_page, next_check_time), 0x40);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_monitor_page, latency), 0x240);
    CHECK_EQ_U64(offsetof(struct kd_vmbus_monitor_page, parameter), 0x440);
    CHECK_EQ_U64(offsetof(struct kd_hv_message, sender), 8);
    CHECK_EQ_U64(offsetof(struct kd_hv_post_message, payload_size), 12);
    CHECK_EQ_U64(_Alignof(struct kd_vmbus_offer), 1);
}

static const struct {
    uint32_t number;
    const char *name;
    bool from_guest;
    uint32_t size, answer;
} messages[] = {
    {1, "OFFERCHANNEL", false, 196, 0},
    {2, "RESCIND_CHANNELOFFER", false, 12, 0},
    {3, "REQUESTOFFERS", true, 8, 4},
    {4, "ALLOFFERS_DELIVERED", false, 8, 0},
    {5, "OPENCHANNEL", true, 148, 6},
    {6, "OPENCHANNEL_RESULT", false, 20, 0},
    {7, "CLOSECHANNEL", true, 12, 0},
    {8, "GPADL_HEADER", true, 20, 10},
    {9, "GPADL_BODY", true, 16, 0},
    {10, "GPADL_CREATED", false, 20, 0},
    {11, "GPADL_TEARDOWN", true, 16, 12},
    {12, "GPADL_TORNDOWN", false, 12, 0},
    {13, "RELID_RELEASED", true, 12, 0},
    {14, "INITIATE_CONTACT", true, 40, 15},
    {15, "VERSION_RESPONSE", false, 16, 0},
    {16, "UNLOAD", true, 8, 17},
    {17, "UNLOAD_RESPONSE", false, 8, 0},
    {18, "OPEN_RESERVED_CHANNEL", true, 28, 0},
    {19, "CLOSE_RESERVED_CHANNEL", true, 20, 20},
    {20, "CLOSE_RESERVED_RESPONSE", false, 12, 0},
    {21, "TL_CONNECT_REQUEST", true, 40, 23},
    {22, "MODIFYCHANNEL", true, 16, 24},
    {23, "TL_CONNECT_RESULT", false, 44, 0},
    {24, "MODIFYCHANNEL_RESPONSE", false, 16, 0},
    {25, "MODIFY_CONNECTION", true, 24, 26},
    {26, "MODIFY_CONNECTION_RESPONSE", false, 9, 0},
    {27, "PAUSE", true, 8, 28},
    {28, "PAUSE_RESPONSE", false, 8, 0},
    {29, "RESUME", true, 8, 0},
};

static void test_messages(void)
{
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        const struct kd_vmbus_message_info *info = kd_vmbus_message_find(messages[i].number);

        if (!CHECK(info != NULL))
            continue;
        CHECK_EQ_U64(info->number, messages[i].number);
        CHECK_EQ_STR(info->name, messages[i].name);
        CHECK_EQ_STR(kd_value_name(KD_SET_ID_vmbus_message, info->number), messages[i].name);
        CHECK_EQ_U64(info->from_guest, messages[i].from_guest);
        CHECK_EQ_U64(info->size, messages[i].size);
        CHECK_EQ_U64(info->answer, messages[i].answer);
        CHECK_EQ_STR(kd_layouts[info->layout].fields[0].filter, "vmbus.message");
    }
    CHECK(kd_vmbus_message_find(0) == NULL);
    CHECK(kd_vmbus_message_find(30) == NULL);
    CHECK(kd_vmbus_message_find(UINT32_MAX) == NULL);
    CHECK_EQ_U64(kd_vmbus_message_layout(kd_vmbus_message_find(14), 0x40001),
                 KD_LAYOUT_vmbus_initiate_contact);
    CHECK_EQ_U64(kd_vmbus_message_layout(kd_vmbus_message_find(14), 0x50000),
                 KD_LAYOUT_vmbus_initiate_contact5);
    CHECK_EQ_U64(kd_vmbus_message_layout(kd_vmbus_message_find(15), 0x50000),
                 KD_LAYOUT_vmbus_version_response5);
    CHECK_EQ_U64(kd_vmbus_message_layout(kd_vmbus_message_find(16), 0x50000),
                 KD_LAYOUT_vmbus_message);
}

static void test_numbers(void)
{
    CHECK_EQ_U64(KD_HV_MSR_SCONTROL, 0x40000080);
    CHECK_EQ_U64(KD_HV_MSR_SIMP, 0x40000083);
    CHECK_EQ_U64(KD_HV_MSR_SINT5, 0x40000095);
    CHECK_EQ_U64(KD_HV_CALL_POST_MESSAGE, 0x5C);
    CHECK_EQ_U64(KD_HV_CALL_SIGNAL_EVENT | KD_HV_CALL_FAST, 0x1005D);
    CHECK_EQ_U64(KD_HV_STATUS_INVALID_CONNECTION_ID, 0x12);
    CHECK_EQ_U64(KD_HV_STATUS_INSUFFICIENT_BUFFERS, 0x13);
    CHECK_EQ_U64(KD_VMBUS_VERSION_5_3, 0x50003);
    CHECK_EQ_U64(KD_VMBUS_VERSION_WS2008, 13);
    CHECK_EQ_U64(KD_VMBUS_PACKET_COMPLETION, 11);
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_hv_status, 0x12), "invalid connection id");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_vmbus_version, 0x20004), "2.4 (Windows 8)");
    /* "Microsoft Hv", as CPUID returns it in EBX, ECX, EDX. */
    kd_u32 vendor[] = {kd_put32(KD_HV_VENDOR_EBX), kd_put32(KD_HV_VENDOR_ECX),
                       kd_put32(KD_HV_VENDOR_EDX)};
    CHECK_EQ_MEM(vendor, "Microsoft Hv", 12);
}

static void test_guids(void)
{
    static const struct {
        enum kd_vmbus_guid guid;
        const char *bytes, *label;
    } expected[] = {
        {KD_VMBUS_GUID_NETWORK, "635161f8 3edf c546 913f f2d2f965ed0e", "Network"},
        {KD_VMBUS_GUID_HEARTBEAT, "394f1657 1591 784e ab55 382f3bd5422d", "Heartbeat"},
        {KD_VMBUS_GUID_SHUTDOWN, "31600b0e 1352 3449 818b 38d90ced39db", "Shutdown"},
        {KD_VMBUS_GUID_KD_PIPE, "aefb7da6 9778 ad42 9d10 d96156b36958", "Kernel debugger pipe"},
        {KD_VMBUS_GUID_IDE, "32264132 cb86 a244 9b5c 50d1417354f5", "IDE"},
    };
    uint8_t guid[16];

    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        CHECK_EQ_U64(unhex(expected[i].bytes, guid, sizeof guid), 16);
        CHECK_EQ_MEM(kd_vmbus_guids[expected[i].guid], guid, 16);
        CHECK(kd_vmbus_is_guid((const kd_u8 *)guid, expected[i].guid));
        CHECK_EQ_STR(kd_vmbus_guid_label(guid), expected[i].label);
        guid[15] ^= 1;
        CHECK(!kd_vmbus_is_guid((const kd_u8 *)guid, expected[i].guid));
        CHECK(kd_vmbus_guid_label(guid) == NULL);
    }
}

/* --- GPADL messages, written out by hand */

static const struct kd_vmbus_gpadl *gpadl_of(uint32_t pages)
{
    static uint64_t numbers[9000];
    static struct kd_vmbus_gpadl gpadl;

    for (uint32_t i = 0; i < COUNT_OF(numbers); i++)
        numbers[i] = 0x100 + i;
    gpadl = (struct kd_vmbus_gpadl){15, 1, pages * 4096, 0, numbers, pages};
    return &gpadl;
}

static void test_gpadl_of_six_pages(void)
{
    static const char text[] = "08000000 00000000 0F000000 01000000 3800 0100 00600000 00000000"
                               "0001000000000000 0101000000000000 0201000000000000"
                               "0301000000000000 0401000000000000 0501000000000000";
    uint8_t expected[76], message[KD_HV_MESSAGE_MAX];

    CHECK_EQ_U64(unhex(text, expected, sizeof expected), 76);
    CHECK_EQ_U64(kd_vmbus_gpadl_messages(gpadl_of(6)), 1);
    CHECK_EQ_U64(kd_vmbus_gpadl_message(gpadl_of(6), 0, message), 76);
    CHECK_EQ_MEM(message, expected, 76);
    CHECK_EQ_U64(kd_vmbus_gpadl_message(gpadl_of(6), 1, message), 0);
}

static void check_pages(const uint8_t *at, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint8_t page[8] = {(uint8_t)(first + i), (uint8_t)((first + i) >> 8), 0, 0, 0, 0, 0, 0};

        CHECK_EQ_MEM(at + 8 * i, page, 8);
    }
}

static void test_gpadl_of_sixty_pages(void)
{
    const struct kd_vmbus_gpadl *gpadl = gpadl_of(60);
    uint8_t message[KD_HV_MESSAGE_MAX], expected[28];

    CHECK_EQ_U64(kd_vmbus_gpadl_messages(gpadl), 3);
    CHECK_EQ_U64(kd_vmbus_gpadl_message(gpadl, 0, message), 236);
    unhex("08000000 00000000 0F000000 01000000 E801 0100 00C00300 00000000", expected, 28);
    CHECK_EQ_MEM(message, expected, 28);
    check_pages(message + 28, 0x100, 26);
    CHECK_EQ_U64(kd_vmbus_gpadl_message(gpadl, 1, message), 240);
    unhex("09000000 00000000 01000000 01000000", expected, 16);
    CHECK_EQ_MEM(message, expected, 16);
    check_pages(message + 16, 0x100 + 26, 28);
    CHECK_EQ_U64(kd_vmbus_gpadl_message(gpadl, 2, message), 64);
    unhex("09000000 00000000 02000000 01000000", expected, 16);
    CHECK_EQ_MEM(message, expected, 16);
    check_pages(message + 16, 0x100 + 54, 6);
    CHECK_EQ_U64(kd_vmbus_gpadl_message(gpadl, 3, message), 0);
}

static void test_gpadl_limits(void)
{
    static const struct {
        uint32_t pages, messages;
    } expected[] = {{0, 0},  {1, 1},  {26, 1},     {27, 2},   {54, 2},  {55, 3},
                    {82, 3}, {83, 4}, {8190, 293}, {8191, 0}, {9000, 0}};
    uint8_t message[KD_HV_MESSAGE_MAX];

    for (size_t i = 0; i < COUNT_OF(expected); i++)
        CHECK_EQ_U64(kd_vmbus_gpadl_messages(gpadl_of(expected[i].pages)), expected[i].messages);
    CHECK_EQ_U64(kd_vmbus_gpadl_message(gpadl_of(0), 0, message), 0);
    /* 26 + 291 * 28 = 8174 pages lie before the last body. */
    CHECK_EQ_U64(kd_vmbus_gpadl_message(gpadl_of(8190), 292, message), 16 + 8 * 16);
    CHECK_EQ_U64(kd_vmbus_gpadl_message(gpadl_of(8190), 0, message), 236);
    CHECK_EQ_U64(message[16] | message[17] << 8, 8 + 8 * 8190);
}

/* --- frames: the vectors of the older agent's protocol */

static void test_frame_of_break_in(void)
{
    uint8_t expected[25], frame_bytes[25];
    struct kd_vmbus_frame frame = kd_vmbus_frame_seal(KD_VMBUS_FRAME_DATA, KD_VMBUS_FRAME_IS_DATA,
                                                      0x5687, (const uint8_t *)"b", 1);

    unhex("60798656 01000000 01000000 87560000 fc19aed1 79362887 62", expected, sizeof expected);
    memcpy(frame_bytes, &frame, sizeof frame);
    frame_bytes[24] = 'b';
    CHECK_EQ_MEM(frame_bytes, expected, sizeof expected);
    CHECK(kd_vmbus_frame_good(expected, sizeof expected));
    CHECK(!kd_vmbus_frame_good(expected, sizeof expected - 1));
    for (size_t i = 0; i < sizeof expected; i++) {
        expected[i] ^= 4;
        CHECK(!kd_vmbus_frame_good(expected, sizeof expected));
        expected[i] ^= 4;
    }
}

static void test_frame_of_acknowledgement(void)
{
    struct kd_vmbus_frame frame =
        kd_vmbus_frame_seal(KD_VMBUS_FRAME_ACKNOWLEDGE, KD_VMBUS_FRAME_BY_GUEST, 0x5687, NULL, 0);

    CHECK_EQ_U64(kd_get32(frame.checksum), 0x23861B69);
    CHECK_EQ_U64(kd_get32(frame.flag), 3);
    CHECK_EQ_U64(kd_get32(frame.end), 0x36133574);
    CHECK(kd_vmbus_frame_good((const uint8_t *)&frame, sizeof frame));
}

KD_TEST_MAIN({"sizes of messages", test_sizes_of_messages}, {"offsets", test_offsets},
             {"the messages", test_messages}, {"numbers", test_numbers}, {"GUIDs", test_guids},
             {"GPADL of 6 pages", test_gpadl_of_six_pages},
             {"GPADL of 60 pages", test_gpadl_of_sixty_pages}, {"GPADL limits", test_gpadl_limits},
             {"frame of a break-in", test_frame_of_break_in},
             {"frame of an acknowledgement", test_frame_of_acknowledgement})
