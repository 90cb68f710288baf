/* vmbus.h - VMBus and the hypervisor under it: constants, GPADL messages, frames of KD over a pipe.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The structs and enums are those of protocol.h (hyperv.def, vmbus.def, vmbus_record.def); rings
 * are in ring.h. Everything here is pure: it writes into the caller's buffers and nothing else.
 */
#ifndef KD_VMBUS_H
#define KD_VMBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/protocol.h"

/* CPUID. The interface leaf tells that the hypervisor is compatible with Hyper-V; the vendor
 * string, in EBX, ECX and EDX, may be another's. */
#define KD_HV_CPUID_PRESENT   UINT32_C(0x80000000) /* leaf 1, ECX */
#define KD_HV_INTERFACE       UINT32_C(0x31237648) /* "Hv#1" */
#define KD_HV_VENDOR_EBX      UINT32_C(0x7263694D) /* "Microsoft Hv" */
#define KD_HV_VENDOR_ECX      UINT32_C(0x666F736F)
#define KD_HV_VENDOR_EDX      UINT32_C(0x76482074)
#define KD_HV_OS_ID_FIRMWARE  (UINT64_C(1) << 40) /* GUEST_OS_ID of the Gen-2 firmware */
#define KD_HV_PAGE_SIZE       4096u
#define KD_HV_PAGE_ADDRESS    (~UINT64_C(0xFFF)) /* of HYPERCALL, SIEFP and SIMP */
#define KD_HV_SINT_VECTOR     UINT64_C(0xFF)
#define KD_HV_SINT_MIN_VECTOR 16u

/* Hypercalls: RCX holds the code and KD_HV_CALL_FAST; a slow call's input block is 8-byte aligned
 * and lies in one page. The low 16 bits of RAX are an enum kd_hv_status. */
#define KD_HV_CALL_CODE     UINT64_C(0xFFFF)
#define KD_HV_RESULT_STATUS UINT64_C(0xFFFF)

/* SynIC: the message page has a slot of a hv_message and its payload for each SINT, the event page
 * a map of 2048 flags, flag f in bit f % 8 of byte f / 8. */
#define KD_HV_SINT_COUNT            16u
#define KD_HV_SLOT_SIZE             256u
#define KD_HV_MESSAGE_MAX           240u /* payload */
#define KD_HV_MESSAGE_TIMER_EXPIRED UINT32_C(0x80000010)
#define KD_HV_EVENT_FLAGS           2048u

#define KD_VMBUS_SINT      2u         /* of connections before 5.0, and of the firmware's */
#define KD_VMBUS_NO_VP     UINT32_MAX /* target_vp of a channel without interrupts */
#define KD_VMBUS_PAGE_SIZE 4096u
#define KD_VMBUS_RELID_END 2048u /* relids are smaller */

/* Sizes of the shorter forms; sizeof is that of the longest. */
#define KD_VMBUS_OPEN_SIZE             148u
#define KD_VMBUS_INITIATE_CONTACT_SIZE 40u
#define KD_VMBUS_VERSION_RESPONSE_SIZE 16u /* 6.0: 20, with the server's monitor pages 40 */
#define KD_VMBUS_TL_CONNECT_SIZE       40u

/* Bytes of one packet of a pipe. */
#define KD_VMBUS_PIPE_MAX      16384u
#define KD_VMBUS_PIPE_BYTE_MAX 2048u /* what writers of byte-mode pipes keep to (openvmm) */

/* The interrupt page of connections before 2.4: bits of the host, then bits of the guest. */
#define KD_VMBUS_INTERRUPT_PAGE_TO_HOST 2048u

/* --- GUIDs --- */

/* clang-format off */
enum kd_vmbus_guid {
#define KD_VMBUS_GUID(name, label, a, b, c, d, e) KD_VMBUS_GUID_##name,
#include "kd/protocol.def"
    KD_VMBUS_GUID_COUNT
};
/* clang-format on */

/* As they lie in messages. */
extern const unsigned char kd_vmbus_guids[KD_VMBUS_GUID_COUNT][16];

bool kd_vmbus_is_guid(const kd_u8 bytes[16], enum kd_vmbus_guid guid);

/* --- GPADLs ---
 *
 * A GPADL of one range, as rings have it, is a header message and as many bodies as it takes. */

#define KD_VMBUS_GPADL_HEADER_PAGES 26u
#define KD_VMBUS_GPADL_BODY_PAGES   28u
/* More do not fit the 16 bits that say how long the ranges are. */
#define KD_VMBUS_GPADL_MAX_PAGES 8190u

struct kd_vmbus_gpadl {
    uint32_t relid;
    uint32_t gpadl; /* the guest's choice, not 0 */
    uint32_t byte_count;
    uint32_t byte_offset;  /* in the first page */
    const uint64_t *pages; /* guest page numbers, page_count of them */
    uint32_t page_count;
};

/* How many messages the GPADL takes; 0 when it has no pages or too many. */
uint32_t kd_vmbus_gpadl_messages(const struct kd_vmbus_gpadl *gpadl);

/* Writes message `number` (0: the header; bodies from 1) and returns its size; 0 when there is
 * none of this number. */
size_t kd_vmbus_gpadl_message(const struct kd_vmbus_gpadl *gpadl, uint32_t number,
                              uint8_t out[KD_HV_MESSAGE_MAX]);

/* --- frames of KD over a pipe --- */

#define KD_VMBUS_FRAME_DATA_END        UINT32_C(0x87283679)
#define KD_VMBUS_FRAME_ACKNOWLEDGE_END UINT32_C(0x36133574)
/* The first sequence that each side uses. */
#define KD_VMBUS_FRAME_GUEST_FIRST UINT32_C(2)
#define KD_VMBUS_FRAME_HOST_FIRST  UINT32_C(0x5687)

/* XOR of the words of header and payload, the checksum taken as 0 and the last word filled up with
 * zeros. */
uint32_t kd_vmbus_frame_checksum(const struct kd_vmbus_frame *frame, const uint8_t *payload,
                                 size_t size);

/* The header of a data frame, or (size 0) of an acknowledgement by `flag`. */
struct kd_vmbus_frame kd_vmbus_frame_seal(enum kd_vmbus_frame_magic magic,
                                          enum kd_vmbus_frame_flag flag, uint32_t sequence,
                                          const uint8_t *payload, size_t size);

/* Whether the bytes are one whole frame: magic, end word, length and checksum. */
bool kd_vmbus_frame_good(const uint8_t *bytes, size_t size);

/* --- records of our capture format `vmbus` (docs/formats.md) --- */

#define KD_VMBUS_RECORD_VERSION 1u
#define KD_VMBUS_RECORD_NO_SINT 0xFFu
#define KD_VMBUS_RECORD_NO_VP   UINT32_MAX

#endif
