/* kd-image.c - image headers and the debugger data block in captured memory. See kd-image.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Offsets are those of the public PE/COFF specification.
 */
#include "kd-image.h"

#include <string.h>

#include "registry.h"

#define DOS_MAGIC       0x5A4D
#define PE_MAGIC        0x00004550
#define DOS_LFANEW      0x3C
#define OPTIONAL_HEADER 24

static int hf_dos_magic = -1;
static int hf_lfanew = -1;
static int hf_machine = -1;
static int hf_sections = -1;
static int hf_timestamp = -1;
static int hf_magic = -1;
static int hf_entry = -1;
static int hf_size = -1;
static int hf_checksum = -1;
static int ett_image = -1;

struct piece {
    proto_tree *tree;
    tvbuff_t *tvb;
    int size;
};

/* A field of the header that the piece may not reach. */
static void show(const struct piece *piece, int hf, int offset, int size)
{
    if (offset >= 0 && offset <= piece->size - size)
        proto_tree_add_item(piece->tree, hf, piece->tvb, offset, size, ENC_LITTLE_ENDIAN);
}

static void show_pe(const struct piece *piece, int pe)
{
    int optional = pe + OPTIONAL_HEADER;

    if (pe > piece->size - 4 || tvb_get_letohl(piece->tvb, pe) != PE_MAGIC)
        return;
    show(piece, hf_machine, pe + 4, 2);
    show(piece, hf_sections, pe + 6, 2);
    show(piece, hf_timestamp, pe + 8, 4);
    show(piece, hf_magic, optional, 2);
    show(piece, hf_entry, optional + 16, 4);
    show(piece, hf_size, optional + 56, 4);
    show(piece, hf_checksum, optional + 64, 4);
}

static bool is_image(const struct kd_view *view, tvbuff_t *data, int size, uint64_t address)
{
    const struct kd_module *module = kd_session_module(view->session, address, view->packet->frame);

    return size >= DOS_LFANEW + 4 && tvb_get_letohs(data, 0) == DOS_MAGIC &&
           ((module && module->base == address) || !(address & 0xFFF));
}

static void show_image(proto_tree *tree, tvbuff_t *data, int size)
{
    uint32_t pe = tvb_get_letohl(data, DOS_LFANEW);
    struct piece piece = {NULL, data, size};

    piece.tree = proto_tree_add_subtree(tree, data, 0, size, ett_image, NULL, "Image headers");
    show(&piece, hf_dos_magic, 0, 2);
    show(&piece, hf_lfanew, DOS_LFANEW, 4);
    if (pe < (uint32_t)size)
        show_pe(&piece, (int)pe);
}

void kd_image_show(const struct kd_view *view, proto_tree *tree, tvbuff_t *data, uint64_t address)
{
    int size = (int)tvb_captured_length(data);
    struct kd_show all = {0, view, KD_SHOW_ALL, 0};
    uint64_t block = kd_session_data_block(view->session);

    if (is_image(view, data, size, address))
        show_image(tree, data, size);
    else if (block && address == block && size >= (int)sizeof(struct kd_kdbg_header) &&
             !memcmp(tvb_get_ptr(data, 16, 4), "KDBG", 4))
        kd_show_layout(tree, data, 0, size, KD_LAYOUT_kddebugger_data64, &all);
}

void kd_image_register(int proto)
{
    static hf_register_info hf[] = {
        {&hf_dos_magic,
         {"e_magic", "kd.image.dos_magic", FT_UINT16, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_lfanew, {"e_lfanew", "kd.image.lfanew", FT_UINT32, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_machine, {"Machine", "kd.image.machine", FT_UINT16, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_sections,
         {"NumberOfSections", "kd.image.sections", FT_UINT16, BASE_DEC, NULL, 0, NULL, HFILL}},
        {&hf_timestamp,
         {"TimeDateStamp", "kd.image.timestamp", FT_UINT32, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_magic,
         {"Magic", "kd.image.magic", FT_UINT16, BASE_HEX, NULL, 0, "0x10b PE32, 0x20b PE32+",
          HFILL}},
        {&hf_entry,
         {"AddressOfEntryPoint", "kd.image.entry_point", FT_UINT32, BASE_HEX, NULL, 0, NULL,
          HFILL}},
        {&hf_size, {"SizeOfImage", "kd.image.size", FT_UINT32, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_checksum,
         {"CheckSum", "kd.image.checksum", FT_UINT32, BASE_HEX, NULL, 0, NULL, HFILL}},
    };
    static int *ett[] = {&ett_image};

    for (size_t i = 0; i < array_length(hf); i++)
        if (hf[i].p_id == &hf_machine)
            hf[i].hfinfo.strings = kd_value_strings(KD_SET_ID_machine_type);
    proto_register_field_array(proto, hf, array_length(hf));
    proto_register_subtree_array(ett, array_length(ett));
}
