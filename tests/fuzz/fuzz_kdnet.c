/* fuzz_kdnet.c - libFuzzer target: any bytes as a KDNET datagram, a control body, a key, a key-log
 * line.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>

#include "analysis/kdnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t fixed[KDNET_KEY_SIZE] = {8};
    static struct kdnet_cipher *cipher;
    uint8_t key[KDNET_KEY_SIZE], *plaintext = malloc(size + 1);
    struct kdnet_datagram datagram;
    struct kdnet_plaintext out;
    struct kdnet_control control;
    struct kdnet_key_entry entry;
    struct kdnet_key_error error;

    if (!cipher)
        cipher = kdnet_cipher_new(fixed, fixed);
    if (!cipher || !plaintext)
        abort();
    kdnet_classify(data, size, &datagram);
    kdnet_open(cipher, &datagram, plaintext, &out, true);
    kdnet_open(cipher, &datagram, plaintext, &out, false);
    kdnet_control_parse(plaintext + out.body_offset, out.body_size, &control);
    kdnet_key_parse((const char *)data, size, key, &error);
    kdnet_key_parse_lenient((const char *)data, size, key);
    kdnet_keylog_parse((const char *)data, size, &entry, &error);
    free(plaintext);
    return 0;
}
