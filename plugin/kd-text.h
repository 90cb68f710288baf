/* kd-text.h - the text in messages of DEBUG_IO: prints, prompts, answers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_KD_TEXT_H
#define KDLENS_PLUGIN_KD_TEXT_H

#include "kd-session.h"

enum kd_text_kind { KD_TEXT_PRINT, KD_TEXT_PROMPT, KD_TEXT_ANSWER };

struct kd_text {
    enum kd_text_kind kind;
    const uint8_t *bytes; /* in the payload; as the target wrote them, any byte may be in it */
    size_t size;
    uint16_t processor;
};

/* The text of a packet of DEBUG_IO with at least KD_DEBUG_IO_TEXT bytes of payload: what its length
 * says, or as much of it as is there, without NULs at the end. */
struct kd_text kd_text_of(const struct kd_packet *packet, const uint8_t *payload, size_t size);

#endif
