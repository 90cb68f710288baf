/* wireshark_pipe.h - the FIFOs (on Windows: named pipes) that Wireshark makes for an extcap
 * program.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * wireshark_pipe_linux.c and wireshark_pipe_windows.c implement it. The toolbar has one for each
 * direction. Wireshark stands still until the one it writes to is opened here, so that is done
 * before anything else.
 */
#ifndef KDLENS_WIRESHARK_PIPE_H
#define KDLENS_WIRESHARK_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

struct wireshark_pipe;

enum wireshark_pipe_use {
    WIRESHARK_READ,  /* from the toolbar */
    WIRESHARK_WRITE, /* to the toolbar */
    WIRESHARK_WATCH, /* the recording's: whether it still has a reader */
};

struct wireshark_pipe *wireshark_pipe_open(const char *path, enum wireshark_pipe_use use,
                                           struct problem *problem);

/* NULL is allowed. */
void wireshark_pipe_close(struct wireshark_pipe *pipe);

/* READ: waits for bytes, at most this long. 0 when none came, -1 when Wireshark has closed it. */
ptrdiff_t wireshark_pipe_read(struct wireshark_pipe *pipe, uint8_t *bytes, size_t size,
                              uint32_t milliseconds);

/* WRITE: all or nothing. False while Wireshark has not come to read, or does not read. */
bool wireshark_pipe_write(struct wireshark_pipe *pipe, const uint8_t *bytes, size_t size);

/* WATCH: waits for the reader, at most this long. Who begins before would lose what comes first. */
bool wireshark_pipe_await(struct wireshark_pipe *pipe, uint32_t milliseconds);

/* WATCH: false once a reader had come and none is left, or the program that started this one has
 * ended. now: monotonic. */
bool wireshark_pipe_has_reader(struct wireshark_pipe *pipe, uint64_t now);

#endif
