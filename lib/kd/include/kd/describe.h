/* describe.h - the .def files as data: layouts, fields, labels, APIs, architectures.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * For programs that show or document the protocol. The tables are constant; firmware that does not
 * refer to them does not carry them.
 */
#ifndef KD_DESCRIBE_H
#define KD_DESCRIBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/protocol.h"

struct kd_label {
    uint32_t value;
    const char *text;
};

enum kd_set_kind { KD_SET_ENUM, KD_SET_FLAGS };

/* A value set; labels are in the order of the .def file, not sorted by value. */
struct kd_value_set {
    const char *tag;
    const char *title;
    enum kd_set_kind kind;
    size_t count;
    const struct kd_label *labels;
};

enum kd_type {
    KD_TYPE_u8,
    KD_TYPE_u16,
    KD_TYPE_u32,
    KD_TYPE_u64,
    KD_TYPE_u128,
    KD_TYPE_be16,
    KD_TYPE_be64
};

enum kd_format {
    KD_FORMAT_DEC,
    KD_FORMAT_HEX,
    KD_FORMAT_HEX64,
    KD_FORMAT_ADDR,
    KD_FORMAT_BYTES,
    KD_FORMAT_ASCII,
    KD_FORMAT_IPV6,
    KD_FORMAT_GUID,
};

/* Which direction gives a field its meaning; BOTH has both bits. */
enum kd_direction { KD_DIR_REQ = 1, KD_DIR_REP = 2, KD_DIR_BOTH = 3 };

/* One row. count > 1 is an array of that many elements of the type. set is null where values have
 * no names. */
struct kd_field {
    const char *member; /* null: an alias */
    const char *filter;
    const char *label;
    const struct kd_value_set *set;
    uint16_t offset;
    uint16_t count;
    uint8_t type;      /* enum kd_type */
    uint8_t format;    /* enum kd_format */
    uint8_t direction; /* enum kd_direction */
};

struct kd_layout {
    const char *tag;
    const char *title;
    size_t size; /* bytes */
    size_t count;
    const struct kd_field *fields;
};

/* clang-format off */
enum kd_layout_id {
    KD_LAYOUT_none,
#define KD_STRUCT(tag, title) KD_LAYOUT_##tag,
#include "kd/protocol.def"
    KD_LAYOUT_COUNT
};

enum kd_set_id {
    KD_SET_ID_none,
    KD_SET_ID_api,
    KD_SET_ID_ntstatus,
    KD_SET_ID_vmbus_message,
#define KD_VALUES(set, title, kind) KD_SET_ID_##set,
#include "kd/protocol.def"
    KD_SET_ID_COUNT
};
/* clang-format on */

/* Indexed by enum kd_layout_id and enum kd_set_id; entry 0 (none) is empty. */
extern const struct kd_layout kd_layouts[KD_LAYOUT_COUNT];
extern const struct kd_value_set kd_value_sets[KD_SET_ID_COUNT];

/* What follows the 56 fixed bytes of a manipulate message. */
enum kd_data_kind {
    KD_DATA_NONE,
    KD_DATA_MEMORY,
    KD_DATA_PHYSICAL,
    KD_DATA_CONTEXT,
    KD_DATA_CONTEXT_PART,
    KD_DATA_CONTROL_SPACE,
    KD_DATA_PATTERN,
    KD_DATA_BREAKPOINTS,
    KD_DATA_HANDLES,
    KD_DATA_CALLS,
    KD_DATA_BUS_DATA,
};

enum kd_answer { KD_ANSWER_REPLY, KD_ANSWER_SILENT, KD_ANSWER_STATE_CHANGE };

struct kd_api_info {
    uint32_t number;
    const char *name;
    enum kd_layout_id layout;
    enum kd_data_kind request;
    enum kd_data_kind reply;
    enum kd_answer answer;
};

extern const struct kd_api_info kd_apis[];
extern const size_t kd_api_count;

struct kd_arch_info {
    enum kd_arch arch;
    uint16_t machine; /* IMAGE_FILE_MACHINE_x of GetVersion */
    const char *name;
    uint8_t pointer_size; /* bytes */
    enum kd_layout_id context;
    enum kd_layout_id report;
    enum kd_layout_id control_set;
    enum kd_layout_id special;
    uint64_t special_selector; /* TargetBaseAddress of the special registers */
};

struct kd_vmbus_message_info {
    uint32_t number;
    const char *name;
    enum kd_layout_id layout; /* before version 5.0; see kd_vmbus_message_layout */
    bool from_guest;
    uint32_t size;   /* of the shortest form, in bytes */
    uint32_t answer; /* the message that answers it; 0: none does */
};

/* Bytes of one element of the type. */
size_t kd_type_size(enum kd_type type);

/* The name of a value of an ENUM set, or null. Linear: for cold paths. */
const char *kd_value_name(enum kd_set_id set, uint32_t value);

/* The manipulate request of this ApiNumber, or null. Constant time. */
const struct kd_api_info *kd_api_find(uint32_t number);

/* The layout of the request's union under the 32-bit protocol (before version 5), where it differs.
 */
enum kd_layout_id kd_api_layout32(const struct kd_api_info *api);

/* The channel message of this number, or null. Constant time. */
const struct kd_vmbus_message_info *kd_vmbus_message_find(uint32_t number);

/* Its layout in a connection of this version (for INITIATE_CONTACT: the version it asks for). */
enum kd_layout_id kd_vmbus_message_layout(const struct kd_vmbus_message_info *message,
                                          uint32_t version);

/* The label of a GUID as it lies in a message, or null. Linear. */
const char *kd_vmbus_guid_label(const uint8_t guid[16]);

/* The architecture, or null when it is not known. */
const struct kd_arch_info *kd_arch_info(enum kd_arch arch);
const struct kd_arch_info *kd_arch_of_machine(uint16_t machine);
const struct kd_arch_info *kd_arch_of_context(size_t context_size);

/* The architecture that the 48 bytes of a control report fit, for a session that joined before
 * GetVersion. */
enum kd_arch kd_arch_of_report(const uint8_t report[48]);

#endif
