/* file.h - files as the system has them; paths are UTF-8 everywhere.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Functions that fail leave the system's words for it in `error`.
 */
#ifndef CAPTURE_FILE_H
#define CAPTURE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAP_FILE_STAMP_SIZE 15 /* YYYYMMDDhhmmss and NUL */

struct cap_file {
    intptr_t handle; /* a file descriptor or a HANDLE */
    bool open;
    bool owned;   /* to be closed here */
    bool regular; /* can be cut and sought in; not a pipe */
};

bool cap_file_open(struct cap_file *file, const char *path, char *error, size_t error_size);

/* An existing file is emptied; a new one can be read by its owner only: recordings hold memory of
 * the target, and keys. */
bool cap_file_create(struct cap_file *file, const char *path, char *error, size_t error_size);

/* Stays the caller's. */
void cap_file_from_fd(struct cap_file *file, int fd);

/* 0 at the end, negative on an error. */
ptrdiff_t cap_file_read(struct cap_file *file, void *buffer, size_t size, char *error,
                        size_t error_size);

/* How much was written before the error, which there is unless it is all. */
size_t cap_file_write(struct cap_file *file, const void *bytes, size_t size, char *error,
                      size_t error_size);

/* A regular file ends at `size`, as far as the system can do that; writing goes on there. */
void cap_file_cut(struct cap_file *file, uint64_t size);

/* False when the system reports late that something was not written. */
bool cap_file_close(struct cap_file *file, char *error, size_t error_size);

/* True also when there is no such file. */
bool cap_file_remove(const char *path, char *error, size_t error_size);

/* Local time. */
void cap_file_stamp(char stamp[CAP_FILE_STAMP_SIZE]);

#endif
