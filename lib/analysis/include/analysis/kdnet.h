/* kdnet.h - KDNET datagrams: recognising, opening and sealing them; the data channel's key.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * kdnet_classify looks at the clear bytes only. A struct kdnet_cipher opens and seals the datagrams
 * of one channel: the control channel and version 1 with the control key itself, the data channel
 * of versions 2 to 5 with kdnet_data_key of the latest response. Every tag is keyed by the control
 * key. Nothing is kept from one datagram to the next: sequence numbers, the order of sessions and
 * which way a datagram should have gone are for the caller to judge.
 *
 * A cipher may be used by one thread at a time. Layouts are those of kd/kdnet.def.
 */
#ifndef ANALYSIS_KDNET_H
#define ANALYSIS_KDNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/kdnet_key.h"
#include "kd/protocol.h"

#define KDNET_TAG_SIZE   16
#define KDNET_NONCE_SIZE sizeof(((const struct kd_kdnet_poke *)0)->nonce)

enum kdnet_datagram_kind {
    KDNET_KIND_OTHER,   /* not KDNET */
    KDNET_KIND_LENGTH,  /* the magic of KDNET, but a length that no datagram has */
    KDNET_KIND_VERSION, /* "MDBG" and a version that WinDbg refuses */
    KDNET_KIND_FLAGS,   /* header bits set that no version defines; WinDbg refuses those of MDBG */
    KDNET_KIND_CONTROL,
    KDNET_KIND_DATA,
    KDNET_KIND_V1, /* "MD": data channel only */
};

struct kdnet_datagram {
    enum kdnet_datagram_kind kind;
    const uint8_t *bytes; /* the caller's, who keeps them as long as the struct is used */
    size_t size;
    bool v1;               /* "MD" */
    bool control;          /* by the channel bit, whatever the kind */
    uint8_t version;       /* as sent; 0 when the datagram ends before it */
    uint8_t unknown_flags; /* of the channel byte; MD: of the two bytes after the version */
    size_t cipher_offset;
    size_t cipher_size; /* a multiple of 16; 0 when the length is impossible: cannot be opened */
};

/* Of several faults the first in the order version, flags, length is the kind. */
enum kdnet_datagram_kind kdnet_classify(const uint8_t *bytes, size_t size,
                                        struct kdnet_datagram *datagram);

enum kdnet_verdict {
    KDNET_OK,
    KDNET_BAD_TAG,   /* another key, or damaged */
    KDNET_BAD_PAD,   /* the pad is longer than 15 bytes or than the body */
    KDNET_BAD_SIZE,  /* open: no ciphertext; seal: body too large, or none in version 1 */
    KDNET_BAD_FIELD, /* seal: a sequence number or channel that the version cannot express */
    KDNET_NO_ROOM,   /* seal: the caller's buffer is too small */
    KDNET_CRYPTO,    /* libgcrypt failed */
};

struct kdnet_cipher;

/* NULL when libgcrypt fails or memory is short. Sets up libgcrypt if the program has not. */
struct kdnet_cipher *kdnet_cipher_new(const uint8_t aes_key[KDNET_KEY_SIZE],
                                      const uint8_t control_key[KDNET_KEY_SIZE]);
void kdnet_cipher_free(struct kdnet_cipher *cipher);

struct kdnet_plaintext {
    uint64_t sequence; /* 56 bits; version 1: 63 */
    bool from_debugger;
    uint8_t pad_size;
    size_t body_offset; /* in the plaintext */
    size_t body_size;
};

/* Decrypts datagram->cipher_size bytes to `plaintext`, which must not overlap the datagram. Any
 * kind with a ciphertext can be opened, also the refused ones. Without `verify` the tag is not
 * checked: for datagrams that were found authentic before. With a verdict other than KDNET_OK the
 * plaintext means nothing and `out` has body_size 0; with KDNET_BAD_PAD its sequence and direction
 * are authentic. */
enum kdnet_verdict kdnet_open(struct kdnet_cipher *cipher, const struct kdnet_datagram *datagram,
                              uint8_t *plaintext, struct kdnet_plaintext *out, bool verify);

struct kdnet_message {
    uint8_t version; /* 1 makes an "MD" datagram, any other byte an "MDBG" one */
    bool control;
    bool from_debugger;
    uint64_t sequence;
    const uint8_t *body;
    size_t body_size;
};

/* Bytes that kdnet_seal writes for a body. */
size_t kdnet_sealed_size(uint8_t version, size_t body_size);

/* The inverse of kdnet_open: writes a whole datagram, not overlapping the body, and its size. */
enum kdnet_verdict kdnet_seal(struct kdnet_cipher *cipher, const struct kdnet_message *message,
                              uint8_t *datagram, size_t capacity, size_t *size);

enum kdnet_control_kind {
    KDNET_CONTROL_OTHER,
    KDNET_CONTROL_EMPTY, /* no body: asks the target to poke at once */
    KDNET_CONTROL_POKE,
    KDNET_CONTROL_RESPONSE,
};

struct kdnet_control {
    const struct kd_kdnet_poke *poke;         /* the body itself, or NULL */
    const struct kd_kdnet_response *response; /* the body itself, or NULL */
};

/* The body of an authentic control datagram. */
enum kdnet_control_kind kdnet_control_parse(const uint8_t *body, size_t size,
                                            struct kdnet_control *control);

/* Whether two nonces come from one run of the target: all but the counter is equal. */
bool kdnet_same_boot(const kd_u8 nonce[KDNET_NONCE_SIZE], const kd_u8 other[KDNET_NONCE_SIZE]);

/* The AES key of the data channel that a response opens. */
enum kdnet_verdict kdnet_data_key(const uint8_t control_key[KDNET_KEY_SIZE],
                                  const struct kd_kdnet_response *response,
                                  uint8_t data_key[KDNET_KEY_SIZE]);

#endif
