#!/usr/bin/env python3
# vmbusread.py - the goldens of VMBus captures that real guests made.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Usage: vmbusread.py CAPTURE...      prints the golden of each

A message is taken apart, and what comes out is handed to the encoder of the stories (vmbuswire.py,
written from the protocol reference). The encoder must make the same bytes again; then what it says
of the message are the facts. So a guest's bytes prove the encoder, and the encoder's facts are what
the dissector must show. Requests and answers are paired here once more.

Recorded captures are named vmbus-recorded-*; what they hold was read by a person once.
"""

import json
import struct
import sys
import uuid
from pathlib import Path

import vmbuswire as vm
from kdscript import DEBUGGER, TARGET, Frame, Story
from vmbusscript import MESSAGE, MSR, PACKET, SIGNAL, TO_GUEST

HEAD = struct.Struct("<BBBBHBB10I")
NAMES = ("version", "kind", "direction", "flags", "head_size", "sint", "_", "vp", "connection",
         "relid", "status", "number", "ring_size", "ring_write", "ring_read", "ring_start", "flag")
INTEGRATION = (vm.HEARTBEAT, vm.SHUTDOWN, vm.TIME_SYNC, vm.KVP)
ANSWERS = {3: 4, 5: 6, 8: 10, 11: 12, 14: 15, 16: 17, 21: 23, 22: 24}


class Event:
    """One record."""

    def __init__(self, number: int, nanoseconds: int, record: bytes):
        self.frame = number
        self.nanoseconds = nanoseconds
        self.head = dict(zip(NAMES, HEAD.unpack_from(record)))
        self.data = record[self.head["head_size"]:]
        self.to_guest = self.head["direction"] == TO_GUEST


def events(path: Path) -> list[Event]:
    """The upper-PDU records of a little-endian pcapng file with times in nanoseconds or less."""
    data, at, found, unit = path.read_bytes(), 0, [], 1000
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 1 and b"\x09\x00\x01\x00\x09" in data[at:at + length]:
            unit = 1
        if kind == 6:
            high, low, size = struct.unpack_from("<III", data, at + 12)
            record, tag = data[at + 28:at + 28 + size], 0
            while struct.unpack_from(">H", record, tag)[0]:
                tag += 4 + struct.unpack_from(">H", record, tag + 2)[0]
            found.append(Event(len(found) + 1, ((high << 32) | low) * unit, record[tag + 4:]))
        at += length
    return found


# --- messages


def _guid(data: bytes, at: int) -> str:
    return str(uuid.UUID(bytes_le=bytes(data[at:at + 16])))


def _offer(data: bytes, words: tuple) -> vm.Message:
    flags, mmio = struct.unpack_from("<HH", data, 56)
    (sub_channel, _, relid, monitor, allocated, dedicated,
     connection) = struct.unpack_from("<HHIBBHI", data, 180)
    pipe = flags & vm.NAMED_PIPE
    return vm.offer(relid, _guid(data, 8), _guid(data, 24), flags, connection,
                    struct.unpack_from("<I", data, 60)[0] if pipe else None,
                    data[64 if pipe else 60:180], sub_channel,
                    monitor if allocated else None, mmio, bool(dedicated))


def _contact(data: bytes, words: tuple) -> vm.Message:
    version, vp, low, high = words[2:6]
    monitor = struct.unpack_from("<QQ", data, 24)
    if version < 0x50000:
        return vm.initiate_contact(version, vp, high << 32 | low, monitor)
    return vm.initiate_contact5(version, low & 0xFF, low >> 8 & 0xFF, vp, high, monitor)


def _header(data: bytes, words: tuple) -> vm.Message:
    size, count = struct.unpack_from("<HH", data, 16)
    return vm.gpadl_header(words[2], words[3], data[20:], count, size)


def _rebuilt(data: bytes, version: int) -> vm.Message:
    """The message that the encoder makes of what stands in these bytes."""
    words = struct.unpack_from(f"<{len(data) // 4}I", data)
    state = data[9] if len(data) > 9 else 0
    by_type = {
        1: lambda: _offer(data, words),
        2: lambda: vm.relid_message(2, "rescind", words[2]),
        3: lambda: vm.plain(3, "request offers"),
        4: lambda: vm.plain(4, "all offers"),
        5: lambda: vm.open_channel(words[2], words[4], words[6], words[3], words[5],
                                   data[28:148]),
        6: lambda: vm.open_result(*words[2:5]),
        7: lambda: vm.relid_message(7, "close", words[2]),
        8: lambda: _header(data, words),
        9: lambda: vm.gpadl_body(words[3], words[2],
                                 list(struct.unpack_from(f"<{len(data) // 8 - 2}Q", data, 16))),
        10: lambda: vm.gpadl_created(*words[2:5]),
        11: lambda: vm.gpadl_teardown(*words[2:4]),
        12: lambda: vm.gpadl_torndown(words[2]),
        13: lambda: vm.relid_message(13, "released", words[2]),
        14: lambda: _contact(data, words),
        15: lambda: (vm.version_response(data[8], words[3], state) if version < 0x50000
                     else vm.version_response5(data[8], words[3], state)),
        16: lambda: vm.plain(16, "unload"),
        17: lambda: vm.plain(17, "unloaded"),
        21: lambda: vm.tl_connect(_guid(data, 8), _guid(data, 24),
                                  _guid(data, 40) if len(data) > 40 else ""),
        22: lambda: vm.modify_channel(*words[2:4]),
        24: lambda: vm.channel_modified(*words[2:4]),
    }
    return by_type[words[0]]()


def kd_facts(data: bytes) -> dict:
    """Of whole packets of KD, or the break-in byte."""
    shown: dict = {"kd.type": [], "kd.id": []}
    at = 0
    while at < len(data):
        leader, kind, size, packet_id = struct.unpack_from("<4sHHI", data.ljust(16, b"\0"), at)
        if leader not in (b"0000", b"iiii"):
            return {"kd.breakin": True}
        shown["kd.type"].append(kind)
        shown["kd.id"].append(packet_id)
        if kind == 6:
            shown["kd.expert.reset"] = True
        at += 16 + size + (leader == b"0000")
    return shown


class Reader:
    """Facts of each event of one machine."""

    def __init__(self):
        self.version: dict[int, int] = {}  # SINT -> what was asked for last
        self.pipes: dict[int, str] = {}  # relid -> interface of channels that have a pipe header
        self.answered: dict[int, int] = {}  # frame of a request or packet -> of what answers it
        self._pending: dict = {}
        self._number = 0

    def facts(self, event: Event) -> tuple[str, dict]:
        head = event.head
        shown = {f"vmbus.record.{name}": head[name] for name in ("kind", "direction", "status",
                                                                 "number")}
        if self._number and head["number"] > self._number + 1:
            shown["vmbus.expert.lost"] = True
        self._number = head["number"]
        by_kind = {MESSAGE: self._message, PACKET: self._packet, SIGNAL: self._signal,
                   MSR: self._msr}
        title, more = by_kind[head["kind"]](event)
        return title, shown | more

    def _message(self, event: Event) -> tuple[str, dict]:
        data = event.data[16:]
        if event.to_guest:
            stated = event.data[4]
            shown = {"vmbus.synic.size": stated}
        else:
            connection, _, _, stated = struct.unpack_from("<IIII", event.data)
            shown = {"vmbus.synic.size": stated, "vmbus.synic.connection_id": connection}
        data = data[:stated]
        kind = struct.unpack_from("<I", data)[0]
        if kind == 14:  # the recorder may not know the SINT of a contact; the contact does
            version = struct.unpack_from("<I", data, 8)[0]
            event.head["sint"] = data[16] if version >= 0x50000 else 2
            self.version[event.head["sint"]] = version
        message = _rebuilt(data, self.version.get(event.head["sint"], 0))
        if message.data != data:
            raise ValueError(f"frame {event.frame}: the encoder makes {message.data.hex()}"
                             f" of {data.hex()}")
        if kind == 1 and (message.facts["vmbus.offer.flags"] & vm.NAMED_PIPE
                          or message.facts["vmbus.offer.interface"] in INTEGRATION):
            self.pipes[message.facts["vmbus.relid"]] = message.facts["vmbus.offer.interface"]
        return message.title, shown | message.facts | self._paired(event, kind, message.facts)

    def _paired(self, event: Event, kind: int, facts: dict) -> dict:
        """Links of a request or an answer."""
        def key(answer: int) -> tuple:
            return (event.head["sint"], answer, facts.get("vmbus.gpadl") if answer in (10, 12) else
                    facts.get("vmbus.relid") if answer in (6, 24) else
                    facts.get("vmbus.tl.service_id", facts.get("vmbus.offer.interface")))

        shown: dict = {}
        answer = 23 if kind == 1 else kind
        asked = self._pending.pop(key(answer), None) if answer in ANSWERS.values() else None
        if asked:
            self.answered[asked.frame] = event.frame
            elapsed = event.nanoseconds - asked.nanoseconds
            shown = {"vmbus.request_in": asked.frame,
                     "vmbus.time": {"seconds": f"{elapsed / 1e9:.9f}"}}
        if kind in ANSWERS:
            self._pending[key(ANSWERS[kind])] = event
        return shown

    def _packet(self, event: Event) -> tuple[str, dict]:
        kind, start, end, flags, transaction = struct.unpack_from("<HHHHQ", event.data)
        relid = event.head["relid"]
        shown = {"vmbus.channel": relid, "vmbus.packet.type": kind,
                 "vmbus.packet.offset8": start, "vmbus.packet.length8": end,
                 "vmbus.packet.flags": flags, "vmbus.packet.transaction_id": transaction,
                 "vmbus.record.ring_start": event.head["ring_start"]}
        payload = event.data[8 * start:8 * end]
        shown |= self._completion(event, kind, flags, transaction)
        if relid not in self.pipes or kind != 6:
            return "packet", shown | {"vmbus.packet.payload": payload or None}
        pipe, size = struct.unpack_from("<II", payload)
        shown |= {"vmbus.pipe.type": pipe, "vmbus.pipe.size": size}
        if self.pipes[relid] in INTEGRATION:
            return "integration", shown | self._integration(payload[8:8 + size])
        data = payload[8:8 + size]
        if self.pipes[relid] == vm.KD_PIPE:
            return "KD", shown | self._frame(data)
        return "pipe data", shown | {"vmbus.pipe.data": data or None}

    def _frame(self, data: bytes) -> dict:
        magic, flag, size, sequence, checksum, end = struct.unpack_from("<6I", data)
        if data != vm.frame(data[24:], sequence, magic, flag, end):
            raise ValueError(f"the encoder makes another frame of {data.hex()}")
        return {"vmbus.frame.magic": magic, "vmbus.frame.flag": flag, "vmbus.frame.size": size,
                "vmbus.frame.sequence": sequence, "vmbus.frame.checksum": checksum,
                "vmbus.kd": data[24:]} | kd_facts(data[24:])

    def _completion(self, event: Event, kind: int, flags: int, transaction: int) -> dict:
        shown: dict = {}
        relid = event.head["relid"]
        if kind == 11:
            asked = self._pending.pop(("packet", relid, not event.to_guest, transaction), None)
            if asked:
                self.answered[asked.frame] = event.frame
                shown["vmbus.request_in"] = asked.frame
        elif flags & 1:
            self._pending["packet", relid, event.to_guest, transaction] = event
        return shown

    def _integration(self, data: bytes) -> dict:
        _, _, kind, major, minor, size, status, transaction, flags = struct.unpack_from(
            "<HHHHHHIBB", data)
        _, facts = vm.integration(kind, data[20:], flags, (major, minor), transaction, status)
        # A negotiation counts the framework's version differently.
        for name in ("framework_major", "framework_minor"):
            facts.pop(f"vmbus.ic.{name}")
        facts["vmbus.ic.size"] = size
        return facts

    def _signal(self, event: Event) -> tuple[str, dict]:
        return "signal", {"vmbus.record.event_flag": event.head["flag"],
                          "vmbus.record.connection_id": event.head["connection"]}

    def _msr(self, event: Event) -> tuple[str, dict]:
        number, _, value = struct.unpack_from("<IIQ", event.data)
        return f"MSR {number:#x}", {"vmbus.msr": number, "vmbus.msr.value": value}


def golden(path: Path, about: str) -> str:
    story, reader = Story(path.stem, about), Reader()
    for event in events(path):
        frame = Frame(event.frame, event.nanoseconds, DEBUGGER if event.to_guest else TARGET)
        title, facts = reader.facts(event)
        frame.titles.append(title)
        frame.parts.append(facts)
        story.frames.append(frame)
    for asked, answered in reader.answered.items():
        story.frames[asked - 1].parts[0]["vmbus.response_in"] = answered
    return story.golden()


def stored_golden(path: Path, golden_path: Path) -> str:
    """The golden of a capture again; what it is about is kept."""
    about = json.loads(golden_path.read_text(encoding="utf-8"))["about"]
    return golden(path, about)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(golden(Path(name), ""), end="")
