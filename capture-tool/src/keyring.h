/* keyring.h - KDNET keys that a user gave, each for any machine or for one address or port.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A key is a.b.c.d in base 36. Its text is a secret: it goes into captures where it was asked for,
 * and nowhere else. In a build without KDNET, keyring_new fails and says so.
 */
#ifndef KDLENS_KEYRING_H
#define KDLENS_KEYRING_H

#include <stdbool.h>
#include <stddef.h>

#include "datagram.h"
#include "problem.h"

#define KEYRING_KEYS_MAX  64u
#define KEYRING_LINE_SIZE 128u

/* A verb's options for keys, of options.h; where the members are that the file's name and the key
 * go into. */
#define KEYRING_OPTIONS(key_file, key)                                                       \
    {0,                                                                                      \
     "key-file",                                                                             \
     OPTION_TEXT,                                                                            \
     key_file,                                                                               \
     .value = "FILE",                                                                        \
     .complete = COMPLETE_FILE,                                                              \
     .help = "KDNET keys, one a line: KEY, ADDRESS KEY or ADDRESS:PORT KEY; - for standard " \
             "input"},                                                                       \
    {                                                                                        \
        'k', "key", OPTION_TEXT, key,                                                        \
            .value = "KEY", .help = "a KDNET key; other users of this machine can see it"    \
    }

struct keyring;

struct keyring *keyring_new(struct problem *problem);

/* Overwrites what is secret. NULL is allowed. */
void keyring_free(struct keyring *keyring);

/* One key; for_whom, which may be NULL, is ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT. A key that is
 * there already is not added again. */
bool keyring_add(struct keyring *keyring, const char *key, const char *for_whom,
                 struct problem *problem);

/* Lines of a key-log (analysis/kdnet_key.h). Those that name nobody are for for_whom. The problem
 * names the line by its number in the text. */
bool keyring_add_log(struct keyring *keyring, const char *text, size_t size, const char *for_whom,
                     struct problem *problem);

/* The same from a file; "-" is standard input. At least one key must be in it. */
bool keyring_add_file(struct keyring *keyring, const char *path, const char *for_whom,
                      struct problem *problem);

/* Asks on the terminal, without showing what is typed. */
bool keyring_ask(struct keyring *keyring, const char *for_whom, struct problem *problem);

size_t keyring_count(const struct keyring *keyring);

/* Whether the key is for one of the datagram's ends. */
bool keyring_applies(const struct keyring *keyring, size_t i, const struct datagram *datagram);

/* For whom the key is: "any", "192.0.2.1:50000", "192.0.2.1", "*:50000". */
void keyring_whom(const struct keyring *keyring, size_t i, char out[KEYRING_LINE_SIZE]);

/* The key as text. */
void keyring_key(const struct keyring *keyring, size_t i, char out[KEYRING_LINE_SIZE]);

/* Its line in a key-log, without line end. */
void keyring_line(const struct keyring *keyring, size_t i, char out[KEYRING_LINE_SIZE]);

/* Makes sure that a secret is gone from memory. */
void keyring_wipe(void *bytes, size_t size);

#endif
