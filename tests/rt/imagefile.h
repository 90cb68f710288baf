/* imagefile.h - an image file in memory, for the programs of these tests.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TESTS_RT_IMAGEFILE_H
#define KDLENS_TESTS_RT_IMAGEFILE_H

#include "image/image.h"

/* The opened image, which reads the file's bytes; they stay until the process ends. False: says
 * why, on stderr. */
bool imagefile_open(const char *path, struct img_image *image);

#endif
