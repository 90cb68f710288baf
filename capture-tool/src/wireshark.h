/* wireshark.h - the Wireshark that is installed: its version, and the folders it loads things from.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Nothing is guessed: tshark is asked. Its folders follow its version, how it was packaged, and the
 * user's environment.
 */
#ifndef KDLENS_WIRESHARK_H
#define KDLENS_WIRESHARK_H

#include <stdbool.h>
#include <stddef.h>

#include "problem.h"
#include "process.h"

enum wireshark_place { WIRESHARK_PERSONAL, WIRESHARK_SYSTEM, WIRESHARK_PLACES };

struct wireshark {
    char tshark[PROCESS_PATH_SIZE];
    char version[32]; /* "4.4.18" */
    unsigned major;
    unsigned minor;
    char plugins[WIRESHARK_PLACES][PROCESS_PATH_SIZE]; /* the folder epan in it is for dissectors */
    char extcap[WIRESHARK_PLACES][PROCESS_PATH_SIZE];
    char configuration[PROCESS_PATH_SIZE];              /* personal */
    char profiles[WIRESHARK_PLACES][PROCESS_PATH_SIZE]; /* system: "" when tshark does not say */
};

/* tshark: its path or name; NULL: where it usually is. */
bool wireshark_find(struct wireshark *wireshark, const char *tshark, struct problem *problem);

/* The last separator becomes NUL; "" for a path without one. */
void wireshark_parent(char *path);

/* What wireshark_find reads: the output of tshark -v and -G folders. The folders need the
 * version. */
bool wireshark_parse_version(struct wireshark *wireshark, const char *text);
bool wireshark_parse_folders(struct wireshark *wireshark, const char *text);

/* From where tshark -G plugins loaded this plugin. */
bool wireshark_loads(const char *plugins, const char *name, char *path, size_t room);

/* Whether tshark -D lists this interface. */
bool wireshark_lists(const char *interfaces, const char *name);

#endif
