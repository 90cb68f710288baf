/* kd-text.c - the text in messages of DEBUG_IO. See kd-text.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kd-text.h"

struct kd_text kd_text_of(const struct kd_packet *packet, const uint8_t *payload, size_t size)
{
    const struct kd_debug_io_header *header = (const struct kd_debug_io_header *)payload;
    const struct kd_print_string *print =
        (const struct kd_print_string *)(payload + KD_DEBUG_IO_UNION);
    const struct kd_get_string *prompt =
        (const struct kd_get_string *)(payload + KD_DEBUG_IO_UNION);
    struct kd_text text = {KD_TEXT_PRINT, payload + KD_DEBUG_IO_TEXT, 0, 0};
    uint32_t said = kd_get32(print->length_of_string);

    text.processor = kd_get16(header->processor);
    if (packet->api == KD_API_GET_STRING) {
        bool answer = packet->flow == KD_FLOW_TO_TARGET;

        text.kind = answer ? KD_TEXT_ANSWER : KD_TEXT_PROMPT;
        said = kd_get32(answer ? prompt->length_of_string_read : prompt->length_of_prompt_string);
    }
    text.size = MIN(said, size - KD_DEBUG_IO_TEXT);
    while (text.size && !text.bytes[text.size - 1])
        text.size--;
    return text;
}
