/* debug_expression.h - addresses and numbers as they are typed: 7ffe0000+2*rcx, winload+100.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   10 0x10 1`00000000   hexadecimal          0n16             decimal
 *   rip @rip $pc         registers            winload          a module's base
 *   $base(m) $size(m)    of a module          $NAME            a variable of `set`
 *   $exception $address  of the last stop     poi(e) by(e) wo(e) dwo(e)   memory
 *   + - * & ( )          the usual; + - * and & from left to right, * before + and -, & last
 *
 * A word of hexadecimal digits is a number, whatever modules are called; @ before a register's name
 * makes it one in any case.
 */
#ifndef KDLENS_DEBUG_EXPRESSION_H
#define KDLENS_DEBUG_EXPRESSION_H

#include "debug_session.h"

bool expression_value(struct debug_session *session, const char *text, uint64_t *value,
                      struct problem *problem);

/* Variables of `set`. False when there is no room, or the name is no word. */
bool expression_set(struct debug_session *session, const char *name, uint64_t value);

#endif
