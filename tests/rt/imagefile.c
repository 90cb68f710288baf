/* imagefile.c - an image file in memory. See imagefile.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "imagefile.h"

#include <stdio.h>
#include <stdlib.h>

static uint8_t *read_all(FILE *file, size_t *size)
{
    long length = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    uint8_t *bytes = length >= 0 ? malloc((size_t)length + 1) : NULL;

    rewind(file);
    *size = (size_t)length;
    if (bytes && fread(bytes, 1, *size, file) == *size)
        return bytes;
    free(bytes);
    return NULL;
}

bool imagefile_open(const char *path, struct img_image *image)
{
    FILE *file = fopen(path, "rb");
    size_t size = 0;
    uint8_t *bytes = file ? read_all(file, &size) : NULL;
    struct img_source source;
    enum img_result result;

    if (!bytes)
        perror(path);
    if (file)
        fclose(file);
    if (!bytes)
        return false;
    source = img_memory_source(bytes, size, IMG_FILE);
    result = img_open(image, &source, 0);
    if (result == IMG_OK)
        return true;
    fprintf(stderr, "%s: %s\n", path, img_result_text(result));
    free(bytes);
    return false;
}
