# kdnetseal.py - KDNET datagrams: key text, data key, sealing of versions 1 to 5, control messages.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Independent sealing of KDNET datagrams, written from the protocol reference.

    control = key_bytes("1.2.3.4")
    datagram = seal(control, control, 5, CONTROL, 3, False, poke(...))
    data = data_key(control, response_body)
    datagram = seal(control, data, 5, DATA, 1, False, announce("192.0.2.1"))
"""

import hashlib
import hmac
import ipaddress
import struct

from aes import Aes256

DATA, CONTROL = 0, 1
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def key_bytes(text: str) -> bytes:
    """The 32 bytes of a dotted key: four base-36 numbers, each little-endian."""
    parts = [int(part, 36) for part in text.split(".")]
    return struct.pack("<4Q", *parts)


def key_text(key: bytes) -> str:
    """The dotted key of 32 bytes."""

    def base36(number: int) -> str:
        text = ""
        while number or not text:
            number, digit = divmod(number, 36)
            text = DIGITS[digit] + text
        return text

    return ".".join(base36(number) for number in struct.unpack("<4Q", key))


def data_key(control_key: bytes, response_body: bytes) -> bytes:
    """The AES key of the data channel that a response opens."""
    return hashlib.sha256(control_key + response_body).digest()


def _tag(control_key: bytes, message: bytes) -> bytes:
    hmac_key = bytes(byte ^ 0xFF for byte in control_key)
    return hmac.new(hmac_key, message, hashlib.sha256).digest()[:16]


def seal(control_key: bytes, aes_key: bytes, version: int, channel: int, sequence: int,
         from_debugger: bool, body: bytes, pad: int | None = None) -> bytes:
    """An "MDBG" datagram. pad overrides the pad length that is written, not the padding."""
    padding = -(8 + len(body)) % 16
    flags = (0x80 if from_debugger else 0) | (padding if pad is None else pad)
    header = struct.pack(">4sBB", b"MDBG", version, channel)
    plaintext = struct.pack(">Q", sequence << 8 | flags) + body + bytes(padding)
    tag = _tag(control_key, header + plaintext)
    return header + Aes256(aes_key).encrypt_cbc(tag, plaintext) + tag


def seal_v1(key: bytes, sequence: int, from_debugger: bool, body: bytes) -> bytes:
    """An "MD" datagram: the sequence in clear, the tag inside the ciphertext."""
    padding = -len(body) % 16
    number = struct.pack(">Q", sequence | (1 << 63 if from_debugger else 0))
    header = struct.pack(">2s3sB", b"MD", b"\x01\0\0", padding) + number
    padded = body + bytes(padding)
    cipher = Aes256(key)
    initial = cipher.encrypt_block(number + bytes(8))
    return header + cipher.encrypt_cbc(initial, padded + _tag(key, padded))


def address_bytes(address: str) -> bytes:
    """16 bytes of an address; IPv4 is mapped into IPv6."""
    parsed = ipaddress.ip_address(address)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def poke(nonce: bytes, target: tuple, debugger: tuple, connected: tuple) -> bytes:
    """A poke; the ends are (address, port)."""
    assert len(nonce) == 32
    ends = b"".join(address_bytes(address) + struct.pack(">H", port)
                    for address, port in (target, debugger, connected))
    return b"\x01\x01" + nonce + ends + bytes(256)


def response(nonce: bytes, random: bytes) -> bytes:
    """The debugger's answer to a poke."""
    assert len(nonce) == len(random) == 32
    return b"\x01\x02" + nonce + random + bytes(256)


def announce(debugger: str, sequence_start: int = 0) -> bytes:
    """The target's first data datagram. The address is IPv4; IPv6 targets send none."""
    reversed_address = ipaddress.ip_address(debugger).packed[::-1]
    return struct.pack("<Q", sequence_start) + reversed_address[:4]
