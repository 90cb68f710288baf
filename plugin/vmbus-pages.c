/* vmbus-pages.c - the pages of GPADLs and of packets that point at memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>

#include "registry.h"
#include "vmbus-ranges.h"
#include "vmbus-show.h"

static int hf_page = -1;
static int hf_run = -1;
static int hf_gpadl_pages = -1;
static int hf_gpadl_header_in = -1;
static int hf_gpadl_complete_in = -1;
static int ett_range = -1;
static int ett_gpadl = -1;

static const struct kd_show plain = {0, NULL, KD_SHOW_ALL, 0};

/* Page numbers one by one. */
void vmbus_show_pages(const struct vmbus_view *view, proto_tree *tree, int offset, int size)
{
    for (int at = 0; at + 8 <= size; at += 8)
        proto_tree_add_item(tree, hf_page, view->tvb, offset + at, 8, ENC_LITTLE_ENDIAN);
}

/* For filters alone: the numbers that a run stands for. */
static void hide_pages(proto_tree *tree, tvbuff_t *tvb, int offset, uint32_t pages)
{
    if (!proto_field_is_referenced(tree, hf_page))
        return;
    for (uint32_t i = 0; i < pages; i++)
        proto_item_set_hidden(
            proto_tree_add_item(tree, hf_page, tvb, offset + 8 * (int)i, 8, ENC_LITTLE_ENDIAN));
}

/* Page numbers that follow on one another are one item. */
static void show_runs(proto_tree *tree, tvbuff_t *tvb, int offset, uint32_t pages)
{
    uint32_t run;

    for (uint32_t i = 0; i < pages; i += run) {
        int at = offset + 8 * (int)i;
        uint64_t first = tvb_get_letoh64(tvb, at);

        for (run = 1; i + run < pages; run++)
            if (tvb_get_letoh64(tvb, at + 8 * (int)run) != first + run)
                break;
        proto_tree_add_uint64_format_value(tree, hf_run, tvb, at, 8 * (int)run, first,
                                           "0x%" PRIx64 " to 0x%" PRIx64 " (%u)", first,
                                           first + run - 1, run);
    }
}

/* hidden: the page numbers lie in no other message. */
static void show_ranges(proto_tree *tree, tvbuff_t *tvb, int offset, int size, uint32_t count,
                        bool hidden)
{
    int end = offset + size;

    for (uint32_t i = 0; tree && i < count && end - offset >= 8; i++) {
        uint32_t bytes = tvb_get_letohl(tvb, offset), first = tvb_get_letohl(tvb, offset + 4);
        uint32_t pages = vmbus_range_pages(bytes, first);
        uint32_t there = MIN(pages, (uint32_t)(end - offset - 8) / 8);
        proto_tree *subtree = proto_tree_add_subtree_format(
            tree, tvb, offset, 8 + 8 * (int)there, ett_range, NULL, "Range %u: %u bytes, %u page%s",
            i + 1, bytes, pages, pages == 1 ? "" : "s");

        kd_show_fields(subtree, tvb, offset, 8, KD_LAYOUT_vmbus_range, &plain);
        show_runs(subtree, tvb, offset + 8, there);
        if (hidden)
            hide_pages(subtree, tvb, offset + 8, there);
        offset += 8 + 8 * (int)there;
    }
}

void vmbus_show_ranges(proto_tree *tree, tvbuff_t *tvb, int offset, int size, uint32_t count)
{
    show_ranges(tree, tvb, offset, size, count, true);
}

/* Links between the messages of a GPADL, and in the last of them all its pages. */
void vmbus_show_gpadl(const struct vmbus_view *view)
{
    const struct vmbus_gpadl *gpadl = view->event->gpadl;
    proto_tree *subtree;
    tvbuff_t *ranges;

    if (!gpadl || !view->tree)
        return;
    if (view->event->frame != gpadl->header_in)
        vmbus_show_frame_link(view, hf_gpadl_header_in, gpadl->header_in);
    if (view->event->frame != gpadl->complete_in) {
        vmbus_show_frame_link(view, hf_gpadl_complete_in, gpadl->complete_in);
        return;
    }
    if (gpadl->header_in == gpadl->complete_in || !gpadl->size)
        return;
    ranges = tvb_new_child_real_data(view->tvb, gpadl->ranges, gpadl->size, (int)gpadl->size);
    add_new_data_source(view->pinfo, ranges, "Ranges of the GPADL");
    subtree = proto_tree_add_subtree_format(view->tree, ranges, 0, (int)gpadl->size, ett_gpadl,
                                            NULL, "GPADL 0x%x", gpadl->id);
    proto_item_set_generated(
        proto_tree_add_uint(subtree, hf_gpadl_pages, ranges, 0, 0, gpadl->pages));
    show_ranges(subtree, ranges, 0, (int)gpadl->size, gpadl->range_count, false);
}

void vmbus_pages_register(int proto)
{
    static hf_register_info hf[] = {
        {&hf_page, {"Page", "vmbus.page", FT_UINT64, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_run,
         {"Pages", "vmbus.pages", FT_UINT64, BASE_HEX, NULL, 0,
          "Page numbers that follow on one another; the first one", HFILL}},
        {&hf_gpadl_pages,
         {"Pages of the GPADL", "vmbus.gpadl.pages", FT_UINT32, BASE_DEC, NULL, 0, NULL, HFILL}},
        {&hf_gpadl_header_in,
         {"Header in", "vmbus.gpadl.header_in", FT_FRAMENUM, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_gpadl_complete_in,
         {"Complete in", "vmbus.gpadl.complete_in", FT_FRAMENUM, BASE_NONE, NULL, 0, NULL, HFILL}},
    };
    static int *ett[] = {&ett_range, &ett_gpadl};

    proto_register_field_array(proto, hf, array_length(hf));
    proto_register_subtree_array(ett, array_length(ett));
}
