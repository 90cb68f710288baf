# kdcapture.py - a capture as frames and KD units, every field of each; read by tshark only once.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What tests of whole captures stand on.

  frames(capture, *prefs)            list of Frame, one per frame of the file
  units(capture, *prefs)             list of Unit: packets, break-ins and noise, without fragments
  packets(capture, *prefs)           those units that are packets
  types(), apis()                    how many packets of each kind
  contradictions()                   verdicts that other fields deny
  links_expected(), wrong_links()    which request each reply answers, by order and content
  pass_differences(capture, *prefs)  what one pass and two passes show differently
  shown_by_tshark(), ..._sharkd()    the plugin's part of the tree, as a person reads it

A record of a COM port holds several KD packets, or a part of one. So fields are kept by unit: a
value is known to belong to the packet it stands in, which tshark -T fields cannot say.
"""

from collections import Counter
from functools import lru_cache

import kdtest
from goldens import HINDSIGHT, HINDSIGHT_EXPERTS

TO_TARGET = 1
TO_DEBUGGER = 2

STATE_MANIPULATE, DEBUG_IO, ACKNOWLEDGE, RESEND, RESET = 2, 3, 4, 5, 6
STATE_CHANGE64, FILE_IO = 7, 11
TYPE_NAMES = {2: "STATE_MANIPULATE", 3: "DEBUG_IO", 4: "ACKNOWLEDGE", 5: "RESEND", 6: "RESET",
              7: "STATE_CHANGE64", 11: "FILE_IO"}

READ_VIRTUAL, WRITE_VIRTUAL, GET_CONTEXT, SET_CONTEXT = 0x3130, 0x3131, 0x3132, 0x3133
WRITE_BREAKPOINT, CONTINUE, READ_CONTROL_SPACE, READ_IO = 0x3134, 0x3136, 0x3137, 0x3139
WRITE_IO, CONTINUE2, READ_PHYSICAL, WRITE_PHYSICAL = 0x313A, 0x313C, 0x313D, 0x313E
GET_VERSION, READ_MSR, WRITE_MSR, SEARCH_MEMORY = 0x3146, 0x3152, 0x3153, 0x3156
CLEAR_ALL_INTERNAL_BREAKPOINTS, FILL_MEMORY, GET_CONTEXT_EX = 0x315A, 0x315B, 0x315F
EXCEPTION, LOAD_SYMBOLS, COMMAND_STRING = 0x3030, 0x3031, 0x3032
CREATE_FILE, READ_FILE, WRITE_FILE, CLOSE_FILE = 0x3430, 0x3431, 0x3432, 0x3433


class Fields:
    """Field values as tshark wrote them, by name; each name may be there several times."""

    def __init__(self, tree):
        self.values: dict[str, list[str]] = {}
        self._add(tree)

    def _add(self, tree):
        for name, value in tree.items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    self._add(item)
                else:
                    self.values.setdefault(name, []).append(item)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str:
        """The only value of a field, "" when it is not there."""
        values = self.values.get(name, [""])
        assert len(values) == 1, f"{name} is there {len(values)} times"
        return values[0]

    def number(self, name: str) -> int | None:
        """The same as a number, None when it is not there."""
        text = {"True": "1", "False": "0"}.get(self.text(name), self.text(name))
        return int(text, 0) if text else None

    def data(self, name: str) -> bytes:
        """The only value of a field of bytes."""
        return bytes.fromhex(self.text(name).replace(":", ""))


class Unit(Fields):
    """A packet, a break-in or a run of noise; or a fragment that other frames complete."""

    def __init__(self, frame: int, tree):
        super().__init__(tree)
        self.frame = frame
        self.type = self.number("kd.type")
        self.flow = self.number("kd.direction")
        self.api = self.number("kd.api")

    @property
    def size(self) -> int:
        """Bytes on the line."""
        if self.type is not None:
            return 16 + self.number("kd.length") + ("kd.trailer" in self)
        return 1 if "kd.breakin" in self else len(self.data("kd.noise"))

    def content(self) -> dict:
        """All that does not depend on how the bytes were cut into records."""
        return {name: values for name, values in self.values.items()
                if name not in DEPENDS_ON_RECORDS}


# Frame numbers and times; the texts of expert infos name frames too.
DEPENDS_ON_RECORDS = {"kd.request_in", "kd.response_in", "kd.time", "kd.ack_in", "kd.ack_to",
                      "kd.resend_of", "kd.retransmission_of", "kd.repeats", "kd.unanswered",
                      "kd.unacknowledged", "kd.stop", "kd.time_stopped",
                      "_ws.expert.message"}


class Frame:
    """One frame: the fields of its KDNET layer and its units."""

    def __init__(self, layers: dict):
        self.number = int(layers["frame"]["frame.number"])
        self.protocols = layers["frame"]["frame.protocols"].split(":")
        self.size = int(layers["frame"]["frame.len"])
        self.udp = Fields(_only(layers.get("udp", {})))
        kdnet = layers.get("kdnet")
        self.kdnet = Fields(kdnet) if kdnet is not None else None
        trees = layers.get("kd", [])
        self.units = [Unit(self.number, tree)
                      for tree in (trees if isinstance(trees, list) else [trees])]

    def layers(self) -> list[Fields]:
        """All that the plugin shows of the frame."""
        return [self.kdnet or Fields({}), *self.units]


def _only(layer) -> dict:
    return layer if isinstance(layer, dict) else layer[-1]


@lru_cache(maxsize=None)
def frames(capture, *prefs: str, two_pass: bool = True, filter: str = "") -> list[Frame]:
    """Every frame of a capture (that passes the filter)."""
    return [Frame(layers) for layers in
            kdtest.packets(capture, *prefs, two_pass=two_pass, filter=filter)]


def units(capture, *prefs: str, two_pass: bool = True, filter: str = "") -> list[Unit]:
    """Every packet, break-in and run of noise, in the order in which they ended."""
    return [unit for frame in frames(capture, *prefs, two_pass=two_pass, filter=filter)
            for unit in frame.units if "kd.fragment" not in unit]


def packets(capture, *prefs: str, two_pass: bool = True) -> list[Unit]:
    """Every packet."""
    return [unit for unit in units(capture, *prefs, two_pass=two_pass) if unit.type is not None]


def types(packet_list, flow: int | None = None) -> Counter:
    """How many packets of each type, by name."""
    return Counter(TYPE_NAMES.get(packet.type, str(packet.type)) for packet in packet_list
                   if flow is None or packet.flow == flow)


def apis(packet_list, flow: int) -> Counter:
    """How many STATE_MANIPULATE packets of each ApiNumber one side sent."""
    return Counter(packet.api for packet in packet_list
                   if packet.type == STATE_MANIPULATE and packet.flow == flow)


# --- requests and replies

# What a reply repeats of its request. The ByteCount of GetContextEx is not echoed: the reply has
# the size of the whole CONTEXT there.
ECHOED = ["kd.address", "kd.physical_address", "kd.control_space", "kd.count", "kd.handle",
          "kd.port", "kd.io.size", "kd.msr", "kd.context.offset"]
FILLED_IN_REPLY = {WRITE_BREAKPOINT: "kd.handle", SEARCH_MEMORY: "kd.address"}


def _echo(packet: Unit) -> tuple:
    return (packet.api, *(packet.text(name) for name in ECHOED
                          if FILLED_IN_REPLY.get(packet.api) != name))


def links_expected(packet_list) -> dict[int, int | None]:
    """Frame of each reply -> frame of its request: the oldest with the same content that waits.

    A request that was acknowledged comes before one that was not, which the target never got. Sent
    again is not sent anew, so retransmissions are left out.
    """
    waiting: dict[tuple, list[Unit]] = {}
    sent: dict[int, Unit] = {}
    acknowledged = set()
    links: dict[int, int | None] = {}
    for packet in packet_list:
        if packet.type == ACKNOWLEDGE and packet.flow == TO_DEBUGGER:
            acknowledged.add(sent.get(packet.number("kd.id")))
        if packet.type != STATE_MANIPULATE or "kd.retransmission_of" in packet:
            continue
        requests = waiting.setdefault(_echo(packet), [])
        if packet.flow == TO_TARGET:
            sent[packet.number("kd.id")] = packet
            requests.append(packet)
        else:
            requests.sort(key=lambda request: (request not in acknowledged, request.frame))
            links[packet.frame] = requests.pop(0).frame if requests else None
    return links


def wrong_links(packet_list) -> list[str]:
    """Replies that are linked to something else than links_expected says."""
    found = {packet.frame: packet.number("kd.request_in") for packet in packet_list}
    return [f"reply in {frame}: request in {found[frame]}, should be {request}"
            for frame, request in links_expected(packet_list).items() if found[frame] != request]


def contradictions(packet_list) -> list[str]:
    """Packets that call a frame unanswered or unacknowledged although it names its reply or ACK."""
    wrong = []
    for verdict, link in (("kd.unanswered", "kd.response_in"), ("kd.unacknowledged", "kd.ack_in")):
        linked = {packet.frame for packet in packet_list if link in packet}
        wrong += [f"frame {packet.frame}: {verdict} {packet.text(verdict)}"
                  for packet in packet_list if packet.number(verdict) in linked]
    return wrong


# --- passes


# The last two are said in one pass, and taken back when the reply or the ACK comes after all.
IN_HINDSIGHT = {*HINDSIGHT, *HINDSIGHT_EXPERTS, "kd.unanswered", "kd.unacknowledged"}


def pass_differences(capture, *prefs: str) -> list[str]:
    """Where one pass and two passes disagree on a field that does not need hindsight."""
    once, twice = (frames(capture, *prefs, two_pass=two_pass) for two_pass in (False, True))
    return [f"frame {first.number}: {name} is {a} and then {b}"
            for first, second in zip(once, twice, strict=True)
            for mine, other in zip(first.layers(), second.layers(), strict=True)
            for name in sorted(mine.values.keys() | other.values.keys())
            if name not in IN_HINDSIGHT and not name.startswith("_ws.")
            and (a := mine.values.get(name)) != (b := other.values.get(name))]


def shown_by_tshark(capture, *prefs: str) -> list[str]:
    """The plugin's part of each frame's tree as tshark -2 -V prints it, line by line."""
    shown: list[list[str]] = []
    ours = False
    for line in kdtest.tshark(["-V", "-O", "kd,kdnet"], capture, *prefs, two_pass=True):
        if line.startswith("Frame "):
            shown.append([])
        if line and not line.startswith(" "):
            ours = line.startswith("Windows Kernel Debugger")
        if line and ours:
            shown[-1].append(line)
    return ["\n".join(lines) for lines in shown]


def shown_by_sharkd(frame: dict) -> str:
    """The same of a frame of sharkd."""
    lines: list[str] = []

    def walk(nodes: list, depth: int) -> None:
        for node in nodes:
            label = f"[{node['l']}]" if node.get("g") else node["l"]
            lines.append("    " * depth + label)
            walk(node.get("n", []), depth + 1)

    walk([node for node in frame["tree"] if node["l"].startswith("Windows Kernel Debugger")], 0)
    return "\n".join(lines)
