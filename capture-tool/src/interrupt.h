/* interrupt.h - Ctrl-C while files are read and written: the file is finished first.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_INTERRUPT_H
#define KDLENS_INTERRUPT_H

/* From here on SIGINT, SIGTERM and SIGHUP (Windows: Ctrl-C, Ctrl-Break, a closed console) are only
 * counted; a read that waits returns. */
void interrupt_catch(void);

/* How often. */
int interrupt_count(void);

#endif
