/* replay_difference.c - a packet in a line of text. See replay_difference.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "replay_difference.h"

#include <inttypes.h>
#include <string.h>

#include "facts.h"
#include "kd/describe.h"
#include "kd/frame.h"

#define BYTES_SHOWN 24u

/* Little-endian, as all fields of requests are. */
static uint64_t value_of(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = size < 8 ? size : 8; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

/* What a request says in its union, field by field. */
static void show_fields(FILE *out, const struct kd_layout *layout, const uint8_t *body)
{
    for (size_t i = 0; i < layout->count; i++) {
        const struct kd_field *field = &layout->fields[i];

        if ((field->direction & KD_DIR_REQ) && field->count == 1)
            fprintf(out, ", %s %#" PRIx64, field->label,
                    value_of(body + field->offset, kd_type_size((enum kd_type)field->type)));
    }
}

static void show_manipulate(FILE *out, const uint8_t *payload, size_t size)
{
    const struct kd_manipulate_header *header = (const struct kd_manipulate_header *)payload;
    const struct kd_api_info *info;

    if (size < KD_MANIPULATE_DATA)
        return;
    info = kd_api_find(kd_get32(header->api_number));
    if (!info) {
        fprintf(out, ", API %#" PRIx32, kd_get32(header->api_number));
        return;
    }
    fprintf(out, " %s", info->name);
    show_fields(out, &kd_layouts[info->layout], payload + KD_MANIPULATE_UNION);
    if (size > KD_MANIPULATE_DATA) {
        fprintf(out, ", %zu bytes ", size - KD_MANIPULATE_DATA);
        show_bytes(out, payload + KD_MANIPULATE_DATA, size - KD_MANIPULATE_DATA, BYTES_SHOWN);
    }
}

static void show_packet(FILE *out, const uint8_t *bytes, size_t size)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    const char *name = kd_value_name(KD_SET_ID_packet_type, kd_get16(header->packet_type));

    fprintf(out, "%s, id %08" PRIx32, name ? name : "a packet of no known type",
            kd_get32(header->packet_id));
    if (kd_checksum(bytes + KD_HEADER_SIZE, size - KD_HEADER_SIZE) != kd_get32(header->checksum) &&
        !kd_is_control(kd_get16(header->packet_type)))
        fprintf(out, ", wrong checksum");
    if (kd_get16(header->packet_type) == KD_PACKET_STATE_MANIPULATE) {
        show_manipulate(out, bytes + KD_HEADER_SIZE, size - KD_HEADER_SIZE);
    } else if (size > KD_HEADER_SIZE) {
        fprintf(out, ", %zu bytes ", size - KD_HEADER_SIZE);
        show_bytes(out, bytes + KD_HEADER_SIZE, size - KD_HEADER_SIZE, BYTES_SHOWN);
    }
}

static bool begins_packet(const uint8_t *bytes, size_t size)
{
    return size >= KD_HEADER_SIZE && bytes[0] == bytes[1] && bytes[1] == bytes[2] &&
           bytes[2] == bytes[3] && (bytes[0] == '0' || bytes[0] == 'i');
}

static void show_frame(FILE *out, const uint8_t *bytes, size_t size)
{
    if (begins_packet(bytes, size)) {
        show_packet(out, bytes, size);
    } else if (size == 1 && bytes[0] == KD_BREAKIN_BYTE) {
        fprintf(out, "a break-in");
    } else if (size == 0) {
        fprintf(out, "nothing");
    } else {
        fprintf(out, "no packet: ");
        show_bytes(out, bytes, size, BYTES_SHOWN);
    }
    fputc('\n', out);
}

void replay_show_difference(FILE *out, const struct kda_difference *difference)
{
    fprintf(out, "  recorded: ");
    show_frame(out, difference->expected, difference->expected_size);
    fprintf(out, "  came:     ");
    show_frame(out, difference->got, difference->got_size);
}
