/* facts.c - facts on stdout, for programs and for people. See facts.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "facts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"

#define PATH_MAX_BYTES 1024u

void fact_begin(FILE *out, unsigned session)
{
    fprintf(out, "{\"session\": %u", session);
}

void fact_end(FILE *out)
{
    fputs("}\n", out);
}

void fact_number(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, ", \"%s\": %" PRIu64, name, value);
}

void fact_hex(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, ", \"%s\": \"0x%" PRIx64 "\"", name, value);
}

void fact_flag(FILE *out, const char *name, bool value)
{
    fprintf(out, ", \"%s\": %s", name, value ? "true" : "false");
}

void fact_seconds(FILE *out, const char *name, uint64_t nanoseconds)
{
    fprintf(out, ", \"%s\": %" PRIu64 ".%09" PRIu64, name, nanoseconds / CLOCK_SECOND,
            nanoseconds % CLOCK_SECOND);
}

void fact_string(FILE *out, const char *name, const char *text)
{
    fprintf(out, ", \"%s\": ", name);
    json_text(out, text);
}

/* json_text ends at NUL, so a text is written in the pieces between them. */
void fact_text(FILE *out, const char *name, const uint8_t *bytes, size_t size)
{
    char *text = malloc(6 * size + 1), *at = text;

    fprintf(out, ", \"%s\": ", name);
    for (size_t i = 0; text && i < size; i++) {
        if (bytes[i]) {
            *at++ = (char)bytes[i];
            continue;
        }
        memcpy(at, "\xef\xbf\xbd", 3);
        at += 3;
    }
    if (text)
        *at = '\0';
    json_text(out, text ? text : "");
    free(text);
}

void fact_bytes(FILE *out, const char *name, const uint8_t *bytes, size_t size)
{
    fprintf(out, ", \"%s\": \"", name);
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", bytes[i]);
    fputc('"', out);
}

void fact_address(FILE *out, const char *name, const struct kda_model *model, uint64_t address,
                  uint32_t at)
{
    char place[PLACE_TEXT_SIZE], member[64];

    fact_hex(out, name, address);
    place_text(model, address, at, place);
    if (!place[0])
        return;
    snprintf(member, sizeof member, "%s_place", name);
    fact_string(out, member, place);
}

/* --- for people */

void address_text(uint64_t address, char out[ADDRESS_TEXT_SIZE])
{
    snprintf(out, ADDRESS_TEXT_SIZE, "%08" PRIx32 "`%08" PRIx32, (uint32_t)(address >> 32),
             (uint32_t)address);
}

static bool is_separator(uint8_t c)
{
    return c == '\\' || c == '/' || c == ':';
}

void module_name(const struct kda_model *model, const struct kda_module *module,
                 char out[MODULE_NAME_SIZE])
{
    uint8_t path[PATH_MAX_BYTES];
    struct kda_bytes part = module->path;
    size_t from = 0, size, kept = 0;

    if (part.size > sizeof path) {
        part.at += part.size - sizeof path;
        part.size = sizeof path;
    }
    size = part.size;
    if (size == 0 || !kda_model_bytes(model, part, path))
        size = 0;
    for (size_t i = 0; i < size; i++)
        if (is_separator(path[i]))
            from = i + 1;
    for (size_t i = size; i-- > from + 1;) {
        if (path[i] == '.') {
            size = i;
            break;
        }
    }
    for (size_t i = from; i < size && kept + 1 < MODULE_NAME_SIZE; i++)
        out[kept++] = path[i] > ' ' && path[i] < 0x7f ? (char)path[i] : '?';
    out[kept] = '\0';
    if (kept == 0)
        snprintf(out, MODULE_NAME_SIZE, "0x%" PRIx64, module->base);
}

void place_text(const struct kda_model *model, uint64_t address, uint32_t at,
                char out[PLACE_TEXT_SIZE])
{
    const struct kda_module *module = kda_model_module_at(model, address, at);
    char name[MODULE_NAME_SIZE];

    out[0] = '\0';
    if (!module)
        return;
    module_name(model, module, name);
    snprintf(out, PLACE_TEXT_SIZE, "%s+0x%" PRIx64, name, address - module->base);
}

void show_text(FILE *out, const uint8_t *bytes, size_t size, bool lines)
{
    for (size_t i = 0; i < size; i++) {
        if (lines && (bytes[i] == '\n' || bytes[i] == '\t'))
            fputc(bytes[i], out);
        else if (lines && bytes[i] == '\r')
            continue;
        else if (bytes[i] < ' ' || bytes[i] == 0x7f)
            fprintf(out, "\\x%02x", bytes[i]);
        else if (bytes[i] >= 0x80)
            fputc('?', out);
        else
            fputc(bytes[i], out);
    }
}

void show_bytes(FILE *out, const uint8_t *bytes, size_t size, size_t most)
{
    for (size_t i = 0; i < size && i < most; i++)
        fprintf(out, "%s%02x", i ? " " : "", bytes[i]);
    if (size > most)
        fputs(" ...", out);
}

void duration_text(uint64_t nanoseconds, char out[DURATION_TEXT_SIZE])
{
    if (nanoseconds >= CLOCK_SECOND)
        snprintf(out, DURATION_TEXT_SIZE, "%" PRIu64 ".%03" PRIu64 " s", nanoseconds / CLOCK_SECOND,
                 nanoseconds % CLOCK_SECOND / CLOCK_MILLISECOND);
    else if (nanoseconds >= CLOCK_MILLISECOND)
        snprintf(out, DURATION_TEXT_SIZE, "%" PRIu64 ".%02" PRIu64 " ms",
                 nanoseconds / CLOCK_MILLISECOND, nanoseconds % CLOCK_MILLISECOND / 10000);
    else
        snprintf(out, DURATION_TEXT_SIZE, "%" PRIu64 " us", nanoseconds / CLOCK_MICROSECOND);
}

void say_session(unsigned number, const char *name, unsigned *last)
{
    if (*last == number || (*last == 0 && number == 1)) {
        *last = number;
        return;
    }
    printf("%ssession %u, %s\n", *last ? "\n" : "", number, name);
    *last = number;
}

const char *reason_name(enum kda_reason reason)
{
    static const char *const names[] = {
        [KDA_REASON_EXCEPTION] = "exception", [KDA_REASON_LOAD] = "load",
        [KDA_REASON_UNLOAD] = "unload",       [KDA_REASON_COMMAND] = "command",
        [KDA_REASON_OTHER] = "other",
    };

    return names[reason];
}

const char *leave_name(enum kda_leave leave)
{
    static const char *const names[] = {
        [KDA_LEFT_NOT] = "not left",  [KDA_LEFT_CONTINUE] = "continue",
        [KDA_LEFT_STEP] = "step",     [KDA_LEFT_PROCESSOR] = "processor",
        [KDA_LEFT_REBOOT] = "reboot", [KDA_LEFT_UNSEEN] = "unseen",
    };

    return names[leave];
}

const char *mode_name(enum kda_mode mode)
{
    static const char *const names[] = {[KDA_MODE_UNKNOWN] = "unknown",
                                        [KDA_MODE_16] = "16-bit",
                                        [KDA_MODE_32] = "32-bit",
                                        [KDA_MODE_64] = "64-bit"};

    return names[mode];
}
