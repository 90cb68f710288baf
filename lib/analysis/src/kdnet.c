/* kdnet.c - KDNET datagrams: recognising, opening and sealing them; the data channel's key.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Versions 2 to 5 ("MDBG"): the tag covers header and plaintext and is also the IV. Version 1
 * ("MD"): the tag covers body and pad only and is encrypted with them; the IV is the sequence
 * number, encrypted.
 *
 * Opening is a dissector's hot path. A cipher therefore keeps its two libgcrypt handles:
 * gcry_md_reset goes back to the keyed HMAC state, whose two pads were hashed once, and
 * gcry_cipher_setiv is all that AES needs.
 */
#include "analysis/kdnet.h"

#include <gcrypt.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE     16
#define HEADER_SIZE    sizeof(struct kd_kdnet_header)
#define V1_HEADER_SIZE sizeof(struct kd_kdnet_v1_header)
#define PREFIX_SIZE    sizeof(struct kd_kdnet_prefix)

#define CONTROL_FLAG  0x01u
#define UNKNOWN_FLAGS 0xfcu
#define FIRST_VERSION 2 /* of MDBG */
#define LAST_VERSION  5

/* struct kd_kdnet_prefix */
#define SEQUENCE_SHIFT     8
#define SEQUENCE_LIMIT     (UINT64_C(1) << 56)
#define FROM_DEBUGGER_FLAG 0x80u
#define PAD_MASK           0x7fu

/* struct kd_kdnet_v1_header */
#define V1_FROM_DEBUGGER (UINT64_C(1) << 63)

#define NONCE_COUNTER_SIZE 8 /* WinDbg compares what follows */

static const uint8_t magic[4] = {'M', 'D', 'B', 'G'};

struct kdnet_cipher {
    gcry_cipher_hd_t aes;
    gcry_md_hd_t hmac;
};

/* What lies between `offset` and the last `tail` bytes: 0 if less than `least` or no whole blocks.
 */
static size_t cipher_size(size_t size, size_t offset, size_t tail, size_t least)
{
    size_t inner;

    if (size < offset + tail + least)
        return 0;
    inner = size - offset - tail;
    return inner % BLOCK_SIZE == 0 ? inner : 0;
}

static enum kdnet_datagram_kind classify_mdbg(struct kdnet_datagram *datagram)
{
    const struct kd_kdnet_header *header = (const struct kd_kdnet_header *)datagram->bytes;
    uint8_t channel;

    if (datagram->size < HEADER_SIZE)
        return KDNET_KIND_LENGTH;
    channel = kd_get8(header->channel);
    datagram->version = kd_get8(header->version);
    datagram->control = channel & CONTROL_FLAG;
    datagram->unknown_flags = channel & UNKNOWN_FLAGS;
    datagram->cipher_offset = HEADER_SIZE;
    datagram->cipher_size = cipher_size(datagram->size, HEADER_SIZE, KDNET_TAG_SIZE, BLOCK_SIZE);
    if (datagram->version < FIRST_VERSION || datagram->version > LAST_VERSION)
        return KDNET_KIND_VERSION;
    if (datagram->unknown_flags)
        return KDNET_KIND_FLAGS;
    if (!datagram->cipher_size)
        return KDNET_KIND_LENGTH;
    return datagram->control ? KDNET_KIND_CONTROL : KDNET_KIND_DATA;
}

/* The ciphertext of version 1 holds the tag and at least one block before it. */
static enum kdnet_datagram_kind classify_v1(struct kdnet_datagram *datagram)
{
    const struct kd_kdnet_v1_header *header = (const struct kd_kdnet_v1_header *)datagram->bytes;

    datagram->v1 = true;
    datagram->version = 1;
    if (datagram->size < V1_HEADER_SIZE)
        return KDNET_KIND_LENGTH;
    datagram->unknown_flags = kd_get8(header->pad_3[0]) | kd_get8(header->pad_3[1]);
    datagram->cipher_offset = V1_HEADER_SIZE;
    datagram->cipher_size =
        cipher_size(datagram->size, V1_HEADER_SIZE, 0, BLOCK_SIZE + KDNET_TAG_SIZE);
    if (datagram->unknown_flags)
        return KDNET_KIND_FLAGS;
    return datagram->cipher_size ? KDNET_KIND_V1 : KDNET_KIND_LENGTH;
}

enum kdnet_datagram_kind kdnet_classify(const uint8_t *bytes, size_t size,
                                        struct kdnet_datagram *datagram)
{
    *datagram = (struct kdnet_datagram){.kind = KDNET_KIND_OTHER, .bytes = bytes, .size = size};
    if (size >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0)
        datagram->kind = classify_mdbg(datagram);
    else if (size > 2 && memcmp(bytes, magic, 2) == 0 && bytes[2] == 1)
        datagram->kind = classify_v1(datagram);
    return datagram->kind;
}

/* A program that uses libgcrypt itself has set it up; then this changes nothing. */
static bool libgcrypt_ready(void)
{
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return true;
    if (!gcry_check_version(NULL))
        return false;
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    return true;
}

struct kdnet_cipher *kdnet_cipher_new(const uint8_t aes_key[KDNET_KEY_SIZE],
                                      const uint8_t control_key[KDNET_KEY_SIZE])
{
    struct kdnet_cipher *cipher;
    uint8_t hmac_key[KDNET_KEY_SIZE];

    if (!libgcrypt_ready())
        return NULL;
    cipher = calloc(1, sizeof *cipher);
    if (!cipher)
        return NULL;
    for (size_t i = 0; i < sizeof hmac_key; i++)
        hmac_key[i] = (uint8_t)~control_key[i];
    if (gcry_cipher_open(&cipher->aes, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC, 0) ||
        gcry_cipher_setkey(cipher->aes, aes_key, KDNET_KEY_SIZE) ||
        gcry_md_open(&cipher->hmac, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC) ||
        gcry_md_setkey(cipher->hmac, hmac_key, sizeof hmac_key)) {
        kdnet_cipher_free(cipher);
        return NULL;
    }
    return cipher;
}

void kdnet_cipher_free(struct kdnet_cipher *cipher)
{
    if (!cipher)
        return;
    gcry_cipher_close(cipher->aes);
    gcry_md_close(cipher->hmac);
    free(cipher);
}

/* The tag of `head` followed by `rest`: the first 16 bytes of what this points to, or NULL. */
static const uint8_t *compute_tag(struct kdnet_cipher *cipher, const uint8_t *head,
                                  size_t head_size, const uint8_t *rest, size_t rest_size)
{
    gcry_md_reset(cipher->hmac);
    if (head_size)
        gcry_md_write(cipher->hmac, head, head_size);
    gcry_md_write(cipher->hmac, rest, rest_size);
    return gcry_md_read(cipher->hmac, GCRY_MD_SHA256);
}

/* Time does not depend on where the tags differ. */
static bool same_tag(const uint8_t *tag, const uint8_t *other)
{
    unsigned difference = 0;

    for (size_t i = 0; i < KDNET_TAG_SIZE; i++)
        difference |= (unsigned)(tag[i] ^ other[i]);
    return difference == 0;
}

static bool decrypt(struct kdnet_cipher *cipher, const uint8_t *iv,
                    const struct kdnet_datagram *datagram, uint8_t *plaintext)
{
    return !gcry_cipher_setiv(cipher->aes, iv, BLOCK_SIZE) &&
           !gcry_cipher_decrypt(cipher->aes, plaintext, datagram->cipher_size,
                                datagram->bytes + datagram->cipher_offset, datagram->cipher_size);
}

/* The body lies between `offset` and the pad, which ends at `end`. */
static enum kdnet_verdict take_body(struct kdnet_plaintext *out, size_t offset, size_t end)
{
    if (out->pad_size >= BLOCK_SIZE || out->pad_size > end - offset)
        return KDNET_BAD_PAD;
    out->body_offset = offset;
    out->body_size = end - offset - out->pad_size;
    return KDNET_OK;
}

static enum kdnet_verdict open_mdbg(struct kdnet_cipher *cipher,
                                    const struct kdnet_datagram *datagram, uint8_t *plaintext,
                                    struct kdnet_plaintext *out, bool verify)
{
    const uint8_t *tag = datagram->bytes + datagram->size - KDNET_TAG_SIZE;
    uint64_t word;

    if (!decrypt(cipher, tag, datagram, plaintext))
        return KDNET_CRYPTO;
    if (verify) {
        const uint8_t *expected =
            compute_tag(cipher, datagram->bytes, HEADER_SIZE, plaintext, datagram->cipher_size);

        if (!expected)
            return KDNET_CRYPTO;
        if (!same_tag(tag, expected))
            return KDNET_BAD_TAG;
    }
    word = kd_get_be64(((const struct kd_kdnet_prefix *)plaintext)->sequence_flags);
    out->sequence = word >> SEQUENCE_SHIFT;
    out->from_debugger = word & FROM_DEBUGGER_FLAG;
    out->pad_size = (uint8_t)(word & PAD_MASK);
    return take_body(out, PREFIX_SIZE, datagram->cipher_size);
}

/* The IV of version 1: AES of sequence field and eight zeros, which is one block of CBC with IV 0.
 */
static bool v1_iv(struct kdnet_cipher *cipher, kd_be64 sequence_flags, uint8_t iv[BLOCK_SIZE])
{
    memset(iv, 0, BLOCK_SIZE);
    memcpy(iv, sequence_flags.b, sizeof sequence_flags.b);
    return !gcry_cipher_setiv(cipher->aes, NULL, 0) &&
           !gcry_cipher_encrypt(cipher->aes, iv, BLOCK_SIZE, NULL, 0);
}

static enum kdnet_verdict open_v1(struct kdnet_cipher *cipher,
                                  const struct kdnet_datagram *datagram, uint8_t *plaintext,
                                  struct kdnet_plaintext *out, bool verify)
{
    const struct kd_kdnet_v1_header *header = (const struct kd_kdnet_v1_header *)datagram->bytes;
    uint64_t word = kd_get_be64(header->sequence_flags);
    size_t end = datagram->cipher_size - KDNET_TAG_SIZE;
    uint8_t iv[BLOCK_SIZE];

    if (!v1_iv(cipher, header->sequence_flags, iv) || !decrypt(cipher, iv, datagram, plaintext))
        return KDNET_CRYPTO;
    if (verify) {
        const uint8_t *expected = compute_tag(cipher, NULL, 0, plaintext, end);

        if (!expected)
            return KDNET_CRYPTO;
        if (!same_tag(plaintext + end, expected))
            return KDNET_BAD_TAG;
    }
    out->sequence = word & ~V1_FROM_DEBUGGER;
    out->from_debugger = word & V1_FROM_DEBUGGER;
    out->pad_size = kd_get8(header->pad_length);
    return take_body(out, 0, end);
}

enum kdnet_verdict kdnet_open(struct kdnet_cipher *cipher, const struct kdnet_datagram *datagram,
                              uint8_t *plaintext, struct kdnet_plaintext *out, bool verify)
{
    *out = (struct kdnet_plaintext){.body_size = 0};
    if (!datagram->cipher_size)
        return KDNET_BAD_SIZE;
    return datagram->v1 ? open_v1(cipher, datagram, plaintext, out, verify)
                        : open_mdbg(cipher, datagram, plaintext, out, verify);
}

static size_t padded_size(bool v1, size_t body_size)
{
    size_t size = v1 ? body_size : PREFIX_SIZE + body_size;

    return (size + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
}

size_t kdnet_sealed_size(uint8_t version, size_t body_size)
{
    bool v1 = version == 1;

    return (v1 ? V1_HEADER_SIZE : HEADER_SIZE) + padded_size(v1, body_size) + KDNET_TAG_SIZE;
}

static enum kdnet_verdict seal_mdbg(struct kdnet_cipher *cipher,
                                    const struct kdnet_message *message, uint8_t *datagram)
{
    struct kd_kdnet_header *header = (struct kd_kdnet_header *)datagram;
    struct kd_kdnet_prefix *prefix = (struct kd_kdnet_prefix *)(datagram + HEADER_SIZE);
    size_t inner = padded_size(false, message->body_size);
    size_t pad = inner - PREFIX_SIZE - message->body_size;
    uint8_t *body = datagram + HEADER_SIZE + PREFIX_SIZE;
    uint8_t *tag = datagram + HEADER_SIZE + inner;
    const uint8_t *computed;

    memcpy(header->magic, magic, sizeof header->magic);
    header->version = kd_put8(message->version);
    header->channel = kd_put8(message->control ? CONTROL_FLAG : 0);
    prefix->sequence_flags = kd_put_be64(message->sequence << SEQUENCE_SHIFT |
                                         (message->from_debugger ? FROM_DEBUGGER_FLAG : 0) | pad);
    if (message->body_size)
        memcpy(body, message->body, message->body_size);
    memset(body + message->body_size, 0, pad);
    computed = compute_tag(cipher, datagram, HEADER_SIZE, datagram + HEADER_SIZE, inner);
    if (!computed)
        return KDNET_CRYPTO;
    memcpy(tag, computed, KDNET_TAG_SIZE);
    if (gcry_cipher_setiv(cipher->aes, tag, BLOCK_SIZE) ||
        gcry_cipher_encrypt(cipher->aes, datagram + HEADER_SIZE, inner, NULL, 0))
        return KDNET_CRYPTO;
    return KDNET_OK;
}

static enum kdnet_verdict seal_v1(struct kdnet_cipher *cipher, const struct kdnet_message *message,
                                  uint8_t *datagram)
{
    struct kd_kdnet_v1_header *header = (struct kd_kdnet_v1_header *)datagram;
    size_t inner = padded_size(true, message->body_size);
    size_t pad = inner - message->body_size;
    uint8_t *body = datagram + V1_HEADER_SIZE;
    uint8_t iv[BLOCK_SIZE];
    const uint8_t *computed;

    memset(header, 0, sizeof *header);
    memcpy(header->magic, magic, sizeof header->magic);
    header->version = kd_put8(message->version);
    header->pad_length = kd_put8((uint8_t)pad);
    header->sequence_flags =
        kd_put_be64(message->sequence | (message->from_debugger ? V1_FROM_DEBUGGER : 0));
    if (message->body_size)
        memcpy(body, message->body, message->body_size);
    memset(body + message->body_size, 0, pad);
    computed = compute_tag(cipher, NULL, 0, body, inner);
    if (!computed || !v1_iv(cipher, header->sequence_flags, iv))
        return KDNET_CRYPTO;
    memcpy(body + inner, computed, KDNET_TAG_SIZE);
    if (gcry_cipher_setiv(cipher->aes, iv, BLOCK_SIZE) ||
        gcry_cipher_encrypt(cipher->aes, body, inner + KDNET_TAG_SIZE, NULL, 0))
        return KDNET_CRYPTO;
    return KDNET_OK;
}

enum kdnet_verdict kdnet_seal(struct kdnet_cipher *cipher, const struct kdnet_message *message,
                              uint8_t *datagram, size_t capacity, size_t *size)
{
    bool v1 = message->version == 1;
    enum kdnet_verdict verdict;
    size_t needed;

    *size = 0;
    /* No UDP payload is larger, so sizes cannot wrap. Version 1 cannot say that a block is all pad.
     */
    if (message->body_size > UINT16_MAX || (v1 && message->body_size == 0))
        return KDNET_BAD_SIZE;
    if (v1 ? message->control || message->sequence >= V1_FROM_DEBUGGER
           : message->sequence >= SEQUENCE_LIMIT)
        return KDNET_BAD_FIELD;
    needed = kdnet_sealed_size(message->version, message->body_size);
    if (needed > capacity)
        return KDNET_NO_ROOM;
    verdict = v1 ? seal_v1(cipher, message, datagram) : seal_mdbg(cipher, message, datagram);
    if (verdict == KDNET_OK)
        *size = needed;
    return verdict;
}

enum kdnet_control_kind kdnet_control_parse(const uint8_t *body, size_t size,
                                            struct kdnet_control *control)
{
    const struct kd_kdnet_poke *poke = (const struct kd_kdnet_poke *)body;
    const struct kd_kdnet_response *response = (const struct kd_kdnet_response *)body;

    *control = (struct kdnet_control){.poke = NULL};
    if (size == 0)
        return KDNET_CONTROL_EMPTY;
    if (size == sizeof *poke && kd_get_be16(poke->message) == KDNET_MESSAGE_POKE) {
        control->poke = poke;
        return KDNET_CONTROL_POKE;
    }
    if (size == sizeof *response && kd_get_be16(response->message) == KDNET_MESSAGE_RESPONSE) {
        control->response = response;
        return KDNET_CONTROL_RESPONSE;
    }
    return KDNET_CONTROL_OTHER;
}

bool kdnet_same_boot(const kd_u8 nonce[KDNET_NONCE_SIZE], const kd_u8 other[KDNET_NONCE_SIZE])
{
    return memcmp(nonce + NONCE_COUNTER_SIZE, other + NONCE_COUNTER_SIZE,
                  KDNET_NONCE_SIZE - NONCE_COUNTER_SIZE) == 0;
}

enum kdnet_verdict kdnet_data_key(const uint8_t control_key[KDNET_KEY_SIZE],
                                  const struct kd_kdnet_response *response,
                                  uint8_t data_key[KDNET_KEY_SIZE])
{
    gcry_md_hd_t hash;
    const uint8_t *digest;

    if (!libgcrypt_ready() || gcry_md_open(&hash, GCRY_MD_SHA256, 0))
        return KDNET_CRYPTO;
    gcry_md_write(hash, control_key, KDNET_KEY_SIZE);
    gcry_md_write(hash, response, sizeof *response);
    digest = gcry_md_read(hash, GCRY_MD_SHA256);
    if (digest)
        memcpy(data_key, digest, KDNET_KEY_SIZE);
    gcry_md_close(hash);
    return digest ? KDNET_OK : KDNET_CRYPTO;
}
