# kdoracle.py - a KD session decoded without lib/kd: what the verbs that analyse captures must say.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Decodes chunks of a session (export --jsonl, or a recording) by the protocol's description alone.

  Session(chunks)   .reads, .writes, .prints, .stops, .files, .memory, .physical, .requests
Offsets are those of the public structures: header 16 bytes; manipulate: ApiNumber 0, status 8,
union 16, data 56; state change: state 0, processor 6, pc 24, union 32, report 192.
"""

import struct
from collections import Counter
from dataclasses import dataclass, field

DATA, CONTROL = b"0000", b"iiii"
STATE_MANIPULATE, DEBUG_IO, STATE_CHANGE64, FILE_IO = 2, 3, 7, 11
READ, WRITE, READ_PHYSICAL, WRITE_PHYSICAL = 0x3130, 0x3131, 0x313D, 0x313E
CONTINUES = (0x3136, 0x313C)
SEARCH, FILL = 0x3156, 0x315B


@dataclass
class Packet:
    to_target: bool
    type: int
    id: int
    payload: bytes


@dataclass
class Stop:
    state: int
    processor: int
    pc: int
    code: int
    base: int
    unload: bool
    cs: int
    path: bytes
    requests: list[int] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)  # bytes of each
    ended_by: int = 0


def packets(chunks) -> list[Packet]:
    """Data packets with a good checksum, in the order in which they were complete."""
    found, buffers = [], {True: b"", False: b""}
    for chunk in chunks:
        to_target = chunk.direction == "h2t"
        rest = buffers[to_target] + chunk.data
        while len(rest) >= 16:
            leader = rest[:4]
            kind, size, number, checksum = struct.unpack_from("<HHII", rest, 4)
            if leader == CONTROL and kind in (4, 5, 6) and size == 0:
                rest = rest[16:]
                continue
            if leader != DATA or not 1 <= kind <= 11 or size > 4000:
                rest = rest[1:]
                continue
            if len(rest) < 17 + size:
                break
            payload = rest[16:16 + size]
            if sum(payload) & 0xFFFFFFFF == checksum:
                found.append(Packet(to_target, kind, number, payload))
                rest = rest[17 + size:]
            else:
                rest = rest[1:]
        buffers[to_target] = rest
    return found


class Session:
    def __init__(self, chunks):
        self.requests: Counter[int] = Counter()
        self.reads: list[tuple[int, bytes, bool]] = []   # address, bytes, physical
        self.writes: list[tuple[int, bytes, bool]] = []  # those that were done
        self.prints: list[bytes] = []
        self.stops: list[Stop] = []
        self.file_requests: Counter[int] = Counter()
        self.memory: dict[int, int] = {}
        self.physical: dict[int, int] = {}
        self._request = b""
        last = {True: None, False: None}
        for packet in packets(chunks):
            seen = (packet.type, packet.payload, packet.id & ~0x800)
            if last[packet.to_target] == seen:
                continue  # sent again
            last[packet.to_target] = seen
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        if packet.type == STATE_MANIPULATE and packet.to_target:
            self._asked(packet.payload)
        elif packet.type == STATE_MANIPULATE:
            self._answered(packet.payload)
        elif packet.type == STATE_CHANGE64:
            self._stopped(packet.payload)
        elif packet.type == DEBUG_IO and not packet.to_target and packet.payload[:2] == b"\x30\x32":
            length, = struct.unpack_from("<I", packet.payload, 8)
            self.prints.append(packet.payload[16:16 + length])
        elif packet.type == FILE_IO and not packet.to_target:
            self.file_requests[struct.unpack_from("<I", packet.payload)[0]] += 1

    def _asked(self, payload: bytes) -> None:
        api, = struct.unpack_from("<I", payload)
        self.requests[api] += 1
        self._request = payload
        if self.stops and not self.stops[-1].ended_by:
            self.stops[-1].requests.append(api)
            if api in CONTINUES:
                self.stops[-1].ended_by = api

    def _answered(self, payload: bytes) -> None:
        api, status = struct.unpack_from("<I4xI", payload)
        address, asked, actual = struct.unpack_from("<QII", payload, 16)
        physical = api in (READ_PHYSICAL, WRITE_PHYSICAL)
        if api in (READ, READ_PHYSICAL):
            data = payload[56:56 + actual]
            self.reads.append((address, data, physical))
            if self.stops and not self.stops[-1].ended_by:
                self.stops[-1].reads.append(len(data))
            self._store(address, data, physical)
        elif api in (WRITE, WRITE_PHYSICAL) and actual:
            data = self._request[56:56 + actual]
            self.writes.append((address, data, physical))
            self._store(address, data, physical)
        elif api == FILL and status < 0x80000000:
            address, _, flags, pattern = struct.unpack_from("<QIHH", self._request, 16)
            done, = struct.unpack_from("<I", payload, 24)
            data = (self._request[56:56 + pattern] * (done // pattern + 1))[:done]
            self._store(address, data, bool(flags & 2))
        elif api == SEARCH and status < 0x80000000:
            size, = struct.unpack_from("<I", self._request, 32)
            self._store(address, self._request[56:56 + size], False)

    def _store(self, address: int, data: bytes, physical: bool) -> None:
        memory = self.physical if physical else self.memory
        for i, value in enumerate(data):
            memory[address + i] = value

    def _stopped(self, payload: bytes) -> None:
        state, processor, pc = struct.unpack_from("<I2xH16xQ", payload)
        code, = struct.unpack_from("<I", payload, 32)
        base, = struct.unpack_from("<Q", payload, 40)
        cs, = struct.unpack_from("<H", payload, 232)
        count, = struct.unpack_from("<H", payload, 192 + 20)
        self.stops.append(Stop(state, processor, pc, code, base, bool(payload[64]), cs,
                               payload[240:].split(b"\0")[0]))
        self._store(pc, payload[216:216 + min(count, 16)], False)

    def count(self, physical: bool = False) -> tuple[int, int]:
        """Reads that were answered, and their bytes."""
        sizes = [len(data) for _, data, p in self.reads if p == physical]
        return len(sizes), sum(sizes)
