/* wireshark.c - asking tshark.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "wireshark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE 60000u /* milliseconds; a cold disk and every other extcap program are in it */

#ifdef _WIN32
#define SEPARATORS "/\\"
#define SEPARATOR  "\\"
#else
#define SEPARATORS "/"
#define SEPARATOR  "/"
#endif

void wireshark_parent(char *path)
{
    char *last = path;

    for (char *at = path; *at; at++)
        if (strchr(SEPARATORS, *at))
            last = at;
    *last = '\0';
}

/* "TShark (Wireshark) 4.0.17 (Git ...": the first word that begins with a digit. */
bool wireshark_parse_version(struct wireshark *wireshark, const char *text)
{
    const char *at = text + strcspn(text, "0123456789\n");
    size_t size = strspn(at, "0123456789.");

    while (size > 0 && at[size - 1] == '.')
        size--;
    snprintf(wireshark->version, sizeof wireshark->version, "%.*s", (int)size, at);
    return sscanf(wireshark->version, "%u.%u", &wireshark->major, &wireshark->minor) == 2;
}

/* The value of the first line that begins with this label. */
static bool folder(const char *text, const char *label, char *out)
{
    size_t length = strlen(label);

    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *value;
        size_t size;

        if (strncmp(line, label, length) != 0)
            continue;
        value = line + length + strspn(line + length, " \t");
        size = strcspn(value, "\r\n");
        while (size > 0 && strchr(SEPARATORS, value[size - 1]))
            size--;
        if (size == 0 || size >= PROCESS_PATH_SIZE)
            return false;
        memcpy(out, value, size);
        out[size] = '\0';
        return true;
    }
    return false;
}

static bool append(char *path, const char *name)
{
    size_t used = strlen(path);
    int length = snprintf(path + used, PROCESS_PATH_SIZE - used, SEPARATOR "%s", name);

    return length >= 0 && (size_t)length < PROCESS_PATH_SIZE - used;
}

/* 4.0 does not name the personal folder for extcap programs: it is in that of the settings. Later
 * versions have it beside the plugins, and say so. */
static bool personal_extcap(struct wireshark *wireshark, const char *text)
{
    char *path = wireshark->extcap[WIRESHARK_PERSONAL];

    if (folder(text, "Personal Extcap path:", path))
        return true;
    if (wireshark->major == 4 && wireshark->minor >= 2) {
        memcpy(path, wireshark->plugins[WIRESHARK_PERSONAL], PROCESS_PATH_SIZE);
        wireshark_parent(path);
        wireshark_parent(path);
    } else {
        memcpy(path, wireshark->configuration, PROCESS_PATH_SIZE);
    }
    return append(path, "extcap");
}

static bool find_profiles(struct wireshark *wireshark, const char *text)
{
    char *personal = wireshark->profiles[WIRESHARK_PERSONAL];
    char *system = wireshark->profiles[WIRESHARK_SYSTEM];

    memcpy(personal, wireshark->configuration, PROCESS_PATH_SIZE);
    if (!folder(text, "Global configuration:", system) || !append(system, "profiles"))
        *system = '\0';
    return append(personal, "profiles");
}

bool wireshark_parse_folders(struct wireshark *wireshark, const char *text)
{
    char *system = wireshark->extcap[WIRESHARK_SYSTEM];

    return folder(text, "Personal configuration:", wireshark->configuration) &&
           folder(text, "Personal Plugins:", wireshark->plugins[WIRESHARK_PERSONAL]) &&
           folder(text, "Global Plugins:", wireshark->plugins[WIRESHARK_SYSTEM]) &&
           (folder(text, "Global Extcap path:", system) || folder(text, "Extcap path:", system)) &&
           personal_extcap(wireshark, text) && find_profiles(wireshark, text);
}

bool wireshark_loads(const char *plugins, const char *name, char *path, size_t room)
{
    size_t length = strlen(name);

    for (const char *line = plugins; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t size = strcspn(line, "\r\n");
        const char *last = line;

        if (strncmp(line, name, length) != 0 || !strchr(" \t", line[length]))
            continue;
        for (const char *at = line; at < line + size; at++)
            if (*at == '\t')
                last = at + 1;
        snprintf(path, room, "%.*s", (int)(line + size - last), last);
        return true;
    }
    return false;
}

/* "12. kdlens-tap (kdlens tap)" */
bool wireshark_lists(const char *interfaces, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = interfaces; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *at = line + strspn(line, "0123456789");

        if (at[0] == '.' && at[1] == ' ' && strncmp(at + 2, name, length) == 0 &&
            (at[2 + length] == ' ' || at[2 + length] == '\r' || at[2 + length] == '\n'))
            return true;
    }
    return false;
}

static bool find_tshark(char *path, size_t room)
{
    if (process_find("tshark", path, room))
        return true;
#ifdef _WIN32
    static const char *const variables[] = {"ProgramFiles", "ProgramW6432", "ProgramFiles(x86)"};

    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *folder_name = getenv(variables[i]);
        char full[PROCESS_PATH_SIZE];

        if (!folder_name)
            continue;
        snprintf(full, sizeof full, "%s\\Wireshark\\tshark.exe", folder_name);
        if (process_find(full, path, room))
            return true;
    }
#endif
    return false;
}

static bool ask(struct wireshark *wireshark, const char *const *arguments,
                bool (*parse)(struct wireshark *wireshark, const char *text),
                struct problem *problem)
{
    struct process_result result;
    bool fine;

    if (!process_run(arguments, PATIENCE, &result, problem))
        return false;
    fine = result.status == 0 && parse(wireshark, result.output);
    if (!fine)
        problem_set(problem, "%s %s gives no answer that can be read: exit status %d%s%.200s",
                    arguments[0], arguments[1], result.status, *result.errors ? ", " : "",
                    result.errors);
    process_result_clear(&result);
    return fine;
}

bool wireshark_find(struct wireshark *wireshark, const char *tshark, struct problem *problem)
{
    const char *path = wireshark->tshark;

    *wireshark = (struct wireshark){0};
    if (tshark && !process_find(tshark, wireshark->tshark, sizeof wireshark->tshark)) {
        problem_set(problem, "%s is no program that can be run", tshark);
        return false;
    }
    if (!tshark && !find_tshark(wireshark->tshark, sizeof wireshark->tshark)) {
        problem_set(problem, "tshark is not found, and only it knows Wireshark's folders; install "
                             "it (Debian: package tshark), or name it with --tshark");
        return false;
    }
    return ask(wireshark, (const char *const[]){path, "-v", NULL}, wireshark_parse_version,
               problem) &&
           ask(wireshark, (const char *const[]){path, "-G", "folders", NULL},
               wireshark_parse_folders, problem);
}
