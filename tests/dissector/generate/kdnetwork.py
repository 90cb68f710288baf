# kdnetwork.py - ways to carry KD over a network: KDNET conversations and TCP connections.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Paths for kdscript.Link below which there is a network: KdnetPath and TcpPath."""

import struct

import capturefile
import kdnetseal
from capturefile import ACK, FIN, PSH, SYN, End
from kdnetseal import CONTROL, DATA
from kdscript import DEBUGGER, OTHER, TARGET, Frame, Item, Story, UdpPath, pseudo_random

POKE, RESPONSE = 0x0101, 0x0102
NOBODY = {4: ("0.0.0.0", 0), 16: ("::ffff:0.0.0.0", 0)}


class KdnetPath(UdpPath):
    """A KDNET conversation: seals what passes, and plays the control channel.

    version is what the target sends; the debugger answers version 3 with 2.
    """

    def __init__(self, story: Story, interface: int, target: End, debugger: End, key: str,
                 version: int):
        super().__init__(story, interface, target, debugger)
        self.control_key = kdnetseal.key_bytes(key)
        self.version = {TARGET: version, DEBUGGER: 2 if version == 3 else version}
        self.session = 0
        self.connected = False
        self._data_key = self.control_key if version == 1 else b""
        self._poke_sequence = 0
        self._last = {TARGET: 0, DEBUGGER: 0}
        self.boot(f"{story.name} boot")

    def boot(self, label: str) -> None:
        """The target starts: another nonce, whose first dword counts pokes."""
        self._nonce_tail = pseudo_random(label, 28)
        self._pokes = 0
        self.connected = False

    # --- data channel

    def emit(self, item: Item) -> Item:
        sequence = self.next_sequence(item.sender)
        return self.sealed(item, sequence)

    def next_sequence(self, sender: str) -> int:
        step = 2 if self.version[TARGET] == 1 and sender == DEBUGGER else 1
        self._last[sender] += step
        return self._last[sender]

    def skip(self, sender: str, count: int) -> None:
        """Datagrams that the recorder lost."""
        for _ in range(count):
            self.next_sequence(sender)

    def sealed(self, item: Item, sequence: int, bit: str | None = None) -> Item:
        """A data datagram. bit: whom the direction bit names, by default the sender."""
        payload = self.seal(DATA, sequence, bit or item.sender, item.data)
        item.facts.update(self.data_facts(sequence, bit or item.sender))
        return self.datagram(item, payload)

    def data_facts(self, sequence: int, bit: str) -> dict:
        facts = {"kdnet.version": self.version[bit], "kdnet.sequence": sequence,
                 "kdnet.from_debugger": bit == DEBUGGER}
        if self.version[TARGET] != 1:
            facts |= {"kdnet.channel": DATA, "kdnet.session": self.session}
        return facts

    def seal(self, channel: int, sequence: int, bit: str, body: bytes) -> bytes:
        """The datagram with these parts."""
        from_debugger = bit == DEBUGGER
        if self.version[TARGET] == 1:
            return kdnetseal.seal_v1(self.control_key, sequence, from_debugger, body)
        key = self._data_key if channel == DATA else self.control_key
        return kdnetseal.seal(self.control_key, key, self.version[bit], channel, sequence,
                              from_debugger, body)

    def announce(self) -> Item:
        """The target's first data datagram."""
        start = 0
        if self.version[TARGET] == 1:
            start = 1 << 63 | 5
            self._last[DEBUGGER] = 5
        body = kdnetseal.announce(self._announced_address(), start)
        self.connected = True
        return self.emit(Item(TARGET, body, "announce",
                              {"kd.type": None, "kdnet.announce.sequence_start": start}))

    def _announced_address(self) -> str:
        debugger = self.ends[DEBUGGER]
        return debugger.address if len(debugger.packed) == 4 else "0.0.0.0"

    # --- control channel

    def poke(self, version: int | None = None, facts: dict | None = None) -> tuple[Item, bytes]:
        """The target asks for a session, or shows that it is alive; the item and the nonce."""
        self._pokes += 1
        self._poke_sequence += 3
        nonce = struct.pack("<I", self._pokes) + self._nonce_tail
        target, debugger = self.ends[TARGET], self.ends[DEBUGGER]
        connected = ((debugger.address, debugger.port) if self.connected
                     else NOBODY[len(debugger.packed)])
        body = kdnetseal.poke(nonce, (target.address, target.port),
                              (debugger.address, debugger.port), connected)
        version = self.version[TARGET] if version is None else version
        payload = kdnetseal.seal(self.control_key, self.control_key, version, CONTROL,
                                 self._poke_sequence, False, body)
        shown = {"kdnet.version": version, "kdnet.channel": CONTROL, "kd.type": None}
        if facts is None:
            shown |= {"kdnet.message": POKE, "kdnet.sequence": self._poke_sequence,
                      "kdnet.from_debugger": False, "kdnet.poke.nonce": nonce,
                      "kdnet.poke.target_port": target.port,
                      "kdnet.poke.connected_port": connected[1]}
        item = Item(TARGET, body, "poke", shown | (facts or {}))
        return self.datagram(item, payload), nonce

    def respond(self, nonce: bytes) -> Item:
        """The debugger answers a poke: a new data key, and sequences from the start."""
        self.session += 1
        random = pseudo_random(f"{self.story.name} {self.ends[TARGET]} {self.session}", 32)
        body = kdnetseal.response(nonce, random)
        sequence = self._poke_sequence
        payload = self.seal(CONTROL, sequence, DEBUGGER, body)
        self._data_key = kdnetseal.data_key(self.control_key, body)
        self._last = {TARGET: 0, DEBUGGER: 0}
        facts = {"kdnet.version": self.version[DEBUGGER], "kdnet.channel": CONTROL,
                 "kdnet.message": RESPONSE, "kdnet.sequence": sequence,
                 "kdnet.from_debugger": True, "kdnet.response.nonce": nonce,
                 "kdnet.response.random": random, "kd.type": None}
        return self.datagram(Item(DEBUGGER, body, "response", facts), payload)

    def connect(self) -> None:
        """Poke, response, announce."""
        _, nonce = self.poke()
        self.respond(nonce)
        self.announce()

    def knock(self) -> Item:
        """An empty control datagram: the debugger, told the target's address, asks for a poke."""
        payload = kdnetseal.seal(self.control_key, self.control_key, 2, CONTROL, 0, True, b"")
        return self.datagram(Item(DEBUGGER, b"", "empty control datagram", {
            "kdnet.version": 2, "kdnet.channel": CONTROL, "kdnet.sequence": 0,
            "kdnet.from_debugger": True, "kdnet.message": None, "kd.type": None}), payload)

    def raw(self, sender: str, payload: bytes, title: str, facts: dict) -> Item:
        """Any UDP payload."""
        return self.datagram(Item(sender, payload, title, {"kd.type": None} | facts), payload)


class TcpPath:
    """A TCP connection. What one end sends in a row lies in segments cut anywhere.

    Items are collected until the other end has something to send, or until flush().
    """

    trailer = b"\xaa"
    serial_ids = True

    def __init__(self, story: Story, interface: int, target: End, debugger: End, cut: int):
        self.story = story
        self._interface = interface
        self._ends = {TARGET: target, DEBUGGER: debugger}
        self._next = {TARGET: 0x10000000, DEBUGGER: 0x20000000}
        self._cut = cut
        self._pending: list[Item] = []

    def _segment(self, sender: str, sequence: int, flags: int, data: bytes, title: str) -> Frame:
        ends = self._ends[sender], self._ends[OTHER[sender]]
        acknowledged = self._next[OTHER[sender]] if flags & ACK else 0
        bytes_of_frame = capturefile.tcp(*ends, sequence, acknowledged, flags, data,
                                         len(self.story.frames) + 1)
        frame = self.story.record(sender, bytes_of_frame, self._interface)
        frame.titles.append(title)
        return frame

    def _bare(self, sender: str, flags: int, title: str) -> None:
        self._segment(sender, self._next[sender], flags, b"", title).parts.append({"kd.type": None})
        self._next[sender] += bool(flags & (SYN | FIN))

    def open(self, first: str) -> None:
        """The three-way handshake."""
        self._bare(first, SYN, "SYN")
        self._bare(OTHER[first], SYN | ACK, "SYN ACK")
        self._bare(first, ACK, "TCP ACK")

    def close(self, first: str) -> None:
        self.flush()
        self._bare(first, FIN | ACK, "FIN")
        self._bare(OTHER[first], FIN | ACK, "FIN")
        self._bare(first, ACK, "TCP ACK")

    def emit(self, item: Item) -> Item:
        if self._pending and self._pending[0].sender != item.sender:
            self.flush()
        self._pending.append(item)
        return item

    def flush(self, sizes: list[int] | None = None, order: list[int] | None = None,
              repeat: int | None = None) -> None:
        """Send what is collected. sizes: of the segments; order: in which they appear in the
        capture; repeat: a segment that appears twice."""
        if not self._pending:
            return
        sender = self._pending[0].sender
        data = b"".join(item.data for item in self._pending)
        cuts = self._cuts(len(data), sizes)
        order = list(range(len(cuts))) if order is None else order
        ends = [cuts[n][1] for n in range(len(cuts))]
        arrived: set[int] = set()
        waiting = list(self._pending)
        self._pending = []
        done = 0
        for number in order:
            start, end = cuts[number]
            frame = self._segment(sender, self._next[sender] + start, PSH | ACK, data[start:end],
                                  f"segment {number + 1} of {len(cuts)}")
            arrived.add(number)
            complete = max((ends[n] for n in range(len(cuts)) if arrived >= set(range(n + 1))),
                           default=0)
            while waiting and done + len(waiting[0].data) <= complete:
                done += len(waiting[0].data)
                self._complete(waiting.pop(0), frame)
            if not frame.parts:
                frame.parts.append({"kd.type": None})
            if number == repeat:
                again = self._segment(sender, self._next[sender] + start, PSH | ACK,
                                      data[start:end], f"segment {number + 1} again")
                again.parts.append({"kd.type": None})
        self._next[sender] += len(data)
        self._bare(OTHER[sender], ACK, "TCP ACK")

    def _cuts(self, total: int, sizes: list[int] | None) -> list[tuple[int, int]]:
        cuts = []
        start = 0
        for size in sizes or []:
            cuts.append((start, min(start + size, total)))
            start += size
        while start < total:
            cuts.append((start, min(start + self._cut, total)))
            start += self._cut
        return cuts

    @staticmethod
    def _complete(item: Item, frame: Frame) -> None:
        item.frame = frame
        frame.titles.append(item.title)
        frame.parts.append(item.facts)

