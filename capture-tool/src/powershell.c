/* powershell.c - building, encoding and running PowerShell scripts.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "powershell.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIND_LIMIT 60000u /* milliseconds; the Hyper-V module takes its time to load */

/* --- building */

static void add_bytes(struct script *script, const char *bytes, size_t size)
{
    if (size >= sizeof script->text - script->size) {
        script->full = true;
        return;
    }
    memcpy(script->text + script->size, bytes, size);
    script->size += size;
    script->text[script->size] = '\0';
}

/* The next character of UTF-8 text, of *size bytes; UINT32_MAX when it is none. */
static uint32_t next_character(const char *text, size_t *size)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    uint32_t character = length == 1 ? bytes[0] : bytes[0] & (0xffu >> (length + 1));

    *size = 1;
    if (bytes[0] >= 0x80 && (bytes[0] < 0xc2 || bytes[0] > 0xf4))
        return UINT32_MAX;
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return UINT32_MAX;
        character = character << 6 | (bytes[i] & 0x3fu);
    }
    if (character < least[length] || character > 0x10ffff ||
        (character >= 0xd800 && character < 0xe000))
        return UINT32_MAX;
    *size = length;
    return character;
}

/* PowerShell takes these for the ' that ends a string; twice it is the character itself. */
static bool is_quote(uint32_t character)
{
    return character == '\'' || (character >= 0x2018 && character <= 0x201b);
}

static void add_literal(struct script *script, const char *text)
{
    add_bytes(script, "'", 1);
    while (*text) {
        size_t size;
        uint32_t character = next_character(text, &size);

        if (character < 0x20 || character == 0x7f || character == UINT32_MAX)
            script->invalid = true;
        if (is_quote(character))
            add_bytes(script, text, size);
        add_bytes(script, text, size);
        text += size;
    }
    add_bytes(script, "'", 1);
}

void script_begin(struct script *script)
{
    script->size = 0;
    script->full = script->invalid = false;
    script->text[0] = '\0';
    script_add(script, "$ErrorActionPreference = 'Stop'\n"
                       "$ProgressPreference = 'SilentlyContinue'\n"
                       "try {\n"
                       "[Console]::OutputEncoding = New-Object Text.UTF8Encoding $false\n");
}

void script_end(struct script *script)
{
    script_add(script, "} catch {\n"
                       "[Console]::Error.WriteLine($_.Exception.Message)\n"
                       "exit 1\n"
                       "}\n");
}

void script_add(struct script *script, const char *text, ...)
{
    va_list arguments;
    const char *at;

    va_start(arguments, text);
    while ((at = strstr(text, "%q"))) {
        add_bytes(script, text, (size_t)(at - text));
        add_literal(script, va_arg(arguments, const char *));
        text = at + 2;
    }
    va_end(arguments);
    add_bytes(script, text, strlen(text));
}

void script_machine(struct script *script, const char *machine)
{
    char id[POWERSHELL_ID_SIZE];

    /* Get-VM -Name would take * and ? for patterns. */
    if (powershell_is_id(machine, id))
        script_add(script, "$name = %q\n$vms = @(Get-VM | Where-Object { $_.Id -eq $name })\n", id);
    else
        script_add(script, "$name = %q\n$vms = @(Get-VM | Where-Object { $_.Name -eq $name })\n",
                   machine);
    script_add(
        script,
        "if ($vms.Count -eq 0) { throw \"there is no virtual machine $name; there are: "
        "$((Get-VM).Name -join ', ')\" }\n"
        "if ($vms.Count -gt 1) { throw \"several virtual machines are called $name; give the "
        "identifier of one: $($vms.Id -join ', ')\" }\n"
        "$vm = $vms[0]\n");
}

bool script_check(const struct script *script, struct problem *problem)
{
    if (script->invalid)
        problem_set(problem, "a name holds control characters or is not UTF-8 text");
    else if (script->full)
        problem_set(problem, "a name is too long");
    return !script->invalid && !script->full;
}

/* --- encoding */

struct encoder {
    char *out;
    size_t room, size;
    uint32_t bits; /* bytes not yet written, in the low end */
    unsigned count;
};

static void put_byte(struct encoder *encoder, unsigned byte)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    encoder->bits = encoder->bits << 8 | byte;
    if (++encoder->count < 3)
        return;
    if (encoder->room - encoder->size > 4)
        for (int shift = 18; shift >= 0; shift -= 6)
            encoder->out[encoder->size++] = digits[encoder->bits >> shift & 63];
    encoder->bits = 0;
    encoder->count = 0;
}

static void put_unit(struct encoder *encoder, uint32_t unit)
{
    put_byte(encoder, unit & 0xff);
    put_byte(encoder, unit >> 8 & 0xff);
}

void script_encode(const struct script *script, char *out, size_t room)
{
    struct encoder encoder = {.out = out, .room = room};
    unsigned missing;

    for (const char *at = script->text; *at;) {
        size_t size;
        uint32_t character = next_character(at, &size);

        at += size;
        if (character > 0x10ffff)
            character = 0xfffd;
        if (character >= 0x10000) {
            put_unit(&encoder, 0xd800 + ((character - 0x10000) >> 10));
            character = 0xdc00 + ((character - 0x10000) & 0x3ff);
        }
        put_unit(&encoder, character);
    }
    missing = (3 - encoder.count) % 3;
    for (unsigned i = 0; i < missing; i++)
        put_byte(&encoder, 0);
    memset(out + encoder.size - missing, '=', missing);
    out[encoder.size] = '\0';
}

/* --- running */

bool script_run(const struct script *script, uint32_t milliseconds, struct process_result *result,
                struct problem *problem)
{
    char path[PROCESS_PATH_SIZE], *encoded;
    const char *arguments[] = {path,
                               "-NoLogo",
                               "-NoProfile",
                               "-NonInteractive",
                               "-OutputFormat",
                               "Text",
                               "-EncodedCommand",
                               NULL,
                               NULL};
    bool fine;

    if (!script_check(script, problem) || !powershell_path(path, sizeof path, problem))
        return false;
    encoded = malloc(SCRIPT_ENCODED_SIZE);
    if (!encoded) {
        problem_set(problem, "out of memory");
        return false;
    }
    script_encode(script, encoded, SCRIPT_ENCODED_SIZE);
    arguments[7] = encoded;
    fine = process_run(arguments, milliseconds, result, problem);
    free(encoded);
    return fine;
}

void script_reason(const struct process_result *result, struct problem *problem)
{
    const char *text = result->errors;
    size_t size;

    while (isspace((unsigned char)*text))
        text++;
    size = strcspn(text, "\r\n");
    if (size > 0)
        problem_set(problem, "%.*s", (int)size, text);
    else
        problem_set(problem, "PowerShell ended with exit status %d", result->status);
}

/* --- virtual machines */

bool powershell_is_id(const char *text, char id[POWERSHELL_ID_SIZE])
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    bool braces = *text == '{';
    const char *at = text + braces;

    for (size_t i = 0; i < sizeof form - 1; i++) {
        if (form[i] == 'x' ? !isxdigit((unsigned char)at[i]) : at[i] != '-')
            return false;
        id[i] = at[i];
    }
    id[sizeof form - 1] = '\0';
    return strcmp(at + sizeof form - 1, braces ? "}" : "") == 0;
}

bool powershell_find_machine(const char *name, char id[POWERSHELL_ID_SIZE], struct problem *problem)
{
    struct script *script = malloc(sizeof *script);
    struct process_result result;
    bool found = false;

    if (!script) {
        problem_set(problem, "out of memory");
        return false;
    }
    script_begin(script);
    script_machine(script, name);
    script_add(script, "Write-Output $vm.Id.Guid\n");
    script_end(script);
    if (script_run(script, FIND_LIMIT, &result, problem)) {
        size_t size = strcspn(result.output, " \r\n");

        result.output[size] = '\0';
        found = result.status == 0 && powershell_is_id(result.output, id);
        if (!found)
            script_reason(&result, problem);
        process_result_clear(&result);
    }
    free(script);
    return found;
}
