# kdscript.py - stories: the records of a capture, and beside each what a decoder must show of it.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A story becomes a capture and its golden.

    story = Story("name", "one sentence")
    link = Link(SerialLine(story, "com1"))
    stop = link.target(exception(...))                   # the packet and the debugger's ACK
    asked = link.ask(read_virtual(0xfffff80012340000, 16))       # the request and the target's ACK
    link.answer(asked, data_reply(asked.message, b"..."))        # the reply and its ACK

Each record carries facts: display filter -> value. They come from the parameters of the messages,
from the link rules modelled here, and from what a story adds; no decoder has a part in them.
Values:

    number, text, bytes     the field is there once, with this value
    a list                  the field is there as often, with these values in this order
    a Frame                 the field is the number of that frame
    True                    the field is there (expert items, break-ins); a boolean field is true
    None                    the field is not there
    OPEN                    nothing is said; an expert item is allowed
    LATER                   the field is there once later packets are known, not in one pass
Expert items that a record does not state must not be there.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from decimal import Decimal

import capturefile
import kdwire
from capturefile import INBOUND, OUTBOUND, Interface, Record

TARGET, DEBUGGER = "target", "debugger"
OTHER = {TARGET: DEBUGGER, DEBUGGER: TARGET}
OPEN = object()
LATER = object()

INITIAL, SYNC = 0x80800000, 0x00000800
MICROSECOND = 1_000
START = 1_767_607_200_000_000_000  # 2026-01-05 10:00:00 UTC
APPLICATION = "kdlens tests/dissector/generate"

# Requests about one address of the target's memory: read, write, breakpoint, query.
NAMED_APIS = (0x3130, 0x3131, 0x3134, 0x315C)

# Written as decimal numbers in goldens; everything else is an address, a code or flags.
DECIMAL = {
    "kd.type", "kd.length", "kd.count", "kd.actual", "kd.handle", "kd.processor", "kd.processors",
    "kd.processor_level", "kd.request_in", "kd.response_in", "kd.ack_in", "kd.ack_to",
    "kd.retransmission_of", "kd.resend_of", "kd.string_length", "kd.string_max", "kd.prompt_length",
    "kd.data_length", "kd.breakpoints", "kd.io.size", "kd.io.bus", "kd.search.length",
    "kd.pattern_length", "kd.fill.length", "kd.fill.pattern_length", "kd.bus.length",
    "kd.context.offset", "kd.context.byte_count", "kd.context.bytes_copied", "kd.context.total",
    "kd.version.build", "kd.version.protocol", "kd.module.path_length", "kd.file.size",
    "kd.file.offset", "kd.file.length", "kd.report.count", "kd.exception.parameters",
    "kdnet.sequence", "kdnet.version", "kdnet.session", "kdnet.channel"}


def pseudo_random(label: str, size: int) -> bytes:
    """Bytes that depend on the label alone."""
    blocks = [hashlib.sha256(f"{label} {n}".encode()).digest() for n in range(size // 32 + 1)]
    return b"".join(blocks)[:size]


@dataclass(eq=False)
class Frame:
    """A record; its number is known once it has its place in the file."""

    number: int
    nanoseconds: int
    sender: str
    titles: list = field(default_factory=list)
    parts: list = field(default_factory=list)  # a dict of facts for each item in the record

    def facts(self) -> dict:
        """The facts of all items; of fields that several state, the values in order."""
        merged: dict = {}
        for part in self.parts:
            for name, value in part.items():
                if name not in merged or merged[name] is None:
                    merged[name] = value
                elif value not in (None, True, OPEN, LATER):
                    before = merged[name] if isinstance(merged[name], list) else [merged[name]]
                    merged[name] = before + (value if isinstance(value, list) else [value])
        return merged


@dataclass(eq=False)
class Item:
    """Bytes of one end that may lie in several records; `frame` is the one that completes them."""

    sender: str
    data: bytes
    title: str
    facts: dict
    frame: Frame | None = None


@dataclass(frozen=True)
class Elapsed:
    """The time from one item to another."""

    start: Item
    end: Item

    def seconds(self) -> Decimal:
        return Decimal(self.end.frame.nanoseconds - self.start.frame.nanoseconds) / 1_000_000_000


class Story:
    """The records of one capture in order."""

    def __init__(self, name: str, about: str, step: int = 250, **test: object):
        """step: microseconds between records. test: keys of the golden that tell how to read it."""
        self.name = name
        self.about = about
        self.test = test
        self.frames: list[Frame] = []
        self.clock = START
        self._step = step
        self._interfaces: list[Interface] = []
        self._records: list[Record] = []

    def wait(self, milliseconds: int) -> None:
        self.clock += milliseconds * 1_000_000

    def interface(self, *args, **options) -> int:
        self._interfaces.append(Interface(*args, **options))
        return len(self._interfaces) - 1

    def record(self, sender: str, data: bytes, interface: int, flags: int = 0) -> Frame:
        self.clock += self._step * MICROSECOND
        frame = Frame(len(self.frames) + 1, self.clock, sender)
        self.frames.append(frame)
        self._records.append(Record(self.clock, data, interface, flags))
        return frame

    def payloads(self) -> list[tuple[str, bytes]]:
        """Sender and bytes of each record."""
        return [(frame.sender, record.data) for frame, record in zip(self.frames, self._records)]

    def capture(self) -> bytes:
        """The file."""
        return capturefile.pcapng(self._interfaces, self._records, APPLICATION)

    def golden(self) -> str:
        """JSON with one line per record."""
        head = {"capture": f"{self.name}.pcapng", "about": self.about} | self.test
        lines = [f'  "{key}": {json.dumps(value)},' for key, value in head.items()]
        frames = [f"    {json.dumps(_frame_golden(frame))}" for frame in self.frames]
        return "\n".join(["{", *lines, '  "frames": [', ",\n".join(frames), "  ]", "}"]) + "\n"


def _frame_golden(frame: Frame) -> dict:
    facts = frame.facts()
    shown = {name: _value(name, value) for name, value in facts.items()
             if value is not OPEN and value is not LATER}
    golden = {"frame": frame.number, "from": frame.sender, "what": "; ".join(frame.titles),
              "facts": shown}
    for key, marker in (("open", OPEN), ("later", LATER)):
        names = sorted(name for name, value in facts.items() if value is marker)
        golden |= {key: names} if names else {}
    return golden


def _value(name: str, value):
    """How a golden writes a value."""
    if isinstance(value, list):
        return [_value(name, each) for each in value]
    if isinstance(value, Item):
        value = value.frame
    if isinstance(value, Frame):
        return value.number
    if isinstance(value, bytes):
        return {"bytes": value.hex(" ")}
    if isinstance(value, Elapsed):
        return {"seconds": str(value.seconds())}
    if isinstance(value, int) and not isinstance(value, bool) and name not in DECIMAL:
        return f"{value:#x}"
    return value


# --- ways to carry bytes


class SerialLine:
    """A byte stream, recorded as upper PDUs: one record for each item."""

    trailer = kdwire.TRAILER
    serial_ids = True

    def __init__(self, story: Story, name: str, description: str = "COM1, 115200 baud",
                 snaplen: int = 0):
        self.story = story
        self._interface = story.interface(name, description, snaplen=snaplen, speed=115200)

    def emit(self, item: Item) -> Item:
        from_target = item.sender == TARGET
        record = capturefile.upper_pdu(item.data, from_target)
        item.frame = self.story.record(item.sender, record, self._interface,
                                       INBOUND if from_target else OUTBOUND)
        item.frame.titles.append(item.title)
        item.frame.parts.append(item.facts)
        return item

    def emit_together(self, *items: Item) -> None:
        """Several items in one record; all by one sender."""
        joined = b"".join(item.data for item in items)
        whole = self.emit(Item(items[0].sender, joined, items[0].title, items[0].facts))
        for item in items:
            item.frame = whole.frame
        whole.frame.titles[:] = [item.title for item in items]
        whole.frame.parts[:] = [item.facts for item in items]


class UdpPath:
    """Datagrams between two ends, recorded as Ethernet frames: one for each item."""

    trailer = b""
    serial_ids = False

    def __init__(self, story: Story, interface: int, target: capturefile.End,
                 debugger: capturefile.End):
        self.story = story
        self.ends = {TARGET: target, DEBUGGER: debugger}
        self._interface = interface

    def emit(self, item: Item) -> Item:
        return self.datagram(item, item.data)

    def datagram(self, item: Item, payload: bytes) -> Item:
        """A frame with this UDP payload, which stands for the item."""
        ends = self.ends[item.sender], self.ends[OTHER[item.sender]]
        number = len(self.story.frames) + 1
        item.frame = self.story.record(item.sender, capturefile.udp(*ends, payload, number),
                                       self._interface)
        item.frame.titles.append(item.title)
        item.frame.parts.append(item.facts)
        return item


def ethernet(story: Story) -> int:
    """The interface of a capture of real frames."""
    return story.interface("eth0", "debugger's network adapter", capturefile.LINKTYPE_ETHERNET)


# --- the KD link


@dataclass(eq=False)
class Sent:
    """A data packet on its way."""

    item: Item
    message: kdwire.Message
    id: int

    @property
    def sender(self) -> str:
        return self.item.sender

    @property
    def frame(self) -> Frame:
        return self.item.frame

    @property
    def facts(self) -> dict:
        return self.item.facts


class Link:
    """Packet ids and acknowledgements of one connection, as the reference gives them.

    Serial: ids alternate, the target's first has the SYNC bit, an ACK drops it. KDNET: ids step by
    2 from 0x80000000 (debugger) and 0 (target).
    """

    def __init__(self, path):
        self.path = path
        self._modules: dict = {}  # base: (name, size)
        self.begin()
        if path.serial_ids:
            self.next_id[TARGET] |= SYNC

    def begin(self) -> None:
        """Ids from the start, as after RESET."""
        self.next_id = ({TARGET: INITIAL, DEBUGGER: INITIAL} if self.path.serial_ids
                        else {TARGET: 0, DEBUGGER: 0x80000000})

    def _advance(self, sender: str) -> None:
        if self.path.serial_ids:
            self.next_id[sender] = (self.next_id[sender] ^ 1) & ~SYNC
        else:
            self.next_id[sender] += 2

    def packet(self, sender: str, message: kdwire.Message, facts: dict | None = None,
               packet_id: int | None = None, header_only: bool = False, **damage) -> Sent:
        """A data packet that nobody acknowledges yet.

        header_only: say nothing of the payload. damage: trailer, checksum as for kdwire.packet.
        """
        packet_id = self.next_id[sender] if packet_id is None else packet_id
        damage.setdefault("trailer", self.path.trailer)
        data = kdwire.packet(message.type, packet_id, message.payload, **damage)
        shown = {"kd.type": message.type, "kd.id": packet_id, "kd.length": len(message.payload)}
        if not header_only:
            shown |= message.facts | self._symbol(message.facts)
        item = Item(sender, data, message.title, shown | (facts or {}))
        return Sent(self.path.emit(item), message, packet_id)

    def _symbol(self, facts: dict) -> dict:
        """The module and offset of the address a message is about, from the load events so far."""
        if facts.get("kd.module.path"):
            name = re.split(r"[\\/]", facts["kd.module.path"])[-1].rsplit(".", 1)[0]
            self._modules[facts["kd.module.base"]] = name, facts["kd.module.size"]
        elif facts.get("kd.module.unload"):
            self._modules.clear()
        address = facts["kd.address"] if facts.get("kd.api") in NAMED_APIS else facts.get("kd.pc")
        for base, (name, size) in self._modules.items():
            if address is not None and base <= address < base + size:
                return {"kd.symbol": f"{name}+{address - base:#x}"}
        return {}

    def again(self, sent: Sent, facts: dict | None = None) -> Sent:
        """The same packet once more."""
        data = kdwire.packet(sent.message.type, sent.id, sent.message.payload, self.path.trailer)
        shown = {"kd.type": sent.message.type, "kd.id": sent.id} | sent.message.facts
        shown |= {"kd.retransmission_of": sent.item, "kd.expert.duplicate": OPEN} | (facts or {})
        item = Item(sent.sender, data, f"{sent.message.title} again", shown)
        return Sent(self.path.emit(item), sent.message, sent.id)

    def control(self, sender: str, kind: int, packet_id: int, facts: dict | None = None) -> Item:
        """ACK, RESEND or RESET."""
        titles = {kdwire.ACKNOWLEDGE: "ACK", kdwire.RESEND: "RESEND", kdwire.RESET: "RESET"}
        shown = {"kd.type": kind, "kd.id": packet_id, "kd.api": None, "kd.length": 0}
        if kind == kdwire.RESEND:
            shown["kd.expert.resend"] = True
        if kind == kdwire.RESET:
            shown["kd.expert.reset"] = True
        data = kdwire.packet(kind, packet_id)
        return self.path.emit(Item(sender, data, titles[kind], shown | (facts or {})))

    def ack(self, sent: Sent, facts: dict | None = None, linked: bool = True) -> Item:
        """The receiver takes the packet. linked: state which packet the ACK belongs to."""
        packet_id = sent.id & ~SYNC if self.path.serial_ids else sent.id
        links = {"kd.ack_to": sent.item} if linked else {}
        done = self.control(OTHER[sent.sender], kdwire.ACKNOWLEDGE, packet_id,
                            links | (facts or {}))
        if linked:
            sent.facts["kd.ack_in"] = done
        self._advance(sent.sender)
        return done

    def reset(self, sender: str, packet_id: int = 0) -> Item:
        return self.control(sender, kdwire.RESET, packet_id)

    def resend(self, sender: str, about: Sent | None = None) -> Item:
        """Ask for a packet again."""
        return self.control(sender, kdwire.RESEND, 0,
                            {"kd.resend_of": about.item} if about else {})

    def target(self, message: kdwire.Message, facts: dict | None = None) -> Sent:
        """The target tells something; the debugger acknowledges."""
        sent = self.packet(TARGET, message, facts)
        self.ack(sent)
        return sent

    def ask(self, message: kdwire.Message, facts: dict | None = None) -> Sent:
        """The debugger asks or orders something; the target acknowledges."""
        sent = self.packet(DEBUGGER, message, facts)
        self.ack(sent)
        return sent

    def answer(self, asked: Sent, message: kdwire.Message, facts: dict | None = None,
               ack: bool = True, **damage) -> Sent:
        """The other side's answer to a request, and its ACK."""
        sent = self.packet(OTHER[asked.sender], message, facts, **damage)
        self.link(asked, sent)
        if ack:
            self.ack(sent)
        return sent

    def link(self, asked: Sent, answered: Sent) -> None:
        """State that these are request and reply."""
        asked.facts["kd.response_in"] = answered.item
        answered.facts["kd.request_in"] = asked.item
        answered.facts["kd.time"] = Elapsed(asked.item, answered.item)

    def exchange(self, request: kdwire.Message, reply, *args, **options) -> Sent:
        """ask() and answer(reply(request, ...)); the reply."""
        asked = self.ask(request)
        return self.answer(asked, reply(request, *args, **options))

    def breakin(self) -> Item:
        return self.path.emit(Item(DEBUGGER, kdwire.BREAKIN, "break-in",
                                   {"kd.breakin": True, "kd.type": None}))

    def noise(self, sender: str, data: bytes | str, facts: dict | None = None) -> Item:
        """Bytes that are no KD; text must be shown as text, without its last line end."""
        shown = {"kd.type": None, "kd.breakin": None, "kd.expert.noise": True}
        if isinstance(data, str):
            shown["kd.noise.text"] = data.rstrip("\r\n")
            data = data.encode("ascii")
        return self.path.emit(Item(sender, data, "noise", shown | (facts or {})))
