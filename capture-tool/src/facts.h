/* facts.h - how the verbs that analyse captures print: JSON members, addresses, times, names.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * With --json a fact is one object on a line, written member by member:
 *   fact_begin(stdout, session); fact_number(stdout, "frame", 12); ... fact_end(stdout);
 * Numbers that may exceed 2^53, and those that people read in hexadecimal, are strings "0x...".
 * Times are seconds since 1970 with nine digits; durations too.
 */
#ifndef KDLENS_FACTS_H
#define KDLENS_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "analysis/model.h"

void fact_begin(FILE *out, unsigned session);
void fact_end(FILE *out);
void fact_number(FILE *out, const char *name, uint64_t value);
void fact_hex(FILE *out, const char *name, uint64_t value);
void fact_flag(FILE *out, const char *name, bool value);
void fact_seconds(FILE *out, const char *name, uint64_t nanoseconds);
void fact_string(FILE *out, const char *name, const char *text);
/* Bytes as text; what is no UTF-8 becomes U+FFFD. */
void fact_text(FILE *out, const char *name, const uint8_t *bytes, size_t size);
/* Bytes in hexadecimal. */
void fact_bytes(FILE *out, const char *name, const uint8_t *bytes, size_t size);
/* An address: as it is, and as "module+0x12" where a module is known to be there then. */
void fact_address(FILE *out, const char *name, const struct kda_model *model, uint64_t address,
                  uint32_t at);

/* --- for people */

/* "fffff800`12345678" */
#define ADDRESS_TEXT_SIZE 20u
void address_text(uint64_t address, char out[ADDRESS_TEXT_SIZE]);

/* The file's name without folders and extension; at most room - 1 bytes. */
#define MODULE_NAME_SIZE 64u
void module_name(const struct kda_model *model, const struct kda_module *module,
                 char out[MODULE_NAME_SIZE]);

/* "BOOTX64+0x935c1", or "" where no module is known. */
#define PLACE_TEXT_SIZE (MODULE_NAME_SIZE + 24u)
void place_text(const struct kda_model *model, uint64_t address, uint32_t at,
                char out[PLACE_TEXT_SIZE]);

/* Bytes as text for a terminal: control codes are shown, not obeyed. lines: line ends and tabs are
 * obeyed. */
void show_text(FILE *out, const uint8_t *bytes, size_t size, bool lines);

/* "4d 5a 90 00", at most `most` bytes and then "...". */
void show_bytes(FILE *out, const uint8_t *bytes, size_t size, size_t most);

/* "12.345 s", "3.21 ms", "45 us" */
#define DURATION_TEXT_SIZE 32u
void duration_text(uint64_t nanoseconds, char out[DURATION_TEXT_SIZE]);

/* Says which session follows, in text, unless the capture has one only. NULL: nothing was said so
 * far. */
void say_session(unsigned number, const char *name, unsigned *last);

/* "breakpoint", "load" ... of enum kda_reason, enum kda_leave, enum kda_mode. */
const char *reason_name(enum kda_reason reason);
const char *leave_name(enum kda_leave leave);
const char *mode_name(enum kda_mode mode);

#endif
