/* protocol.h - the .def files as C: enums, structs, and an assert for every size and offset.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Struct and member names are those of the rows (struct kd_memory, .transfer_count); a struct may
 * be laid over received bytes of at least its size. NTSTATUS values are KD_NT(STATUS_x), of type
 * uint32_t.
 */
#ifndef KD_PROTOCOL_H
#define KD_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "kd/wire.h"

/* clang-format off */
#define KD_VALUES(set, title, kind) enum kd_##set {
#define KD_VALUE(set, constant, value, label) constant = value,
#define KD_VALUES_END(set) };
#include "kd/protocol.def"

enum kd_manipulate_api {
#define KD_API(constant, number, name, layout, request, reply, answer) constant = number,
#include "kd/protocol.def"
};

enum kd_vmbus_message_type {
#define KD_VMBUS_MESSAGE(constant, number, name, layout, from, size, answer) constant = number,
#include "kd/protocol.def"
};

/* An enumerator is an int, and half of all NTSTATUS values do not fit one: the bits are kept here. */
enum kd_ntstatus_bits {
#define KD_NTSTATUS(name, value) KD_BITS_##name = (int)value##u,
#include "kd/protocol.def"
};
#define KD_NT(name) ((uint32_t)KD_BITS_##name)

#define KD_STRUCT(tag, title) struct kd_##tag {
#define KD_FIELD(tag, offset, type, member, filter, label, format, set, direction) kd_##type member;
#define KD_ARRAY(tag, offset, type, count, member, filter, label, format, set, direction) \
    kd_##type member[count];
#define KD_PAD(tag, offset, size) kd_u8 pad_##offset[size];
#define KD_END(tag, size) };
#include "kd/protocol.def"

#define KD_FIELD(tag, offset, type, member, filter, label, format, set, direction) \
    _Static_assert(offsetof(struct kd_##tag, member) == offset, #tag "." #member);
#define KD_ARRAY(tag, offset, type, count, member, filter, label, format, set, direction) \
    _Static_assert(offsetof(struct kd_##tag, member) == offset, #tag "." #member);
#define KD_PAD(tag, offset, size) \
    _Static_assert(offsetof(struct kd_##tag, pad_##offset) == offset, #tag ".pad_" #offset);
#define KD_END(tag, size) _Static_assert(sizeof(struct kd_##tag) == size, #tag);
#include "kd/protocol.def"

enum kd_arch {
    KD_ARCH_UNKNOWN,
#define KD_ARCH(name, machine, label, pointer, context, report, set, special, selector) KD_ARCH_##name,
#include "kd/protocol.def"
};
/* clang-format on */

/* Sizes and marks of the framing (public KD headers). */
#define KD_TRAILER             0xAA
#define KD_BREAKIN_BYTE        0x62
#define KD_PACKET_MAX_SIZE     4000u
#define KD_INITIAL_PACKET_ID   UINT32_C(0x80800000)
#define KD_SYNC_PACKET_ID      UINT32_C(0x00000800)
#define KD_KDNET_HOST_FIRST_ID UINT32_C(0x80000000)
#define KD_HEADER_SIZE         sizeof(struct kd_packet_header)

/* Where the parts of a message lie, relative to its first payload byte. */
#define KD_MANIPULATE_UNION        16u
#define KD_MANIPULATE_DATA         56u
#define KD_MANIPULATE32_UNION      12u
#define KD_MANIPULATE32_DATA       52u
#define KD_STATE_CHANGE_UNION      32u
#define KD_STATE_CHANGE_UNION_SIZE 160u
#define KD_STATE_CHANGE_REPORT     192u
#define KD_STATE_CHANGE_TEXT       240u
#define KD_STATE_CHANGE32_UNION    20u
#define KD_DEBUG_IO_UNION          8u
#define KD_DEBUG_IO_TEXT           16u
#define KD_FILE_IO_UNION           8u
#define KD_FILE_IO_DATA            64u
#define KD_TRACE_IO_DATA           64u
#define KD_CONTINUE2_CONTROL_SET   4u
#define KD_MAX_BREAKPOINTS         32u
#define KD_CONTEXT_MAX_SIZE        0x3000u

/* A Windows kernel's KLDR_DATA_TABLE_ENTRY is LDR_DATA_TABLE_ENTRY up to CheckSum; what lies behind
 * is elsewhere (measured with WinDbg's engine and kernel dumps). */
#define KD_KLDR_SIZE_OF_IMAGE   0x98u
#define KD_KLDR_TIME_DATE_STAMP 0x9Cu
#define KD_KLDR_SIZE            0xA0u

/* BaseOfDll of an unload event that is none: the target reboots, or hibernates. */
#define KD_REBOOT    UINT64_C(0xFFFFFFFFFFFFFFFF)
#define KD_HIBERNATE UINT64_C(0xFFFFFFFFFFFFFFFE)

#endif
