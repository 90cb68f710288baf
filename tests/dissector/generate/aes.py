# aes.py - AES-256 encryption (FIPS 197) in a few tables: one block, and CBC.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""AES-256 encryption for the captures' KDNET datagrams.

The standard library has no AES. Captures are only ever sealed here, so there is no decryption; and
the keys are published beside the captures, so nothing here tries to resist timing attacks.
"""

import struct


def _gf_double(value: int) -> int:
    """value times x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    value <<= 1
    return value ^ 0x11B if value & 0x100 else value


def _make_sbox() -> bytes:
    # 3 generates the multiplicative group, so powers of 3 give logarithms, and those inverses.
    power = [1]
    for _ in range(254):
        power.append(power[-1] ^ _gf_double(power[-1]))
    log = {value: exponent for exponent, value in enumerate(power)}

    def substitute(value: int) -> int:
        inverse = power[-log[value] % 255] if value else 0
        spread = inverse * 0x101  # rotations of a byte are shifts of the doubled byte
        return 0x63 ^ inverse ^ (spread >> 7 ^ spread >> 6 ^ spread >> 5 ^ spread >> 4) & 0xFF

    return bytes(substitute(value) for value in range(256))


SBOX = _make_sbox()


def _make_columns() -> list[int]:
    """SubBytes and MixColumns of one byte: the column it contributes, for row 0."""
    columns = []
    for value in SBOX:
        two = _gf_double(value)
        columns.append(two << 24 | value << 16 | value << 8 | two ^ value)
    return columns


def _rotate(word: int, bits: int) -> int:
    return (word >> bits | word << 32 - bits) & 0xFFFFFFFF


ROW0 = _make_columns()
ROW1, ROW2, ROW3 = ([_rotate(column, bits) for column in ROW0] for bits in (8, 16, 24))


def _substitute_word(word: int) -> int:
    return int.from_bytes(bytes(SBOX[byte] for byte in word.to_bytes(4, "big")), "big")


class Aes256:
    """AES with one 32-byte key."""

    ROUNDS = 14

    def __init__(self, key: bytes):
        words = list(struct.unpack(">8I", key))
        round_constant = 1
        while len(words) < 4 * (self.ROUNDS + 1):
            word = words[-1]
            if len(words) % 8 == 0:
                word = _substitute_word(_rotate(word, 24)) ^ round_constant << 24
                round_constant = _gf_double(round_constant)
            elif len(words) % 8 == 4:
                word = _substitute_word(word)
            words.append(words[-8] ^ word)
        self._round_keys = [words[start:start + 4] for start in range(0, len(words), 4)]

    def encrypt_block(self, block: bytes) -> bytes:
        """One block of 16 bytes."""
        keys = self._round_keys
        state = [word ^ key for word, key in zip(struct.unpack(">4I", block), keys[0])]
        for round_key in keys[1:-1]:
            state = [ROW0[state[i] >> 24] ^ ROW1[state[(i + 1) % 4] >> 16 & 0xFF]
                     ^ ROW2[state[(i + 2) % 4] >> 8 & 0xFF] ^ ROW3[state[(i + 3) % 4] & 0xFF]
                     ^ round_key[i] for i in range(4)]
        last = [SBOX[state[i] >> 24] << 24 | SBOX[state[(i + 1) % 4] >> 16 & 0xFF] << 16
                | SBOX[state[(i + 2) % 4] >> 8 & 0xFF] << 8 | SBOX[state[(i + 3) % 4] & 0xFF]
                for i in range(4)]
        return struct.pack(">4I", *(word ^ key for word, key in zip(last, keys[-1])))

    def encrypt_cbc(self, initial: bytes, plaintext: bytes) -> bytes:
        """Cipher block chaining; the plaintext is whole blocks."""
        assert len(plaintext) % 16 == 0
        blocks = []
        previous = initial
        for start in range(0, len(plaintext), 16):
            block = bytes(a ^ b for a, b in zip(previous, plaintext[start:start + 16]))
            previous = self.encrypt_block(block)
            blocks.append(previous)
        return b"".join(blocks)
