/* plugin_image.h - for which Wireshark a plugin file was built, read from the file alone.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Wireshark's plugins export the numbers plugin_want_major and plugin_want_minor. They are looked
 * up in the file's table of symbols (ELF) or exports (PE); nothing of the file is loaded or run.
 */
#ifndef KDLENS_PLUGIN_IMAGE_H
#define KDLENS_PLUGIN_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/* The first 32 bits of the data that this symbol names. False for what is no ELF or PE file, is
 * damaged, or has no such symbol. */
bool plugin_image_number(const uint8_t *bytes, size_t size, const char *symbol, uint32_t *number);

bool plugin_image_wants(const char *path, unsigned *major, unsigned *minor,
                        struct problem *problem);

#endif
