/* viewer.c - a test double of Wireshark, started as "viewer -k -i PIPE": copies the pipe to a file.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The file is the one that FAKE_WIRESHARK names.
 */
#define WIN32_LEAN_AND_MEAN
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

int main(int argc, char **argv)
{
    const char *place = getenv("FAKE_WIRESHARK");
    FILE *file = place ? fopen(place, "wb") : NULL;
    char chunk[4096];
    HANDLE pipe;
    DWORD size;

    if (argc != 4 || strcmp(argv[1], "-k") != 0 || strcmp(argv[2], "-i") != 0 || !file)
        return 2;
    pipe = CreateFileA(argv[3], GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (pipe == INVALID_HANDLE_VALUE)
        return 1;
    while (ReadFile(pipe, chunk, sizeof chunk, &size, NULL)) {
        fwrite(chunk, 1, size, file);
        fflush(file);
    }
    return 0;
}
