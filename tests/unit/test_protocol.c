/* test_protocol.c - wire accessors, and packets of published and recorded sessions read through the
 * structs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The expected values come from elsewhere than the .def files: from public headers and type dumps
 * (sizes), and from what the debuggers that made the recordings printed or other decoders read.
 * Sources of bytes: XP       raw COM-port dump of a Windows XP x86 target, published in 2015 KDNET
 * windbg-uncut, a Windows 10 (10586) boot debugger, decrypted BOOTMGR
 * windows-boot-debugger-answers, Windows boot manager 10.0.17763 WINDBG   windbg-arm64, windbg-x86,
 * windbg-amd64, windbg-file-transfer: WinDbg 10.0.29507
 */
#include "check.h"
#include "kd/protocol.h"

/* Text to bytes, blanks ignored; what is not given is zero. Returns the number of bytes given. */
static size_t unhex(const char *text, uint8_t *out, size_t room)
{
    static const char digits[] = "0123456789abcdef";
    size_t nibbles = 0;

    memset(out, 0, room);
    for (; *text; text++) {
        const char *digit = strchr(digits, *text);

        if (!digit)
            continue;
        if (!CHECK(nibbles / 2 < room))
            break;
        out[nibbles / 2] = (uint8_t)(out[nibbles / 2] << 4 | (digit - digits));
        nibbles++;
    }
    CHECK(nibbles % 2 == 0);
    return nibbles / 2;
}

static uint32_t sum_of(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum += bytes[i];
    return sum;
}

/* The header's fields and the checksum over the payload; trailer as on byte streams. */
static void check_packet(const uint8_t *bytes, size_t size, unsigned type, uint32_t id,
                         bool trailer)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    size_t length = kd_get16(header->byte_count);

    CHECK_EQ_U64(kd_get32(header->packet_leader), 0x30303030);
    CHECK_EQ_U64(kd_get16(header->packet_type), type);
    CHECK_EQ_U64(kd_get32(header->packet_id), id);
    CHECK_EQ_U64(size, 16 + length + trailer);
    CHECK_EQ_U64(kd_get32(header->checksum), sum_of(bytes + 16, length));
    if (trailer)
        CHECK_EQ_U64(bytes[16 + length], 0xAA);
}

static void check_manipulate(const uint8_t *payload, uint32_t api, unsigned level, uint32_t status)
{
    const struct kd_manipulate_header *header = (const struct kd_manipulate_header *)payload;

    CHECK_EQ_U64(kd_get32(header->api_number), api);
    CHECK_EQ_U64(kd_get16(header->processor_level), level);
    CHECK_EQ_U64(kd_get32(header->return_status), status);
}

static void test_little_endian(void)
{
    static const uint8_t bytes[] = {0xF1, 0xE2, 0xD3, 0xC4, 0xB5, 0xA6, 0x97, 0x88};
    kd_u8 u8;
    kd_u16 u16;
    kd_u32 u32;
    kd_u64 u64;

    memcpy(&u8, bytes, sizeof u8);
    memcpy(&u16, bytes, sizeof u16);
    memcpy(&u32, bytes, sizeof u32);
    memcpy(&u64, bytes, sizeof u64);
    CHECK_EQ_U64(kd_get8(u8), 0xF1);
    CHECK_EQ_U64(kd_get16(u16), 0xE2F1);
    CHECK_EQ_U64(kd_get32(u32), 0xC4D3E2F1);
    CHECK_EQ_U64(kd_get64(u64), 0x8897A6B5C4D3E2F1);
    u8 = kd_put8(0xF1);
    u16 = kd_put16(0xE2F1);
    u32 = kd_put32(0xC4D3E2F1);
    u64 = kd_put64(0x8897A6B5C4D3E2F1);
    CHECK_EQ_MEM(&u8, bytes, 1);
    CHECK_EQ_MEM(&u16, bytes, 2);
    CHECK_EQ_MEM(&u32, bytes, 4);
    CHECK_EQ_MEM(&u64, bytes, 8);
}

static void test_big_endian(void)
{
    static const uint8_t bytes[] = {0xF1, 0xE2, 0xD3, 0xC4, 0xB5, 0xA6, 0x97, 0x88};
    kd_be16 be16;
    kd_be64 be64;

    memcpy(&be16, bytes, sizeof be16);
    memcpy(&be64, bytes, sizeof be64);
    CHECK_EQ_U64(kd_get_be16(be16), 0xF1E2);
    CHECK_EQ_U64(kd_get_be64(be64), 0xF1E2D3C4B5A69788);
    be16 = kd_put_be16(0xF1E2);
    be64 = kd_put_be64(0xF1E2D3C4B5A69788);
    CHECK_EQ_MEM(&be16, bytes, 2);
    CHECK_EQ_MEM(&be64, bytes, 8);
}

/* A struct may lie at any byte: its alignment is 1. */
static void test_alignment(void)
{
    CHECK_EQ_U64(_Alignof(kd_u16), 1);
    CHECK_EQ_U64(_Alignof(kd_u64), 1);
    CHECK_EQ_U64(_Alignof(kd_u128), 1);
    CHECK_EQ_U64(_Alignof(kd_be64), 1);
    CHECK_EQ_U64(_Alignof(struct kd_state_change64), 1);
    CHECK_EQ_U64(_Alignof(struct kd_context_amd64), 1);
    CHECK_EQ_U64(_Alignof(struct kd_kddebugger_data64), 1);
}

/* Sizes as public headers and type dumps give them; unions as measured in the recorded sessions. */
static void test_sizes_of_messages(void)
{
    CHECK_EQ_U64(sizeof(struct kd_packet_header), 16);
    CHECK_EQ_U64(sizeof(struct kd_state_change64), 32);
    CHECK_EQ_U64(sizeof(struct kd_exception64), 160);
    CHECK_EQ_U64(sizeof(struct kd_load_symbols64), 40);
    CHECK_EQ_U64(sizeof(struct kd_command_string), 64);
    CHECK_EQ_U64(sizeof(struct kd_state_change32), 20);
    CHECK_EQ_U64(sizeof(struct kd_exception32), 84);
    CHECK_EQ_U64(sizeof(struct kd_load_symbols32), 24);
    CHECK_EQ_U64(sizeof(struct kd_control_report_amd64), 48);
    CHECK_EQ_U64(sizeof(struct kd_control_report_x86), 40);
    CHECK_EQ_U64(sizeof(struct kd_control_report_arm64), 24);
    CHECK_EQ_U64(sizeof(struct kd_manipulate_header), 16);
    CHECK_EQ_U64(sizeof(struct kd_manipulate_header32), 12);
    CHECK_EQ_U64(sizeof(struct kd_get_version64), 40);
    CHECK_EQ_U64(sizeof(struct kd_get_version32), 40);
    CHECK_EQ_U64(sizeof(struct kd_debug_io_header) + sizeof(struct kd_print_string), 16);
    CHECK_EQ_U64(sizeof(struct kd_debug_io_header) + sizeof(struct kd_get_string), 16);
    CHECK_EQ_U64(sizeof(struct kd_trace_io), 64);
    CHECK_EQ_U64(sizeof(struct kd_control_request), 12);
    CHECK_EQ_U64(sizeof(struct kd_file_io_header) + sizeof(struct kd_create_file), 48);
    CHECK_EQ_U64(KD_FILE_IO_DATA, 64);
    CHECK_EQ_U64(KD_STATE_CHANGE_UNION + KD_STATE_CHANGE_UNION_SIZE, KD_STATE_CHANGE_REPORT);
    CHECK_EQ_U64(KD_STATE_CHANGE_REPORT + sizeof(struct kd_control_report_amd64), 240);
    CHECK_EQ_U64(KD_MANIPULATE_DATA, 56);
    CHECK_EQ_U64(KD_PACKET_MAX_SIZE, 4000);
}

static void test_sizes_of_unions(void)
{
    CHECK_EQ_U64(sizeof(struct kd_memory), 16);
    CHECK_EQ_U64(sizeof(struct kd_write_breakpoint), 12);
    CHECK_EQ_U64(sizeof(struct kd_breakpoint_entry), 16);
    CHECK_EQ_U64(sizeof(struct kd_breakpoint_ex), 8);
    CHECK_EQ_U64(KD_CONTINUE2_CONTROL_SET + sizeof(struct kd_control_set_amd64), 32);
    CHECK_EQ_U64(KD_CONTINUE2_CONTROL_SET + sizeof(struct kd_control_set_arm64), 28);
    CHECK_EQ_U64(KD_CONTINUE2_CONTROL_SET + sizeof(struct kd_control_set_x86), 20);
    CHECK_EQ_U64(sizeof(struct kd_io_space), 16);
    CHECK_EQ_U64(sizeof(struct kd_io_space_extended), 28);
    CHECK_EQ_U64(sizeof(struct kd_get_internal_breakpoint), 32);
    CHECK_EQ_U64(sizeof(struct kd_read_msr), 12);
    CHECK_EQ_U64(sizeof(struct kd_search_memory), 20);
    CHECK_EQ_U64(sizeof(struct kd_bus_data), 20);
    CHECK_EQ_U64(sizeof(struct kd_fill_memory), 16);
    CHECK_EQ_U64(sizeof(struct kd_query_memory), 24);
    CHECK_EQ_U64(sizeof(struct kd_context_ex), 12);
    CHECK_EQ_U64(sizeof(struct kd_write_custom_breakpoint), 24);
}

static void test_sizes_of_registers(void)
{
    CHECK_EQ_U64(sizeof(struct kd_context_amd64), 0x4D0);
    CHECK_EQ_U64(sizeof(struct kd_context_x86), 0x2CC);
    CHECK_EQ_U64(sizeof(struct kd_context_arm64), 0x390);
    CHECK_EQ_U64(sizeof(struct kd_special_registers_amd64), 0xF0);
    CHECK_EQ_U64(sizeof(struct kd_special_registers_x86), 0x54);
    CHECK_EQ_U64(sizeof(struct kd_special_registers_arm64), 0xA0);
    CHECK_EQ_U64(sizeof(struct kd_kdbg_header), 24);
    CHECK_EQ_U64(sizeof(struct kd_kdbg_header32), 24);
    CHECK_EQ_U64(sizeof(struct kd_kddebugger_data64), 0x3A8);
}

static void test_control_packets(void)
{
    uint8_t bytes[16];
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;

    unhex("69696969 0400 0000 00008080 00000000", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(header->packet_leader), KD_LEADER_CONTROL);
    CHECK_EQ_U64(kd_get16(header->packet_type), KD_PACKET_ACKNOWLEDGE);
    CHECK_EQ_U64(kd_get16(header->byte_count), 0);
    CHECK_EQ_U64(kd_get32(header->packet_id), KD_INITIAL_PACKET_ID);
    CHECK_EQ_U64(kd_get32(header->checksum), 0);
    unhex("69696969 0600 0000 00000000 00000000", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get16(header->packet_type), KD_PACKET_RESET);
    CHECK_EQ_U64(kd_get32(header->packet_id), 0);
}

/* XP: four bytes at the address that DebuggerDataList gave. */
static void test_read_virtual_request(void)
{
    uint8_t bytes[128];
    size_t size =
        unhex("303030300200380001008080b113000030310000feffffff38f67d073411bc77"
              "f48e6780ffffffff04000000d4f57d0718118d07380000003800000003000000e879e10003000000aa",
              bytes, sizeof bytes);
    const struct kd_memory *memory = (const struct kd_memory *)(bytes + 32);

    check_packet(bytes, size, KD_PACKET_STATE_MANIPULATE, 0x80800001, true);
    CHECK_EQ_U64(kd_get32(((const struct kd_manipulate_header *)(bytes + 16))->api_number),
                 KD_API_READ_VIRTUAL_MEMORY);
    CHECK_EQ_U64(kd_get64(memory->target_base_address), 0xFFFFFFFF80678EF4);
    CHECK_EQ_U64(kd_get32(memory->transfer_count), 4);
}

/* XP: the header of the debugger data block; both links lead back to the list's head. */
static void test_read_virtual_reply(void)
{
    uint8_t bytes[128];
    size_t size = unhex("3030303002005000010080804014000030310000ba02000000000000a074c177"
                        "e06a5480ffffffff18000000180000002000000028000000a802e1005cee7d0750000000"
                        "20000000f48e6780f48e678000000000000000004b44424790020000aa",
                        bytes, sizeof bytes);
    const struct kd_memory *memory = (const struct kd_memory *)(bytes + 32);
    const struct kd_kdbg_header32 *block =
        (const struct kd_kdbg_header32 *)(bytes + 16 + KD_MANIPULATE_DATA);

    check_packet(bytes, size, KD_PACKET_STATE_MANIPULATE, 0x80800001, true);
    check_manipulate(bytes + 16, KD_API_READ_VIRTUAL_MEMORY, 0x2BA, KD_NT(STATUS_SUCCESS));
    CHECK_EQ_U64(kd_get64(memory->target_base_address), 0xFFFFFFFF80546AE0);
    CHECK_EQ_U64(kd_get32(memory->transfer_count), 24);
    CHECK_EQ_U64(kd_get32(memory->actual_bytes), 24);
    CHECK_EQ_U64(kd_get32(block->list_flink), 0x80678EF4);
    CHECK_EQ_U64(kd_get32(block->list_blink), 0x80678EF4);
    CHECK_EQ_MEM(block->owner_tag, "KDBG", 4);
    CHECK_EQ_U64(kd_get32(block->size), 0x290);
}

static void test_version_of_xp(void)
{
    uint8_t bytes[128];
    size_t size =
        unhex("3030303002003800010080803f1700004631000080f67d0700000000f4f67d07"
              "0f00280a060002004c010c032d00000000804d80ffffffffc04f5580fffffffff48e6780ffffffffaa",
              bytes, sizeof bytes);
    const struct kd_get_version64 *version = (const struct kd_get_version64 *)(bytes + 32);

    check_packet(bytes, size, KD_PACKET_STATE_MANIPULATE, 0x80800001, true);
    CHECK_EQ_U64(kd_get16(version->major_version), 0x000F);
    CHECK_EQ_U64(kd_get16(version->minor_version), 2600);
    CHECK_EQ_U64(kd_get8(version->protocol_version), 6);
    CHECK_EQ_U64(kd_get8(version->kd_secondary_version), KD_SECONDARY_DEFAULT);
    CHECK_EQ_U64(kd_get16(version->flags), KD_VERSION_DATA);
    CHECK_EQ_U64(kd_get16(version->machine_type), KD_MACHINE_I386);
    CHECK_EQ_U64(kd_get8(version->max_packet_type), 12);
    CHECK_EQ_U64(kd_get8(version->max_state_change), 3);
    CHECK_EQ_U64(kd_get8(version->max_manipulate), 0x2D);
    CHECK_EQ_U64(kd_get8(version->simulation), KD_SIMULATION_NONE);
    CHECK_EQ_U64(kd_get64(version->kern_base), 0xFFFFFFFF804D8000);
    CHECK_EQ_U64(kd_get64(version->ps_loaded_module_list), 0xFFFFFFFF80554FC0);
    CHECK_EQ_U64(kd_get64(version->debugger_data_list), 0xFFFFFFFF80678EF4);
}

static void check_boot_version(const uint8_t *reply, unsigned build, uint64_t base, uint64_t list)
{
    const struct kd_get_version64 *version = (const struct kd_get_version64 *)reply;

    CHECK_EQ_U64(kd_get16(version->major_version), KD_KIND_BOOT << 8 | KD_BUILD_FREE);
    CHECK_EQ_U64(kd_get16(version->minor_version), build);
    CHECK_EQ_U64(kd_get8(version->protocol_version), 6);
    CHECK_EQ_U64(kd_get8(version->kd_secondary_version), KD_SECONDARY_AMD64_CONTEXT);
    CHECK_EQ_U64(kd_get16(version->flags), 0x0002);
    CHECK_EQ_U64(kd_get16(version->machine_type), KD_MACHINE_AMD64);
    CHECK_EQ_U64(kd_get8(version->max_packet_type), 0x0C);
    CHECK_EQ_U64(kd_get8(version->max_state_change), 0x32);
    CHECK_EQ_U64(kd_get8(version->max_manipulate), 0x59);
    CHECK_EQ_U64(kd_get8(version->simulation), 0);
    CHECK_EQ_U64(kd_get64(version->kern_base), base);
    CHECK_EQ_U64(kd_get64(version->ps_loaded_module_list), list);
    CHECK_EQ_U64(kd_get64(version->debugger_data_list), 0);
}

/* KDNET and BOOTMGR. */
static void test_versions_of_boot_debuggers(void)
{
    uint8_t bytes[128];
    size_t size =
        unhex("303030300200380004000000aa09000046310000ffffffff0000000025000000"
              "0f045a290602020064860c325900000000f0960000000000605ead00000000000000000000000000",
              bytes, sizeof bytes);

    check_packet(bytes, size, KD_PACKET_STATE_MANIPULATE, 4, false);
    check_manipulate(bytes + 16, KD_API_GET_VERSION, 0xFFFF, KD_NT(STATUS_SUCCESS));
    check_boot_version(bytes + 32, 10586, 0x96F000, 0xAD5E60);
    unhex("0f0463450602020064860c32590000000000001000000000b8ba1410000000000000000000000000", bytes,
          sizeof bytes);
    check_boot_version(bytes, 17763, 0x10000000, 0x1014BAB8);
}

/* KDNET: go after a load event. */
static void test_continue2_amd64(void)
{
    uint8_t bytes[128];
    size_t size =
        unhex("30303030020038006e000080240500003c310000250000000200010000000000"
              "0200010000000000000400000000000001000000000000000000000000000000c0b2fb9dfe7f0000",
              bytes, sizeof bytes);
    const struct kd_continue_api *go = (const struct kd_continue_api *)(bytes + 32);
    const struct kd_control_set_amd64 *set =
        (const struct kd_control_set_amd64 *)(bytes + 32 + KD_CONTINUE2_CONTROL_SET);

    check_packet(bytes, size, KD_PACKET_STATE_MANIPULATE, 0x8000006E, false);
    check_manipulate(bytes + 16, KD_API_CONTINUE2, 0x25, 0x00010002);
    CHECK_EQ_U64(kd_get32(go->continue_status), KD_NT(DBG_CONTINUE));
    CHECK_EQ_U64(kd_get32(set->trace_flag), KD_TRACE_OFF);
    CHECK_EQ_U64(kd_get64(set->dr7), 0x400);
    CHECK_EQ_U64(kd_get64(set->current_symbol_start), 1);
    CHECK_EQ_U64(kd_get64(set->current_symbol_end), 0);
}

/* WINDBG: a step of an ARM64 and of an x86 target. */
static void test_continue2_others(void)
{
    uint8_t bytes[40];
    const struct kd_control_set_arm64 *arm64 = (const struct kd_control_set_arm64 *)(bytes + 4);
    const struct kd_control_set_x86 *x86 = (const struct kd_control_set_x86 *)(bytes + 4);

    unhex("01000100 00000000 01000000 0100000000000000", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(arm64->continue_flag), 0);
    CHECK_EQ_U64(kd_get32(arm64->trace_flag), KD_TRACE_ON);
    CHECK_EQ_U64(kd_get64(arm64->current_symbol_start), 1);
    CHECK_EQ_U64(kd_get64(arm64->current_symbol_end), 0);
    unhex("01000100 01000000 00000000 01000000", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(x86->trace_flag), KD_TRACE_ON);
    CHECK_EQ_U64(kd_get32(x86->dr7), 0);
    CHECK_EQ_U64(kd_get32(x86->current_symbol_start), 1);
    CHECK_EQ_U64(kd_get32(x86->current_symbol_end), 0);
}

/* KDNET: the hard-coded break; the first 72 bytes of the message, the rest is zero. */
static void test_exception(void)
{
    uint8_t bytes[240];
    const struct kd_state_change64 *change = (const struct kd_state_change64 *)bytes;
    const struct kd_exception64 *exception =
        (const struct kd_exception64 *)(bytes + KD_STATE_CHANGE_UNION);

    CHECK_EQ_U64(unhex("303000000000000001000000000000000000000000000000 7ef09c0000000000"
                       "0300008000000000 0000000000000000 7df09c0000000000 0100000001f8ffff"
                       "0000000000000000",
                       bytes, sizeof bytes),
                 72);
    CHECK_EQ_U64(kd_get32(change->new_state), KD_STATE_EXCEPTION);
    CHECK_EQ_U64(kd_get16(change->processor), 0);
    CHECK_EQ_U64(kd_get32(change->number_processors), 1);
    CHECK_EQ_U64(kd_get64(change->thread), 0);
    CHECK_EQ_U64(kd_get64(change->program_counter), 0x9CF07E);
    CHECK_EQ_U64(kd_get32(exception->exception_code), KD_NT(STATUS_BREAKPOINT));
    CHECK_EQ_U64(kd_get32(exception->exception_flags), 0);
    CHECK_EQ_U64(kd_get64(exception->exception_record), 0);
    CHECK_EQ_U64(kd_get64(exception->exception_address), 0x9CF07D);
    CHECK_EQ_U64(kd_get32(exception->number_parameters), 1);
    CHECK_EQ_U64(kd_get64(exception->exception_information[0]), KD_SERVICE_BREAKPOINT);
    CHECK_EQ_U64(offsetof(struct kd_exception64, first_chance), 184 - 32);
}

static void check_report_amd64(const uint8_t *bytes, uint32_t eflags, uint8_t next)
{
    const struct kd_control_report_amd64 *report = (const struct kd_control_report_amd64 *)bytes;

    CHECK_EQ_U64(kd_get64(report->dr6), 0xFFFE0FF0);
    CHECK_EQ_U64(kd_get64(report->dr7), 0x400);
    CHECK_EQ_U64(kd_get32(report->eflags), eflags);
    CHECK_EQ_U64(kd_get16(report->instruction_count), 16);
    CHECK_EQ_U64(kd_get16(report->report_flags), KD_REPORT_SEGMENTS_VALID);
    CHECK_EQ_U64(kd_get8(report->instruction_stream[0]), 0xCC);
    CHECK_EQ_U64(kd_get8(report->instruction_stream[1]), next);
    CHECK_EQ_U64(kd_get16(report->seg_cs), 0x10);
    CHECK_EQ_U64(kd_get16(report->seg_ds), 0x30);
    CHECK_EQ_U64(kd_get16(report->seg_es), 0x30);
    CHECK_EQ_U64(kd_get16(report->seg_fs), 0x30);
}

/* KDNET: the reports of that exception, and of the first load event with the path behind it. */
static void test_control_report_amd64(void)
{
    uint8_t bytes[64];

    unhex("f00ffeff0000000000040000000000000200000010000100cc488b5c2440488b6c2448488b742450"
          "1000300030003000",
          bytes, sizeof bytes);
    check_report_amd64(bytes, 2, 0x48);
    CHECK_EQ_U64(
        unhex("f00ffeff0000000000040000000000000600000010000100ccc3cccccccccccccccccccccccccccc"
              "1000300030003000 77696e6c6f61642e65666900",
              bytes, sizeof bytes),
        60);
    check_report_amd64(bytes, KD_EFLAGS_PF | 2, 0xC3);
    CHECK_EQ_STR((const char *)bytes + sizeof(struct kd_control_report_amd64), "winload.efi");
}

/* BOOTMGR: the first event of a session; only the low half of ProcessId is meant. */
static void test_load_symbols(void)
{
    uint8_t bytes[252];
    const struct kd_state_change64 *change = (const struct kd_state_change64 *)bytes;
    const struct kd_load_symbols64 *load =
        (const struct kd_load_symbols64 *)(bytes + KD_STATE_CHANGE_UNION);

    unhex("313000000000000001000000000000000000000000000000458a131000000000"
          "0c000000000000000000001000000000ffffffffffffffffe5eb160000b01a0000000000",
          bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(change->new_state), KD_STATE_LOAD_SYMBOLS);
    CHECK_EQ_U64(kd_get64(change->program_counter), 0x10138A45);
    CHECK_EQ_U64(kd_get32(load->path_name_length), sizeof "BOOTX64.EFI");
    CHECK_EQ_U64(kd_get64(load->base_of_dll), 0x10000000);
    CHECK_EQ_U64(kd_get64(load->process_id), UINT64_MAX);
    CHECK_EQ_U64(kd_get32(load->check_sum), 0x16EBE5);
    CHECK_EQ_U64(kd_get32(load->size_of_image), 0x1AB000);
    CHECK_EQ_U64(kd_get8(load->unload_symbols), KD_FALSE);
}

/* KDNET: WinDbg does not have winload's language file. */
static void test_create_file(void)
{
    uint8_t bytes[96];
    size_t size = unhex("303030300b00400070000080020a0000303400000f0000c0"
                        "8900120080000000010000000100000000000000000000000000000000000000"
                        "0000000000000000188bc57b01f8ffffc1bafe5f00000000",
                        bytes, sizeof bytes);
    const struct kd_file_io_header *header = (const struct kd_file_io_header *)(bytes + 16);
    const struct kd_create_file *create =
        (const struct kd_create_file *)(bytes + 16 + KD_FILE_IO_UNION);

    check_packet(bytes, size, KD_PACKET_FILE_IO, 0x80000070, false);
    CHECK_EQ_U64(kd_get32(header->api_number), KD_API_CREATE_FILE);
    CHECK_EQ_U64(kd_get32(header->status), KD_NT(STATUS_NO_SUCH_FILE));
    CHECK_EQ_U64(kd_get32(create->desired_access), KD_FILE_READ_DATA | KD_FILE_READ_EA |
                                                       KD_FILE_READ_ATTRIBUTES |
                                                       KD_FILE_READ_CONTROL | KD_FILE_SYNCHRONIZE);
    CHECK_EQ_U64(kd_get32(create->file_attributes), KD_FILE_NORMAL);
    CHECK_EQ_U64(kd_get32(create->share_access), KD_FILE_SHARE_READ);
    CHECK_EQ_U64(kd_get32(create->create_disposition), KD_FILE_OPEN);
    CHECK_EQ_U64(kd_get32(create->create_options), 0);
    CHECK_EQ_U64(kd_get64(create->handle), 0);
    CHECK_EQ_U64(kd_get64(create->length), 0);
}

/* WINDBG: a file of 5,000 bytes is opened, and its last part read. */
static void test_file_transfer(void)
{
    uint8_t bytes[64];
    const struct kd_create_file *create = (const struct kd_create_file *)(bytes + KD_FILE_IO_UNION);
    const struct kd_read_write_file *read =
        (const struct kd_read_write_file *)(bytes + KD_FILE_IO_UNION);

    unhex("3034000000000000 8900120000000000010000000100000000000000 00000000"
          "f078400100000000 8813000000000000",
          bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get64(create->handle), 0x14078F0);
    CHECK_EQ_U64(kd_get64(create->length), 5000);
    unhex("3134000000000000 f078400100000000 9411000000000000 f4010000", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get64(read->handle), 0x14078F0);
    CHECK_EQ_U64(kd_get64(read->offset), 4500);
    CHECK_EQ_U64(kd_get32(read->length), 500);
}

/* WINDBG: a prompt, and the user's answer "yes" with its NUL. */
static void test_get_string(void)
{
    uint8_t bytes[32];
    const struct kd_debug_io_header *header = (const struct kd_debug_io_header *)bytes;
    const struct kd_get_string *prompt = (const struct kd_get_string *)(bytes + KD_DEBUG_IO_UNION);

    unhex("3132000006000000 0a00000040000000 636f6e74696e75653f20", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(header->api_number), KD_API_GET_STRING);
    CHECK_EQ_U64(kd_get16(header->processor_level), 6);
    CHECK_EQ_U64(kd_get32(prompt->length_of_prompt_string), 10);
    CHECK_EQ_U64(kd_get32(prompt->length_of_string_read), 64);
    CHECK_EQ_MEM(bytes + KD_DEBUG_IO_TEXT, "continue? ", 10);
    unhex("3132000006000000 0a00000004000000 79657300", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(prompt->length_of_string_read), 4);
    CHECK_EQ_STR((const char *)bytes + KD_DEBUG_IO_TEXT, "yes");
}

/* BOOTMGR: 16 bytes of CONTEXT at 0x30, with the size of all of it. */
static void test_context_ex(void)
{
    uint8_t bytes[64];
    const struct kd_context_ex *part = (const struct kd_context_ex *)bytes;

    unhex("30000000 d0040000 10000000", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(part->offset), offsetof(struct kd_context_amd64, context_flags));
    CHECK_EQ_U64(kd_get32(part->byte_count), sizeof(struct kd_context_amd64));
    CHECK_EQ_U64(kd_get32(part->bytes_copied), 16);
}

/* BOOTMGR: two breakpoints in one request. */
static void test_breakpoint_array(void)
{
    uint8_t bytes[40];
    const struct kd_breakpoint_ex *array = (const struct kd_breakpoint_ex *)bytes;
    const struct kd_breakpoint_entry *entries = (const struct kd_breakpoint_entry *)(bytes + 8);

    unhex("0200000003010000 00fee93f000000000100000000000000 08fee93f000000000200000000000000",
          bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(array->break_point_count), 2);
    CHECK_EQ_U64(kd_get32(array->continue_status), KD_NT(STATUS_PENDING));
    CHECK_EQ_U64(kd_get64(entries[0].break_point_address), 0x3FE9FE00);
    CHECK_EQ_U64(kd_get32(entries[0].break_point_handle), 1);
    CHECK_EQ_U64(kd_get64(entries[1].break_point_address), 0x3FE9FE08);
    CHECK_EQ_U64(kd_get32(entries[1].break_point_handle), 2);
}

/* WINDBG: a search for "KDS", a fill with AA 55, a query; BOOTMGR: EFER. */
static void test_other_requests(void)
{
    uint8_t bytes[40];
    const struct kd_search_memory *search = (const struct kd_search_memory *)bytes;
    const struct kd_fill_memory *fill = (const struct kd_fill_memory *)bytes;
    const struct kd_query_memory *query = (const struct kd_query_memory *)bytes;
    const struct kd_read_msr *msr = (const struct kd_read_msr *)bytes;

    unhex("002f400000f8ffff 0001000000000000 03000000", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get64(search->search_address), 0xFFFFF80000402F00);
    CHECK_EQ_U64(kd_get64(search->search_length), 0x100);
    CHECK_EQ_U64(kd_get32(search->pattern_length), 3);
    unhex("0028400000f8ffff 20000000 0100 0200", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(fill->length), 0x20);
    CHECK_EQ_U64(kd_get16(fill->flags), KD_FILL_VIRTUAL);
    CHECK_EQ_U64(kd_get16(fill->pattern_length), 2);
    unhex("0610400000f8ffff 0000000000000000 02000000 07000000", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(query->address_space), KD_QUERY_KERNEL);
    CHECK_EQ_U64(kd_get32(query->flags), KD_QUERY_READ | KD_QUERY_WRITE | KD_QUERY_EXECUTE);
    unhex("800000c0 000d0000 00000000", bytes, sizeof bytes);
    CHECK_EQ_U64(kd_get32(msr->msr), 0xC0000080);
    CHECK_EQ_U64(kd_get32(msr->data_value_low), 0xD00);
    CHECK_EQ_U64(kd_get32(msr->data_value_high), 0);
}

/* Half of all statuses have the top bit set: they must not become negative on the way. */
static void test_ntstatus(void)
{
    CHECK_EQ_U64(KD_NT(STATUS_SUCCESS), 0);
    CHECK_EQ_U64(KD_NT(STATUS_PENDING), 0x103);
    CHECK_EQ_U64(KD_NT(DBG_EXCEPTION_HANDLED), 0x00010001);
    CHECK_EQ_U64(KD_NT(DBG_CONTINUE), 0x00010002);
    CHECK_EQ_U64(KD_NT(DBG_EXCEPTION_NOT_HANDLED), 0x80010001);
    CHECK_EQ_U64(KD_NT(STATUS_BREAKPOINT), 0x80000003);
    CHECK_EQ_U64(KD_NT(STATUS_SINGLE_STEP), 0x80000004);
    CHECK_EQ_U64(KD_NT(STATUS_WAKE_SYSTEM_DEBUGGER), 0x80000007);
    CHECK_EQ_U64(KD_NT(STATUS_UNSUCCESSFUL), 0xC0000001);
    CHECK_EQ_U64(KD_NT(STATUS_NO_SUCH_FILE), 0xC000000F);
    CHECK(sizeof KD_NT(STATUS_SUCCESS) == sizeof(uint32_t));
    CHECK_EQ_U64(KD_REBOOT, UINT64_MAX);
    CHECK_EQ_U64(KD_HIBERNATE, UINT64_MAX - 1);
}

KD_TEST_MAIN({"little-endian accessors", test_little_endian},
             {"big-endian accessors", test_big_endian}, {"alignment", test_alignment},
             {"sizes of messages", test_sizes_of_messages},
             {"sizes of unions", test_sizes_of_unions},
             {"sizes of register files", test_sizes_of_registers},
             {"control packets", test_control_packets},
             {"ReadVirtualMemory request", test_read_virtual_request},
             {"ReadVirtualMemory reply", test_read_virtual_reply},
             {"GetVersion of Windows XP", test_version_of_xp},
             {"GetVersion of boot debuggers", test_versions_of_boot_debuggers},
             {"Continue2, AMD64", test_continue2_amd64},
             {"Continue2, ARM64 and x86", test_continue2_others}, {"exception", test_exception},
             {"control report", test_control_report_amd64}, {"load symbols", test_load_symbols},
             {"create file", test_create_file}, {"file transfer", test_file_transfer},
             {"get string", test_get_string}, {"GetContextEx", test_context_ex},
             {"array of breakpoints", test_breakpoint_array},
             {"other requests", test_other_requests}, {"NTSTATUS", test_ntstatus})
