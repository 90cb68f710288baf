/* req_version.c - who we are: GetVersion and the debugger data block.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Values are the Windows boot manager's (measured) but for Flags and DebuggerDataList: it has no
 * data block, radare2 needs one. WinDbg takes both without complaint under this identity.
 */
#include "bytes.h"
#include "state.h"

/* radare2 insists on DATA, rizin moreover on PTR64. */
#define FLAGS (KD_VERSION_DATA | KD_VERSION_PTR64)

/* The low bytes of the last packet type, state change and request that the boot manager knows. */
#define PROTOCOL         6u
#define MAX_PACKET_TYPE  0x0Cu
#define MAX_STATE_CHANGE 0x32u
#define MAX_MANIPULATE   0x59u

/* Members of KPCR that lead from it to itself and to KPRCB (public symbols of x64 kernels). */
#define PCR_SELF         0x18u
#define PCR_CURRENT_PRCB 0x20u
#define PCR_PRCB         0x180u

static void put_pointer(uint8_t *at, uint64_t value)
{
    kd_u64 pointer = kd_put64(value);

    memcpy(at, &pointer, sizeof pointer);
}

void kda_blocks_init(struct kda_engine *engine)
{
    struct kda_blocks *blocks = &engine->blocks;
    struct kd_kddebugger_data64 *data = &blocks->data;
    uint64_t pcr = kda_address_of(blocks->pcr);

    memset(blocks, 0, sizeof *blocks);
    blocks->list.flink = kd_put64(kda_address_of(data));
    blocks->list.blink = blocks->list.flink;
    data->list_flink = kd_put64(kda_address_of(&blocks->list));
    data->list_blink = data->list_flink;
    memcpy(data->owner_tag, "KDBG", sizeof data->owner_tag);
    data->size = kd_put32(sizeof *data);
    data->kern_base = kd_put64(engine->config.kern_base);
    data->ps_loaded_module_list = kd_put64(kda_address_of(&engine->images.head));
    data->cm_nt_csd_version = kd_put64(kda_address_of(blocks->service_pack));
    put_pointer(blocks->pcr + PCR_SELF, pcr);
    put_pointer(blocks->pcr + PCR_CURRENT_PRCB, pcr + PCR_PRCB);
}

enum kda_flow kda_get_version(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_get_version64 *body = request->body;

    memset(body, 0, sizeof *body);
    body->major_version = kd_put16(engine->config.major);
    body->minor_version = kd_put16(engine->config.minor);
    body->protocol_version = kd_put8(PROTOCOL);
    body->kd_secondary_version = kd_put8(KD_SECONDARY_AMD64_CONTEXT);
    body->flags = kd_put16(FLAGS);
    body->machine_type = kd_put16(KD_MACHINE_AMD64);
    body->max_packet_type = kd_put8(MAX_PACKET_TYPE);
    body->max_state_change = kd_put8(MAX_STATE_CHANGE);
    body->max_manipulate = kd_put8(MAX_MANIPULATE);
    body->simulation = kd_put8(KD_SIMULATION_NONE);
    body->kern_base = kd_put64(engine->config.kern_base);
    body->ps_loaded_module_list = kd_put64(kda_address_of(&engine->images.head));
    body->debugger_data_list = kd_put64(kda_address_of(&engine->blocks.list));
    return kda_status(request, KDA_SUCCESS);
}
