/* keyring.c - keys from options, files and the terminal. See keyring.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "keyring.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/kdnet_key.h"
#include "input.h"
#include "keyring_keys.h"
#include "secret.h"

struct keyring *keyring_new(struct problem *problem)
{
    struct keyring *keyring = calloc(1, sizeof *keyring);

    if (!keyring)
        problem_set(problem, "out of memory");
    return keyring;
}

void keyring_free(struct keyring *keyring)
{
    if (keyring)
        keyring_wipe(keyring, sizeof *keyring);
    free(keyring);
}

void keyring_wipe(void *bytes, size_t size)
{
    volatile unsigned char *at = bytes;

    while (size-- > 0)
        *at++ = 0;
}

static bool same_entry(const struct kdnet_key_entry *a, const struct kdnet_key_entry *b)
{
    return a->endpoint.address_size == b->endpoint.address_size &&
           a->endpoint.port == b->endpoint.port &&
           memcmp(a->endpoint.address, b->endpoint.address, a->endpoint.address_size) == 0 &&
           memcmp(a->key, b->key, sizeof a->key) == 0;
}

static bool add_entry(struct keyring *keyring, const struct kdnet_key_entry *entry,
                      struct problem *problem)
{
    for (size_t i = 0; i < keyring->count; i++)
        if (same_entry(&keyring->entries[i], entry))
            return true;
    if (keyring->count == KEYRING_KEYS_MAX) {
        problem_set(problem, "more than %u keys", KEYRING_KEYS_MAX);
        return false;
    }
    keyring->entries[keyring->count++] = *entry;
    return true;
}

static bool parse_whom(const char *for_whom, struct kdnet_endpoint *endpoint,
                       struct problem *problem)
{
    struct kdnet_key_error error;

    *endpoint = (struct kdnet_endpoint){.address_size = 0};
    if (!for_whom ||
        kdnet_endpoint_parse(for_whom, strlen(for_whom), endpoint, &error) == KDNET_KEY_OK)
        return true;
    problem_set(problem, "--for: %s", error.text);
    return false;
}

bool keyring_add(struct keyring *keyring, const char *key, const char *for_whom,
                 struct problem *problem)
{
    struct kdnet_key_entry entry;
    struct kdnet_key_error error;
    bool fine;

    if (!parse_whom(for_whom, &entry.endpoint, problem))
        return false;
    fine = kdnet_key_parse(key, strlen(key), entry.key, &error) == KDNET_KEY_OK;
    if (!fine)
        problem_set(problem, "%s", error.text);
    fine = fine && add_entry(keyring, &entry, problem);
    keyring_wipe(&entry, sizeof entry);
    return fine;
}

static bool is_for_any(const struct kdnet_endpoint *endpoint)
{
    return endpoint->address_size == 0 && endpoint->port == 0;
}

/* blank: whether the line holds no key. */
static bool add_line(struct keyring *keyring, const char *line, size_t size,
                     const struct kdnet_endpoint *whom, struct problem *problem)
{
    struct kdnet_key_entry entry = {.endpoint = {.address_size = 0}};
    struct kdnet_key_error error;
    enum kdnet_key_status status = kdnet_keylog_parse(line, size, &entry, &error);
    bool fine;

    if (status == KDNET_KEY_BLANK)
        return true;
    if (status != KDNET_KEY_OK) {
        problem_set(problem, "%s", error.text);
        return false;
    }
    if (is_for_any(&entry.endpoint))
        entry.endpoint = *whom;
    fine = add_entry(keyring, &entry, problem);
    keyring_wipe(&entry, sizeof entry);
    return fine;
}

bool keyring_add_log(struct keyring *keyring, const char *text, size_t size, const char *for_whom,
                     struct problem *problem)
{
    struct kdnet_endpoint whom;
    struct problem reason;

    if (!parse_whom(for_whom, &whom, problem))
        return false;
    for (uint64_t number = 1; size > 0; number++) {
        const char *end = memchr(text, '\n', size);
        size_t line = end ? (size_t)(end - text) : size;

        if (!add_line(keyring, text, line, &whom, &reason)) {
            problem_set(problem, "line %" PRIu64 ": %s", number, reason.text);
            return false;
        }
        text += line + (end ? 1 : 0);
        size -= line + (end ? 1 : 0);
    }
    return true;
}

bool keyring_add_file(struct keyring *keyring, const char *path, const char *for_whom,
                      struct problem *problem)
{
    struct kdnet_endpoint whom;
    struct input *input;
    struct input_line line;
    struct problem reason;
    size_t before = keyring->count;
    bool fine = true;

    if (!parse_whom(for_whom, &whom, problem) || !(input = input_open(path, problem)))
        return false;
    while (fine && input_line(input, &line)) {
        fine = add_line(keyring, line.text, line.size, &whom, &reason);
        if (!fine)
            problem_set(problem, "%s, line %" PRIu64 ": %s", path, line.number, reason.text);
    }
    if (fine && input_failure(input)) {
        problem_set(problem, "%s: %s", path, input_failure(input));
        fine = false;
    } else if (fine && keyring->count == before) {
        problem_set(problem, "%s: no key in it", path);
        fine = false;
    }
    input_close(input);
    return fine;
}

bool keyring_ask(struct keyring *keyring, const char *for_whom, struct problem *problem)
{
    char key[KEYRING_LINE_SIZE];
    bool fine = secret_ask("KDNET key (a.b.c.d, not shown): ", key, sizeof key, problem) &&
                keyring_add(keyring, key, for_whom, problem);

    keyring_wipe(key, sizeof key);
    return fine;
}

size_t keyring_count(const struct keyring *keyring)
{
    return keyring->count;
}

static bool is_end(const struct kdnet_endpoint *endpoint, const struct datagram_end *end)
{
    if (endpoint->port && endpoint->port != end->port)
        return false;
    return endpoint->address_size == 0 ||
           (endpoint->address_size == end->address_size &&
            memcmp(endpoint->address, end->address, end->address_size) == 0);
}

bool keyring_applies(const struct keyring *keyring, size_t i, const struct datagram *datagram)
{
    const struct kdnet_endpoint *endpoint = &keyring->entries[i].endpoint;

    return is_end(endpoint, &datagram->source) || is_end(endpoint, &datagram->destination);
}

void keyring_whom(const struct keyring *keyring, size_t i, char out[KEYRING_LINE_SIZE])
{
    const struct kdnet_endpoint *endpoint = &keyring->entries[i].endpoint;
    struct datagram_end end = {.address_size = endpoint->address_size, .port = endpoint->port};
    char text[DATAGRAM_END_TEXT_SIZE];

    if (endpoint->address_size == 0) {
        if (endpoint->port)
            snprintf(out, KEYRING_LINE_SIZE, "*:%u", endpoint->port);
        else
            snprintf(out, KEYRING_LINE_SIZE, "any");
        return;
    }
    memcpy(end.address, endpoint->address, endpoint->address_size);
    datagram_end_text(&end, text);
    if (!endpoint->port)
        *strrchr(text, ':') = '\0';
    snprintf(out, KEYRING_LINE_SIZE, "%s", text);
}

void keyring_key(const struct keyring *keyring, size_t i, char out[KEYRING_LINE_SIZE])
{
    char text[KDNET_KEY_TEXT_SIZE];

    kdnet_key_format(keyring->entries[i].key, text);
    snprintf(out, KEYRING_LINE_SIZE, "%s", text);
    keyring_wipe(text, sizeof text);
}

void keyring_line(const struct keyring *keyring, size_t i, char out[KEYRING_LINE_SIZE])
{
    char key[KDNET_KEY_TEXT_SIZE], whom[KEYRING_LINE_SIZE];

    kdnet_key_format(keyring->entries[i].key, key);
    keyring_whom(keyring, i, whom);
    if (is_for_any(&keyring->entries[i].endpoint))
        snprintf(out, KEYRING_LINE_SIZE, "%s", key);
    else
        snprintf(out, KEYRING_LINE_SIZE, "%.*s %s", (int)DATAGRAM_END_TEXT_SIZE, whom, key);
    keyring_wipe(key, sizeof key);
}
