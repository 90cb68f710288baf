# vmbusscript.py - what a guest and its host say to each other, as records and their facts.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The part of kdscript.py for VMBus: a Machine records events, a Pipe carries a KD link.

The format of a record is that of docs/formats.md.
"""

import struct

import capturefile
import kdwire
import vmbuswire as vm
from capturefile import INBOUND, OUTBOUND
from kdscript import DEBUGGER, DECIMAL, TARGET, Elapsed, Item, Story

MESSAGE, PACKET, SIGNAL, MSR, HYPERCALL, NOTE = range(1, 7)
TO_HOST, TO_GUEST = 1, 2
BY_HOST, CUT, BY_MONITOR, FAULT = 1, 2, 4, 8

OFFERED, OPENING, OPEN_STATE, CLOSED, RESCINDED, GONE = range(1, 7)

DECIMAL |= {
    f"vmbus.{name}" for name in (
        "message", "relid", "channel", "channel.state", "target_vp", "ring_page_offset",
        "gpadl.range_size", "gpadl.range_count", "gpadl.number", "gpadl.pages", "contact.sint",
        "contact.vtl", "offered_in", "opened_in", "request_in", "response_in", "record.kind",
        "record.direction", "record.sint", "record.relid", "record.number", "record.event_flag",
        "offer.sub_channel", "offer.mmio", "packet.type", "packet.offset8", "packet.length8",
        "packet.start", "pipe.type", "pipe.size", "pipe.offset", "synic.size", "ic.type",
        "gpadl.header_in", "gpadl.complete_in", "range.byte_count", "range.byte_offset",
        "packet.range_count", "version_response.supported", "version_response.state",
        "offer.pipe_mode", "target_sint", "frame.size", "frame.flag", "ic.framework_major",
        "ic.framework_minor", "ic.message_major", "ic.message_minor", "ic.size",
        "ic.transaction_id", "record.ring_size", "record.ring_write", "record.ring_read",
        "record.ring_start", "record.vp", "ic.framework_count", "ic.message_count",
        "ic.version_major", "ic.version_minor", "ic.heartbeat_sequence", "ic.shutdown_timeout",
        "offer.monitor_id", "synic.flag", "open.event_flag")}


class Ring:
    """One direction of a channel: where the next packet lies."""

    def __init__(self, size: int):
        self.size, self.write, self.read = size, 0, 0

    def place(self, packet: bytes) -> tuple[int, bytes]:
        """The index at which it begins, and the packet with its footer."""
        start = self.write
        self.write = (start + len(packet) + 8) % self.size
        return start, packet + struct.pack("<II", 0, start)


class Channel:
    """An open channel of the stories."""

    def __init__(self, relid: int, connection: int, sizes: tuple[int, int]):
        self.relid, self.connection = relid, connection
        self.rings = {TO_HOST: Ring(sizes[0]), TO_GUEST: Ring(sizes[1])}


class Machine:
    """Records the events of one VMBus connection of one guest."""

    def __init__(self, story: Story, name: str = "vmbus", sint: int = 5, interface: int = -1,
                 by_host: bool = False, snaplen: int = 0, counted: bool = True):
        self.story, self.sint = story, sint
        self.interface = interface if interface >= 0 else story.interface(
            name, "VMBus of a virtual machine", snaplen=snaplen)
        self.connection = 4  # for messages
        self.number = 0
        self._counted = counted
        self._flags = BY_HOST if by_host else 0
        self._pending: dict = {}

    def record(self, kind: int, direction: int, data: bytes, title: str, facts: dict,
               **head: int) -> Item:
        """head: flags, vp, connection, relid, status, number, size, write, read, start, flag."""
        self.number += self._counted
        value = {"flags": 0, "vp": 0, "connection": 0, "relid": 0, "status": 0,
                 "number": self.number, "size": 0, "write": 0, "read": 0, "start": 0,
                 "flag": 0, "sint": self.sint} | head
        self.number = value["number"]
        packed = struct.pack("<BBBBHBB10I", 1, kind, direction, value["flags"] | self._flags, 48,
                             value["sint"], 0, value["vp"], value["connection"], value["relid"],
                             value["status"], value["number"], value["size"], value["write"],
                             value["read"], value["start"], value["flag"])
        shown = {"vmbus.record.version": 1, "vmbus.record.kind": kind,
                 "vmbus.record.direction": direction, "vmbus.record.sint": value["sint"],
                 "vmbus.record.number": value["number"], "vmbus.record.status": value["status"]}
        item = Item(DEBUGGER if direction == TO_GUEST else TARGET, packed + data, title,
                    shown | facts)
        to_guest = direction == TO_GUEST
        item.frame = self.story.record(item.sender,
                                       capturefile.upper_pdu(item.data, not to_guest, "vmbus"),
                                       self.interface, OUTBOUND if to_guest else INBOUND)
        item.frame.titles.append(title)
        item.frame.parts.append(item.facts)
        return item

    # --- messages

    def post(self, message: vm.Message, facts: dict | None = None, connection: int = 0,
             status: int = 0, stated: int | None = None, **head: int) -> Item:
        """The guest's PostMessage. stated: another size than the message has."""
        connection = connection or self.connection
        size = len(message.data) if stated is None else stated
        data = struct.pack("<IIII", connection, 0, 1, size) + message.data
        shown = {"vmbus.synic.connection_id": connection, "vmbus.synic.type": 1,
                 "vmbus.synic.size": size}
        return self.record(MESSAGE, TO_HOST, data, message.title,
                           shown | message.facts | (facts or {}), connection=connection,
                           status=status, **head)

    def deliver(self, message: vm.Message, facts: dict | None = None, pending: bool = False,
                stated: int | None = None, **head: int) -> Item:
        """A message in the slot of this SINT."""
        size = len(message.data) if stated is None else stated
        data = struct.pack("<IBBHQ", 1, size, pending, 0, 0x100000001) + message.data
        shown = {"vmbus.synic.sender": 0x100000001, "vmbus.synic.type": 1,
                 "vmbus.synic.size": size, "vmbus.synic.flags.message_pending": pending}
        return self.record(MESSAGE, TO_GUEST, data, message.title,
                           shown | message.facts | (facts or {}), **head)

    def exchange(self, request: vm.Message, answer: vm.Message, request_facts: dict | None = None,
                 answer_facts: dict | None = None) -> tuple[Item, Item]:
        """A request of the guest and its answer, linked."""
        asked = self.post(request, request_facts)
        answered = self.deliver(answer, answer_facts)
        link(asked, answered)
        return asked, answered

    # --- channels

    def gpadl(self, relid: int, number: int, pages: list[int]) -> Item:
        """A GPADL of one range that fits its header. Returns that."""
        data = vm.ranges((vm.PAGE * len(pages), 0, pages))
        facts = {"vmbus.channel": relid, "vmbus.range.byte_count": vm.PAGE * len(pages),
                 "vmbus.range.byte_offset": 0, "vmbus.pages": [pages[0]]}
        asked, _ = self.exchange(vm.gpadl_header(relid, number, data),
                                 vm.gpadl_created(relid, number), facts)
        return asked

    def open(self, relid: int, gpadl: int, before: int, pages: int,
             connection: int = 0) -> Channel:
        """Opens a channel whose GPADL has this many pages."""
        self.exchange(vm.open_channel(relid, gpadl, before), vm.open_result(relid, gpadl),
                      {"vmbus.channel.state": OPENING}, {"vmbus.channel.state": OPEN_STATE})
        return Channel(relid, connection or 0x2000 | relid,
                       ((before - 1) * vm.PAGE, (pages - before - 1) * vm.PAGE))

    def send(self, channel: Channel, direction: int, packet: bytes, title: str,
             facts: dict | None = None, **head: int) -> Item:
        """A packet in a ring; what stands in its descriptor is shown."""
        ring = channel.rings[direction]
        start, data = ring.place(packet)
        kind, offset8, length8, flags, transaction = struct.unpack_from("<HHHHQ", packet)
        shown = {"vmbus.channel": channel.relid, "vmbus.record.relid": channel.relid,
                 "vmbus.record.ring_size": ring.size, "vmbus.record.ring_start": start,
                 "vmbus.packet.type": kind, "vmbus.packet.offset8": offset8,
                 "vmbus.packet.length8": length8, "vmbus.packet.flags": flags,
                 "vmbus.packet.transaction_id": transaction, "vmbus.packet.start": start}
        item = self.record(PACKET, direction, data, title, shown | (facts or {}),
                           **({"relid": channel.relid, "size": ring.size, "write": ring.write,
                               "read": ring.read, "start": start} | head))
        ring.read = ring.write
        return item

    def signal(self, channel: Channel, direction: int, facts: dict | None = None,
               **head: int) -> Item:
        flag = channel.relid if direction == TO_GUEST else 0
        connection = channel.connection if direction == TO_HOST else 0
        value = {"relid": channel.relid, "connection": connection, "flag": flag} | head
        shown = {"vmbus.channel": channel.relid, "vmbus.record.event_flag": value["flag"],
                 "vmbus.record.connection_id": value["connection"]}
        return self.record(SIGNAL, direction, b"", f"signal {channel.relid}",
                           shown | (facts or {}), **value)

    # --- the others

    def msr(self, number: int, value: int, read: bool = False, facts: dict | None = None) -> Item:
        return self.record(MSR, TO_GUEST if read else TO_HOST,
                           struct.pack("<IIQ", number, 0, value), f"MSR {number:#x}",
                           {"vmbus.msr": number, "vmbus.msr.value": value} | (facts or {}))

    def call(self, control: int, given: int, taken: int, result: int, block: bytes = b"",
             facts: dict | None = None) -> Item:
        shown = {"vmbus.hypercall.control": control, "vmbus.hypercall.input": given,
                 "vmbus.hypercall.output": taken, "vmbus.hypercall.result": result,
                 "vmbus.hypercall.code": control & 0xFFFF,
                 "vmbus.hypercall.status": result & 0xFFFF,
                 "vmbus.hypercall.block": block or None}
        return self.record(HYPERCALL, TO_HOST, struct.pack("<4Q", control, given, taken, result)
                           + block, f"hypercall {control & 0xFFFF:#x}", shown | (facts or {}))

    def note(self, text: str, level: int = 0, facts: dict | None = None) -> Item:
        return self.record(NOTE, 0, text.encode(), "note",
                           {"vmbus.note": text} | (facts or {}), status=level)


def link(asked: Item, answered: Item) -> None:
    """A request and its answer, or a packet and its completion."""
    asked.facts["vmbus.response_in"] = answered
    answered.facts |= {"vmbus.request_in": asked, "vmbus.time": Elapsed(asked, answered)}


class Pipe:
    """A way for a KD link: a pipe-mode channel, with or without frames."""

    trailer = kdwire.TRAILER
    serial_ids = True

    def __init__(self, machine: Machine, channel: Channel, framed: bool):
        self.story, self._machine, self._channel, self._framed = (machine.story, machine, channel,
                                                                  framed)
        self.sequence = {TARGET: 2, DEBUGGER: 0x5687}
        self.transaction = 0

    def emit(self, item: Item) -> Item:
        """One packet of the ring for each item."""
        direction = TO_GUEST if item.sender == DEBUGGER else TO_HOST
        data, facts = item.data, {"vmbus.kd": item.data}
        if self._framed:
            sequence = self.sequence[item.sender]
            self.sequence[item.sender] += 1
            data = vm.frame(item.data, sequence)
            facts |= {"vmbus.frame.magic": 0x56867960, "vmbus.frame.size": len(item.data),
                      "vmbus.frame.sequence": sequence,
                      "vmbus.frame.checksum": struct.unpack_from("<I", data, 16)[0]}
        self.transaction += 1
        facts |= {"vmbus.pipe.type": 1, "vmbus.pipe.size": len(data)}
        made = self._machine.send(self._channel, direction,
                                  vm.packet(6, self.transaction, vm.pipe(data)), item.title, facts)
        item.frame = made.frame
        made.frame.parts.append(item.facts)
        return item
