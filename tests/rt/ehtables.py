# ehtables.py - C++ exception tables, decoded here and not by lib/image, for comparisons.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""function_info_3(pe, rva) and function_info_4(pe, rva, function) return a Table of what FuncInfo
at that RVA says: flags; actions [(next state, kind, action, object)]; ips [(RVA, state)];
tries [(low, high, catch high, catches)]; a catch is (handler, adjectives, type, object,
(continuations...)).

Kinds of actions: 0 nothing, 1 call a block, 2 destroy the object, 3 destroy what the pointer is to.
Flags: 1 C++ exceptions only, 2 noexcept, 4 a catch block, 8 in several pieces.

Layouts: FuncInfo of 32-bit numbers as ehdata.h and clang's output have it; FuncInfo4 is measured,
integers are compressed as described at number()."""

from dataclasses import dataclass, field

MAGICS = range(0x19930520, 0x19930523)


@dataclass
class Table:
    flags: int = 0
    actions: list = field(default_factory=list)
    ips: list = field(default_factory=list)
    tries: list = field(default_factory=list)


def is_info_3(pe, rva: int) -> bool:
    return 0 < rva < len(pe.memory) - 40 and pe.get("I", rva) & 0x1FFFFFFF in MAGICS


def function_info_3(pe, rva: int) -> Table:
    (_, states, unwind, tries, try_map, ips, ip_map, _, _, flags) = pe.get("IiIIIIIiII", rva)
    table = Table(flags & 1 | flags >> 1 & 2)
    for i in range(states):
        following, action = pe.get("iI", unwind + 8 * i)
        table.actions.append((following, 1 if action else 0, action, 0))
    table.ips = [pe.get("Ii", ip_map + 8 * i) for i in range(ips)]
    for i in range(tries):
        low, high, catch_high, count, handlers = pe.get("iiiII", try_map + 20 * i)
        catches = []
        for j in range(count):
            adjectives, kind, thrown, handler = pe.get("IIiI", handlers + 20 * j)
            catches.append((handler, adjectives, kind, thrown, ()))
        table.tries.append((low, high, catch_high, catches))
    return table


class Reader:
    def __init__(self, pe, at: int):
        self.pe, self.at = pe, at

    def take(self, form: str, size: int) -> int:
        value = self.pe.get(form, self.at)
        self.at += size
        return value

    def number(self) -> int:
        """As many low bits of the first byte as are ones before a zero say how many bytes follow,
        up to three; the number is what is above these bits. 1111: a u32 behind the byte."""
        first = self.pe.get("B", self.at)
        for follow in range(4):
            if not first >> follow & 1:
                raw = int.from_bytes(self.pe.memory[self.at:self.at + follow + 1], "little")
                self.at += follow + 1
                return raw >> follow + 1
        self.at += 1
        return self.take("I", 4)


def actions_4(pe, rva: int) -> list:
    reader, places, found = Reader(pe, rva), [], []
    for _ in range(reader.number()):
        places.append(reader.at)
        word = reader.number()
        kind, back = word & 3, word >> 2
        action = reader.take("I", 4) if kind else 0
        thing = reader.number() if kind in (1, 2) else 0
        following = places[-1] - back
        found.append((places.index(following) if following >= places[0] else -1,
                      (0, 2, 3, 1)[kind], action, thing))
    return found


def catches_4(pe, rva: int, function: int) -> list:
    reader, found = Reader(pe, rva), []
    for _ in range(reader.number()):
        head = reader.take("B", 1)
        adjectives = reader.number() if head & 1 else 0
        kind = reader.take("I", 4) if head & 2 else 0
        thing = reader.number() if head & 4 else 0
        handler = reader.take("I", 4)
        goes_on = tuple(reader.take("I", 4) if head & 8 else function + reader.number()
                        for _ in range(head >> 4 & 3))
        found.append((handler, adjectives, kind, thing, goes_on))
    return found


def ips_4(pe, rva: int, function: int) -> list:
    reader, at, found = Reader(pe, rva), function, []
    for _ in range(reader.number()):
        at += reader.number()
        found.append((at, reader.number() - 1))
    return found


def function_info_4(pe, rva: int, function: int) -> Table:
    reader = Reader(pe, rva)
    head = reader.take("B", 1)
    table = Table(2 * (head >> 6 & 1) | 4 * (head & 1) | 8 * (head >> 1 & 1) | head >> 5 & 1)
    if head & 4:
        reader.number()
    if head & 8:
        table.actions = actions_4(pe, reader.take("I", 4))
    tries = Reader(pe, reader.take("I", 4)) if head & 16 else None
    ip_map, begin = reader.take("I", 4), function
    if head & 2:
        segments = Reader(pe, ip_map)
        maps = dict((segments.take("I", 4), segments.take("I", 4))
                    for _ in range(segments.number()))
        ip_map = maps[begin]
    table.ips = ips_4(pe, ip_map, begin)
    for _ in range(tries.number() if tries else 0):
        low, high, catch_high = tries.number(), tries.number(), tries.number()
        table.tries.append((low, high, catch_high,
                            catches_4(pe, tries.take("I", 4), function)))
    return table


def all_3(pe) -> dict:
    """{begin: Table} of the functions whose handler's data begins with the RVA of a FuncInfo."""
    found = {}
    for begin, _, unwind in pe.rows():
        handler = pe.handler(unwind)
        if handler and is_info_3(pe, pe.get("I", handler[1])):
            found[begin] = function_info_3(pe, pe.get("I", handler[1]))
    return found


def all_4(pe, handlers) -> dict:
    """{begin: Table} of the functions with one of these handlers."""
    found = {}
    for begin, _, unwind in pe.rows():
        handler = pe.handler(unwind)
        if handler and handler[0] in handlers:
            found[begin] = function_info_4(pe, pe.get("I", handler[1]), begin)
    return found
