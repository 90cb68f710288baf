# recorded.py - the packets of a serial recording, found without the plugin and without lib/kd.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What statistics are compared with: packets counted from the bytes of a {t,dir,hex} recording.

Good for recordings of a line without damage: a packet begins with four equal leader bytes and a
known type, its checksum must be right, and what stands between packets is a break-in or noise.
"""

import struct
from typing import NamedTuple

from kdtest import HOST_TO_TARGET, TARGET_TO_HOST

DATA, CONTROL = b"0000", b"iiii"
MANIPULATE, DEBUG_IO, ACKNOWLEDGE, RESEND, RESET, STATE_CHANGE, FILE_IO = 2, 3, 4, 5, 6, 7, 11
BREAK_IN = 0x62
HEADER = 16


class Packet(NamedTuple):
    """A packet, or a break-in (type 0)."""

    nanoseconds: int  # of its last byte
    chunk: int        # number of the chunk that holds it, from 1
    direction: str
    type: int
    id: int
    payload: bytes
    size: int  # bytes on the line

    def number(self, offset: int, form: str = "<I") -> int:
        """An integer of the payload."""
        return struct.unpack_from(form, self.payload, offset)[0] \
            if offset + struct.calcsize(form) <= len(self.payload) else 0

    @property
    def api(self) -> int:
        return self.number(0)


class _Line:
    """One direction: bytes, and the chunk each came with."""

    def __init__(self, direction: str):
        self.direction = direction
        self.bytes = bytearray()
        self.origin: list[tuple[int, int]] = []

    def add(self, chunk: int, nanoseconds: int, data: bytes) -> None:
        self.bytes += data
        self.origin += [(nanoseconds, chunk)] * len(data)

    def packet_at(self, at: int) -> Packet | None:
        leader = bytes(self.bytes[at:at + 4])
        if leader not in (DATA, CONTROL) or at + HEADER > len(self.bytes):
            return None
        kind, count, number, checksum = struct.unpack_from("<HHII", self.bytes, at + 4)
        end = at + HEADER + count + (leader == DATA)
        payload = bytes(self.bytes[at + HEADER:at + HEADER + count])
        if not 1 <= kind <= 12 or end > len(self.bytes):
            return None
        if leader == DATA and sum(payload) & 0xFFFFFFFF != checksum:
            return None
        if leader == CONTROL and (count or kind not in (ACKNOWLEDGE, RESEND, RESET)):
            return None
        nanoseconds, chunk = self.origin[end - 1]
        return Packet(nanoseconds, chunk, self.direction, kind, number, payload, end - at)

    def packets(self):
        at = 0
        while at < len(self.bytes):
            packet = self.packet_at(at)
            if packet:
                yield packet
                at += packet.size
                continue
            if self.direction == HOST_TO_TARGET and self.bytes[at] == BREAK_IN:
                nanoseconds, chunk = self.origin[at]
                yield Packet(nanoseconds, chunk, self.direction, 0, 0, b"", 1)
            at += 1


def packets(chunks) -> list[Packet]:
    """All packets and break-ins of both directions, in the order in which they ended."""
    lines = {direction: _Line(direction) for direction in (HOST_TO_TARGET, TARGET_TO_HOST)}
    for number, chunk in enumerate(chunks, 1):
        lines[chunk.direction].add(number, chunk.nanoseconds, chunk.data)
    found = [packet for line in lines.values() for packet in line.packets()]
    return sorted(found, key=lambda packet: packet.chunk)
