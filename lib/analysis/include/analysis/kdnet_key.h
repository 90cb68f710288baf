/* kdnet_key.h - KDNET keys as text: the dotted base-36 key and the lines of a key-log file.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A key is written a.b.c.d: four numbers in base 36, each at most 2^64-1; in memory it is 32 bytes,
 * the four numbers in order, each little-endian. Text is given as pointer and length and need not
 * end with NUL.
 *
 * A key-log file has one entry a line; a blank line and whatever follows `#` mean nothing:
 *     KEY                  for every target
 *     ADDRESS KEY          for datagrams from or to an address
 *     ADDRESS:PORT KEY     and port; IPv6 as [ADDRESS]:PORT
 * `*` stands for any address or any port.
 */
#ifndef ANALYSIS_KDNET_KEY_H
#define ANALYSIS_KDNET_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KDNET_KEY_SIZE      32
#define KDNET_KEY_TEXT_SIZE 56 /* four times 13 digits, three dots, NUL */

enum kdnet_key_status {
    KDNET_KEY_OK,
    KDNET_KEY_BLANK,     /* a key-log line without an entry; not an error */
    KDNET_KEY_PARTS,     /* not four parts */
    KDNET_KEY_EMPTY,     /* a part without a digit */
    KDNET_KEY_CHARACTER, /* neither a digit nor a letter a-z */
    KDNET_KEY_LENGTH,    /* a part of more than 13 digits */
    KDNET_KEY_RANGE,     /* a part above 2^64-1 */
    KDNET_KEY_ADDRESS,   /* key-log: no IPv4 or IPv6 address */
    KDNET_KEY_PORT,      /* key-log: no port */
    KDNET_KEY_LINE,      /* key-log: not one or two fields */
};

struct kdnet_key_error {
    enum kdnet_key_status status;
    unsigned part;  /* the key's part at fault, from 1; 0 when it is not one part's fault */
    char text[160]; /* what is wrong and what to do; empty when nothing is */
};

struct kdnet_endpoint {
    uint8_t address[16];  /* network order */
    uint8_t address_size; /* 4, 16, or 0: any address */
    uint16_t port;        /* 0: any port */
};

struct kdnet_key_entry {
    struct kdnet_endpoint endpoint;
    uint8_t key[KDNET_KEY_SIZE];
};

/* What a tool should demand of a key. `key` is written only on success; `error` may be NULL. */
enum kdnet_key_status kdnet_key_parse(const char *text, size_t length, uint8_t key[KDNET_KEY_SIZE],
                                      struct kdnet_key_error *error);

/* What WinDbg makes of a key, whatever the text: blanks before a part are skipped, empty and
 * missing parts are 0, a part above 2^64-1 becomes 2^64-1, and the text ends at the first character
 * out of place. False when the text is empty, by which WinDbg means "no encryption". */
bool kdnet_key_parse_lenient(const char *text, size_t length, uint8_t key[KDNET_KEY_SIZE]);

void kdnet_key_format(const uint8_t key[KDNET_KEY_SIZE], char text[KDNET_KEY_TEXT_SIZE]);

/* ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT, with `*` for any. IPv4-mapped IPv6 becomes IPv4, a zone
 * (%eth0) is ignored, names are not looked up. `endpoint` is written only on success; `error` may
 * be NULL. */
enum kdnet_key_status kdnet_endpoint_parse(const char *text, size_t length,
                                           struct kdnet_endpoint *endpoint,
                                           struct kdnet_key_error *error);

/* One line of a key-log file, with or without its line end. KDNET_KEY_OK: `entry` is filled.
 * KDNET_KEY_BLANK: the line says nothing. Else `error` (may be NULL) tells why the line cannot be
 * used. */
enum kdnet_key_status kdnet_keylog_parse(const char *line, size_t length,
                                         struct kdnet_key_entry *entry,
                                         struct kdnet_key_error *error);

#endif
