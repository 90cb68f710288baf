/* kdnet_none.c - keyring.h and kdnet_opener.h in a build without KDNET (KDLENS_TOOL_KDNET=OFF).
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * No keyring can be made, so only the functions that need none are ever called.
 */
#include <stdint.h>
#include <string.h>

#include "kdnet_opener.h"
#include "keyring.h"
#include "scrub.h"

static void say_why(struct problem *problem)
{
    problem_set(problem, "this kdlens was built without KDNET (libgcrypt): it knows no keys");
}

struct keyring *keyring_new(struct problem *problem)
{
    say_why(problem);
    return NULL;
}

void keyring_free(struct keyring *keyring)
{
    (void)keyring;
}

bool keyring_add(struct keyring *keyring, const char *key, const char *for_whom,
                 struct problem *problem)
{
    (void)keyring, (void)key, (void)for_whom;
    say_why(problem);
    return false;
}

bool keyring_add_log(struct keyring *keyring, const char *text, size_t size, const char *for_whom,
                     struct problem *problem)
{
    (void)keyring, (void)text, (void)size, (void)for_whom;
    say_why(problem);
    return false;
}

bool keyring_add_file(struct keyring *keyring, const char *path, const char *for_whom,
                      struct problem *problem)
{
    (void)keyring, (void)path, (void)for_whom;
    say_why(problem);
    return false;
}

bool keyring_ask(struct keyring *keyring, const char *for_whom, struct problem *problem)
{
    (void)keyring, (void)for_whom;
    say_why(problem);
    return false;
}

size_t keyring_count(const struct keyring *keyring)
{
    (void)keyring;
    return 0;
}

bool keyring_applies(const struct keyring *keyring, size_t i, const struct datagram *datagram)
{
    (void)keyring, (void)i, (void)datagram;
    return false;
}

void keyring_whom(const struct keyring *keyring, size_t i, char out[KEYRING_LINE_SIZE])
{
    (void)keyring, (void)i;
    out[0] = '\0';
}

void keyring_key(const struct keyring *keyring, size_t i, char out[KEYRING_LINE_SIZE])
{
    (void)keyring, (void)i;
    out[0] = '\0';
}

void keyring_line(const struct keyring *keyring, size_t i, char out[KEYRING_LINE_SIZE])
{
    (void)keyring, (void)i;
    out[0] = '\0';
}

void keyring_wipe(void *bytes, size_t size)
{
    volatile unsigned char *at = bytes;

    while (size-- > 0)
        *at++ = 0;
}

struct kdnet_opener *kdnet_opener_new(const struct keyring *keyring, struct problem *problem)
{
    (void)keyring;
    say_why(problem);
    return NULL;
}

void kdnet_opener_free(struct kdnet_opener *opener)
{
    (void)opener;
}

void kdnet_opener_see(struct kdnet_opener *opener, const struct datagram *datagram,
                      struct kdnet_seen *seen)
{
    (void)opener, (void)datagram;
    *seen = (struct kdnet_seen){.kind = KDNET_SEEN_OTHER};
}

void kdnet_see_sealed(const struct datagram *datagram, struct kdnet_seen *seen)
{
    *seen = (struct kdnet_seen){.kind = KDNET_SEEN_SEALED};
    seen->datagram.kind = KDA_DATAGRAM_SEALED;
    seen->datagram.source = kdnet_end(&datagram->source);
    seen->datagram.destination = kdnet_end(&datagram->destination);
    seen->datagram.findings = UINT64_C(1) << KD_FINDING_NET_NO_KEY;
}

/* The magic alone: enough to tell what a capture holds. */
bool kdnet_is_datagram(const struct datagram *datagram)
{
    return datagram->size > 22 && memcmp(datagram->bytes, "MD", 2) == 0;
}

bool kdnet_is_refused(const struct datagram *datagram)
{
    (void)datagram;
    return false;
}

struct scrub_net *scrub_net_new(struct kda_scrub *scrub, const struct keyring *keyring,
                                struct problem *problem)
{
    (void)scrub, (void)keyring;
    say_why(problem);
    return NULL;
}

void scrub_net_free(struct scrub_net *net)
{
    (void)net;
}

enum scrub_net_result scrub_net_datagram(struct scrub_net *net, const struct datagram *datagram,
                                         uint8_t *out)
{
    (void)net, (void)datagram, (void)out;
    return SCRUB_NET_OTHER;
}
