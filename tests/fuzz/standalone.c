/* standalone.c - runs a fuzz target on stored inputs, without libFuzzer: files, or folders of them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* False when the file cannot be read. The input is a block of its own, as exact as libFuzzer's. */
static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    long size;
    uint8_t *data;
    int ok;

    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) {
        perror(path);
        return 0;
    }
    rewind(file);
    data = malloc(size ? (size_t)size : 1);
    ok = data && fread(data, 1, (size_t)size, file) == (size_t)size;
    fclose(file);
    if (ok) {
        printf("%s\n", path);
        fflush(stdout); /* names the culprit */
        LLVMFuzzerTestOneInput(data, (size_t)size);
    } else {
        fprintf(stderr, "%s: cannot be read\n", path);
    }
    free(data);
    return ok;
}

/* Returns how many inputs were run; -1 when one could not be read. */
static int run_folder(DIR *folder, const char *path)
{
    struct dirent *entry;
    int count = 0;

    while (count >= 0 && (entry = readdir(folder))) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        count = run_file(name) ? count + 1 : -1;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        int count = folder ? run_folder(folder, argv[i]) : run_file(argv[i]) ? 1 : -1;

        if (count < 0)
            return 1;
        total += count;
    }
    printf("%d inputs\n", total);
    return total == 0;
}
