/* powershell.c - a test double of powershell.exe: notes the script it is given, answers as if it
 * had run.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The script goes to the file that FAKE_POWERSHELL names, as UTF-8. A script that names the machine
 * 'missing' fails; one that asks for an identifier is given one.
 */
#define WIN32_LEAN_AND_MEAN
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>

#define SCRIPT_MAX 20000

static wchar_t script[SCRIPT_MAX];
static char text[3 * SCRIPT_MAX];

static int value_of(wchar_t digit)
{
    static const wchar_t digits[] =
        L"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const wchar_t *at = digit ? wcschr(digits, digit) : NULL;

    return at ? (int)(at - digits) : -1;
}

static void decode(const wchar_t *encoded)
{
    BYTE *out = (BYTE *)script;
    unsigned bits = 0, count = 0;

    for (; value_of(*encoded) >= 0; encoded++) {
        bits = bits << 6 | (unsigned)value_of(*encoded);
        count += 6;
        if (count >= 8) {
            count -= 8;
            *out++ = (BYTE)(bits >> count);
        }
    }
    WideCharToMultiByte(CP_UTF8, 0, script, -1, text, sizeof text, NULL, NULL);
}

int wmain(int argc, wchar_t **argv)
{
    const char *place = getenv("FAKE_POWERSHELL");
    FILE *file = place ? fopen(place, "wb") : NULL;

    if (argc < 2 || wcscmp(argv[argc - 2], L"-EncodedCommand") != 0 || !file)
        return 3;
    decode(argv[argc - 1]);
    fputs(text, file);
    fclose(file);
    if (strstr(text, "'missing'")) {
        fputs("there is no virtual machine missing; there are: target\n", stderr);
        return 1;
    }
    puts(strstr(text, "Write-Output $vm.Id.Guid") ? "12345678-9abc-def0-1234-56789abcdef0"
                                                  : "done");
    return 0;
}
