/* json.h - values of a JSON line on a stream.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_JSON_H
#define KDLENS_JSON_H

#include <stdio.h>

/* The text in quotes, escaped; bytes that are no UTF-8 become U+FFFD. */
void json_text(FILE *out, const char *text);

#endif
