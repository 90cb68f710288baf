# bytecover.py - which bytes of a capture the plugin shows in no field.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Reads positions and sizes of all fields from tshark's PDML.

  layers(capture, *prefs)   each kd and kdnet layer of the capture: a Layer
  uncovered(layers)         what no field shows and FREE does not list either

FREE is the closed list of bytes that have no meaning: alignment, the part of a union that a request
does not use, reserved members. They are named by the structure they lie in. Everything else must
lie in a field of its own; a subtree counts for nothing, its fields do.
"""

import re
from typing import Iterable, NamedTuple

import kdtest

HEADER = 16
UNION, UNION_END = 16, 56  # of DBGKD_MANIPULATE_STATE64 in the payload
TO_TARGET = 1
MANIPULATE, FILE_IO, GET_STRING = 2, 11, 0x3231
BLOCK = 16

# Of the debugger, made from other fields: the bytes they are marked with have fields of their own.
MADE_UP = {"kd.mode", "kd.symbol"}
STRINGS = {"kd.module.path", "kd.file.path", "kd.command.component", "kd.command.text", "kd.answer"}

# Bytes of a structure, from its beginning, that mean nothing: [begin, end).
FREE = {
    "DBGKD_ANY_WAIT_STATE_CHANGE": [(12, 16)],  # alignment of Thread
    "DBGKM_EXCEPTION64": [(28, 32), (156, 160)],  # alignment; parameters: see unused_parameters
    "DBGKD_LOAD_SYMBOLS64": [(4, 8), (33, 160)],  # alignment; the union is as large as EXCEPTION64
    "DBGKD_COMMAND_STRING": [(4, 160)],  # Reserved, and the rest of the union
    "X86_DBGKD_CONTROL_REPORT": [(40, 48)],  # sent in the size of the largest
    "ARM64_DBGKD_CONTROL_REPORT": [(24, 48)],
    "CONTEXT (AMD64)": [(261, 262), (270, 272), (278, 280), (672, 768)],  # reserved of XSAVE_FORMAT
    "KSPECIAL_REGISTERS (AMD64)": [(80, 86), (96, 102)],  # Pad of the two KDESCRIPTOR
    "KSPECIAL_REGISTERS (x86)": [(40, 42), (48, 50), (60, 84)],  # the same, and Reserved
    "KARM64_SPECIAL_REGISTERS": [(12, 16)],  # alignment
    "DBGKD_DEBUG_IO": [(12, 16)],  # PrintString uses half of the union
}

# Where the members of a request end in the union, in the request and in the reply.
UNION_USED = {
    0x3130: (28, 32), 0x3131: (28, 32), 0x3132: (20, 16), 0x3133: (20, 16), 0x3134: (24, 28),
    0x3135: (20, 20), 0x3136: (20, 20), 0x3137: (28, 32), 0x3138: (28, 32), 0x3139: (28, 32),
    0x313A: (32, 32), 0x313D: (32, 32), 0x313E: (32, 32), 0x3146: (16, 56), 0x3152: (20, 28),
    0x3153: (28, 28), 0x3156: (36, 36), 0x315A: (16, 16), 0x315B: (32, 32), 0x315C: (24, 40),
    0x315F: (24, 28), 0x3160: (28, 28),
}
CONTINUE2, GET_VERSION, QUERY_MEMORY = 0x313C, 0x3146, 0x315C
# Continue2 ends with the control set, of which each architecture has its own.
CONTROL_SETS = {"AMD64_DBGKD_CONTROL_SET": 28, "ARM64_DBGKD_CONTROL_SET": 24,
                "X86_DBGKD_CONTROL_SET": 16}

# Where the members of a file request end in the payload: from the target, from the debugger.
FILE_USED = {0x3430: (28, 48), 0x3431: (28, 28), 0x3432: (28, 28), 0x3433: (16, 16)}


class Layer(NamedTuple):
    """One kd or kdnet layer of a frame."""

    frame: int
    name: str
    begin: int
    size: int
    fields: list[dict]  # attributes of each field, in the order of the tree; "leaf" says which ends

    def values(self, name: str) -> list[str]:
        return [field["show"] for field in self.fields if field.get("name") == name]

    def number(self, name: str) -> int | None:
        values = self.values(name)
        return int(values[0], 0) if values else None

    def shown(self) -> set[int]:
        """Positions, from the beginning of the layer, that a field shows."""
        return {at - self.begin for field in self.fields
                if field["leaf"] and field.get("name") and field["name"] not in MADE_UP
                for at in range(field["pos"], field["pos"] + field["size"])}


# --- from tshark

# A value may hold line ends.
_ELEMENT = re.compile(r'<(/?)(packet|proto|field)\b((?:[^">]|"[^"]*")*?)(/?)>')
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


def layers(capture, *prefs: str) -> list[Layer]:
    """In the order of the file; a layer inside another comes after it."""
    found: list[Layer] = []
    current = None
    frame = 0
    lines = kdtest.tshark(["-T", "pdml", "-J", "kd kdnet"], capture, *prefs)
    for element in _ELEMENT.finditer("\n".join(lines)):
        closing, kind, attributes, leaf = element.groups()
        if closing:
            current = current if kind == "field" else None
        elif kind == "packet":
            frame += 1
        else:
            values = dict(_ATTRIBUTE.findall(attributes))
            if kind == "field" and current:
                current.fields.append(_place(values) | {"leaf": bool(leaf)})
            elif kind == "proto" and values["name"] in ("kd", "kdnet") and not leaf:
                place = _place(values)
                current = Layer(frame, values["name"], place["pos"], place["size"], [])
                found.append(current)
    return found


def _place(values: dict) -> dict:
    return values | {"pos": int(values.get("pos", 0)), "size": int(values.get("size", 0)),
                     "show": values.get("show", "")}


# --- what may be free


def free(layer: Layer) -> set[int]:
    """Bytes of a KD packet, from the beginning of its payload, that mean nothing."""
    places: set[int] = set()
    for field in layer.fields:
        structure = field["pos"] - layer.begin - HEADER
        for begin, end in FREE.get(field["show"], []) if not field.get("name") else []:
            # Of a CONTEXT in parts each begins at an offset of its own.
            first = (layer.number("kd.context.offset") or 0) if "CONTEXT" in field["show"] else 0
            places |= set(range(structure + begin - first, structure + end - first))
        if field.get("name") in STRINGS:
            # Its terminating zero. The tree has the string as it was found.
            end = structure + field["size"]
            places |= set(range(end, end + (2 if field["name"] == "kd.file.path" else 1)))
    if layer.number("kd.type") == MANIPULATE:
        places |= _free_of_manipulate(layer)
    elif layer.number("kd.type") == FILE_IO:
        places |= _free_of_file(layer)
    if layer.values("kd.exception.parameters"):
        places |= set(range(72 - 8 + 8 * layer.number("kd.exception.parameters"), 184))
    return places


def _free_of_manipulate(layer: Layer) -> set[int]:
    request = layer.number("kd.direction") == TO_TARGET
    api = layer.number("kd.api")
    # ReturnStatus means something in replies only; the union is aligned to 8.
    places = set(range(8 if request else 12, UNION))
    if api == CONTINUE2:
        sets = [size for title, size in CONTROL_SETS.items()
                if any(field["show"] == title for field in layer.fields)]
        used = UNION + 4 + max(sets, default=UNION_END)
    elif api in UNION_USED:
        used = UNION_USED[api][not request]
    else:
        used = UNION_END
    places |= set(range(used, UNION_END))
    if not request and api == GET_VERSION:
        places |= {30, 31}  # alignment of KernBase
    if not request and api == QUERY_MEMORY:
        places |= set(range(24, 32))  # Reserved
    return places


def _free_of_file(layer: Layer) -> set[int]:
    answer = layer.number("kd.direction") == TO_TARGET
    code = layer.number("kd.file_io")
    places = set(range(FILE_USED[code][answer], 64))
    if not answer:
        places |= set(range(4, 8))  # Status, which only an answer has
    elif code == 0x3430:
        places |= set(range(8, 32))  # what the request asked for is not said again
    return places


# --- the account


def ranges(places: Iterable[int]) -> str:
    """"3-7 9-10" for {3, 4, 5, 6, 9}."""
    spans: list[list[int]] = []
    for at in sorted(places):
        if spans and spans[-1][1] == at:
            spans[-1][1] += 1
        else:
            spans.append([at, at + 1])
    return " ".join(f"{begin}-{end}" for begin, end in spans)


def uncovered(found: list[Layer]) -> list[str]:
    """One line for each layer with bytes that neither a field shows nor FREE has."""
    wrong = []
    for index, layer in enumerate(found):
        if layer.name == "kdnet":
            following = found[index + 1] if index + 1 < len(found) else None
            inner = following if following and following.frame == layer.frame else None
            reason = _datagram(layer, inner)
        else:
            hidden = set(range(layer.size)) - layer.shown()
            hidden -= {HEADER + at for at in free(layer)} if layer.values("kd.type") else set()
            reason = f"bytes {ranges(hidden)} of {layer.size}" if hidden else ""
        if reason:
            kind = [*layer.values("kd.type"), *layer.values("kd.api"), *layer.values("kd.state")]
            wrong.append(f"frame {layer.frame}: {layer.name} {' '.join(kind)}: {reason}")
    return wrong


def _datagram(layer: Layer, inner: Layer | None) -> str:
    """What is wrong with a kdnet layer: its clear part, or what was found in the sealed one."""
    if layer.values("kdnet.expert.bad_datagram"):
        return ""  # said to be no KDNET; nothing in it is decoded
    sealed = [field for field in layer.fields if field.get("name") == "kdnet.ciphertext"]
    if not sealed:
        if layer.values("kdnet.announce"):
            return "" if sum(field["size"] for field in layer.fields
                             if field["show"].startswith("KDNET ")) == layer.size else "announce"
        return "" if inner and inner.size == layer.size else "neither sealed nor KD as a whole"
    first_format = layer.values("kdnet.magic") == ["MD"]
    outer = {"kdnet.magic", "kdnet.version", "kdnet.channel", "kdnet.pad_length",
             "kdnet.sequence_flags", "kdnet.ciphertext", "kdnet.tag"}
    shown = {at - layer.begin for field in layer.fields if field.get("name") in outer
             for at in range(field["pos"], field["pos"] + field["size"])}
    hidden = set(range(layer.size)) - shown - ({3, 4} if first_format else set())  # zeros
    if hidden:
        return f"bytes {ranges(hidden)} of the datagram"
    if layer.values("kdnet.authentic") != ["1"] and layer.values("kdnet.authentic") != ["True"]:
        return "" if any("expert" in field.get("name", "") for field in layer.fields) else "sealed"
    body = inner.size if inner else sum(field["size"] for field in layer.fields
                                        if field["show"].startswith("KDNET "))
    pad = sum(field["size"] for field in layer.fields if field.get("name") == "kdnet.pad")
    # Of the first format the tag is sealed with the rest; later there are sequence, pad, direction.
    around = BLOCK if first_format else 8
    sizes = f"{around} + {body} + {pad} of {sealed[0]['size']}"
    return "" if around + body + pad == sealed[0]["size"] else f"plaintext: {sizes} bytes"
