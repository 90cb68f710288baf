# kddump.py - fixture of the tests of kernel dumps: a reader of them, and a session to make one of.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Written from the public layouts, shares nothing with lib/analysis.

  KernelDump(data)       header, runs of physical pages, virtual memory by its own page walk
  NtSession(...)         a debugger's session with a Windows kernel that has two processors, as the
                         lines of a recording; nobody recorded it: the values are ours, the layouts
                         those of the references
"""

import json
import struct
from collections import namedtuple

import kdwire

PAGE = 4096
FILL = 0x3F
PRESENT, LARGE = 1, 0x80
ADDRESS = 0x000FFFFFFFFFF000

Run = namedtuple("Run", "first count")


def canonical(address: int) -> int:
    return address | 0xFFFF << 48 if address >> 47 & 1 else address


class KernelDump:
    """DUMP_HEADER64 and the pages behind it."""

    def __init__(self, data: bytes):
        self.data = data
        assert data[:8] == b"PAGEDU64"
        (self.major, self.minor, self.directory, self.pfn, self.module_list, self.process_list,
         self.machine, self.processors, self.bug_check) = struct.unpack_from("<IIQQQQIII", data, 8)
        self.parameters = struct.unpack_from("<4Q", data, 0x40)
        self.data_block, count, pages = struct.unpack_from("<QI4xQ", data, 0x80)
        self.context = data[0x348:0x348 + 0x4D0]
        self.exception = struct.unpack_from("<IIQQI4x15Q", data, 0xF00)
        self.type, self.size, self.time = struct.unpack_from("<I4xQQ", data, 0xF98)
        self.comment = data[0xFB0:0x1030].split(b"\0")[0].decode()
        self.secondary = data[0x104D]
        self.runs = [Run(*struct.unpack_from("<QQ", data, 0x98 + 16 * i)) for i in range(count)]
        assert count <= 42
        assert pages == sum(run.count for run in self.runs)
        assert self.size == len(data) == 0x2000 + PAGE * pages, (self.size, len(data), pages)
        self.places = {}  # page number: offset in the file
        at = 0x2000
        for run in self.runs:
            for number in range(run.first, run.first + run.count):
                assert number not in self.places
                self.places[number] = at
                at += PAGE

    def physical(self, number: int) -> bytes | None:
        at = self.places.get(number)
        return None if at is None else self.data[at:at + PAGE]

    def walk(self) -> tuple[dict[int, int], set[int]]:
        """{address of a page: its page number}, page numbers of the tables."""
        assert self.directory % PAGE == 0
        level, tables = [(self.directory // PAGE, 0)], set()
        for shift in (39, 30, 21, 12):
            below = []
            for number, address in level:
                assert number not in tables
                tables.add(number)
                for i, entry in enumerate(struct.unpack("<512Q", self.physical(number))):
                    if entry & PRESENT:
                        assert shift == 12 or not entry & LARGE
                        below.append(((entry & ADDRESS) // PAGE, address | i << shift))
            level = below
        pages = {canonical(address): number for number, address in level}
        assert len(pages) == len(level)
        return pages, tables

    def memory(self) -> dict[int, bytes]:
        return {address: self.physical(number) for address, number in self.walk()[0].items()}

    def read(self, address: int, size: int) -> bytes:
        pages = self.memory()
        return bytes(pages[a & ~(PAGE - 1)][a % PAGE] for a in range(address, address + size))


# --- a session


def context(**registers) -> bytes:
    """CONTEXT of AMD64."""
    places = {"rax": 0x78, "rcx": 0x80, "rdx": 0x88, "rbx": 0x90, "rsp": 0x98, "rbp": 0xA0,
              "rsi": 0xA8, "rdi": 0xB0, "r8": 0xB8, "r15": 0xF0, "rip": 0xF8}
    data = bytearray(0x4D0)
    struct.pack_into("<IIHHHHHHI", data, 0x30, 0x10001F, 0x1F80, 0x10, 0x2B, 0x2B, 0x53, 0x2B, 0x18,
                     0x202)
    for name, value in registers.items():
        struct.pack_into("<Q", data, places[name], value)
    return bytes(data)


class Session:
    """Packets in the order in which they were sent."""

    def __init__(self):
        self.lines, self.ids = [], {"h2t": 0x80800000, "t2h": 0x80800000}

    def add(self, direction: str, kind: int, payload: bytes):
        data = kdwire.packet(kind, self.ids[direction], payload)
        self.ids[direction] ^= 1
        self.lines.append(json.dumps({"t": len(self.lines) / 1000, "dir": direction,
                                      "hex": data.hex()}))

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def stop(self, processor: int, processors: int, pc: int, code: int = 0x80000003):
        payload = bytearray(240)
        struct.pack_into("<IHHI4xQQ", payload, 0, 0x3030, 6, processor, processors, 0, pc)
        struct.pack_into("<IIQQI4xQ", payload, 32, code, 0, 0, pc, 1, 0)
        struct.pack_into("<I", payload, 184, 1)
        struct.pack_into("<QQIHH16sHHHH", payload, 192, 0xFFFF0FF0, 0x400, 0x202, 16, 3,
                         b"\xcc" + b"\x90" * 15, 0x10, 0x2B, 0x2B, 0x53)
        self.add("t2h", kdwire.STATE_CHANGE64, bytes(payload))

    def ask(self, api: int, union: bytes, answer: bytes, data: bytes = b"", processor: int = 0):
        head = struct.pack("<IHHI4x", api, 6, processor, 0)
        self.add("h2t", kdwire.STATE_MANIPULATE, head + union.ljust(40, b"\0"))
        self.add("t2h", kdwire.STATE_MANIPULATE, head + answer.ljust(40, b"\0") + data)

    def version(self, major: int, build: int, base: int, modules: int, blocks: int):
        self.ask(0x3146, b"", struct.pack("<HHBBHHBBBB2xQQQ", major, build, 6, 2, 7, 0x8664, 12, 3,
                                          0x31, 0, base, modules, blocks))

    def read(self, address: int, data: bytes, api: int = 0x3130, processor: int = 0):
        for at in range(0, len(data), 0x800):
            piece = data[at:at + 0x800]
            union = struct.pack("<QI", address + at, len(piece))
            self.ask(api, union, union + struct.pack("<I", len(piece)), piece, processor)

    def read_physical(self, address: int, data: bytes):
        self.read(address, data, 0x313D)

    def registers(self, processor: int, data: bytes):
        self.ask(0x3132, b"", b"", data, processor)

    def special(self, processor: int, gdt: int, cr3: int):
        data = bytearray(0xF0)
        struct.pack_into("<QQQQ", data, 0, 0x80050033, 0, cr3, 0x6F8)
        struct.pack_into("<HQ", data, 0x56, 0x6F, gdt)
        self.read(2, bytes(data), 0x3137, processor)


class NtSession(Session):
    """whole=False: the debugger did not read where the processors' blocks are; entry: how many
    bytes it read of an entry of the list of modules."""

    BASE, LIST, BLOCKS, BLOCK = (0xFFFFF80312000000, 0xFFFFF80312C2A310, 0xFFFFF80312C00000,
                                 0xFFFFF80312C00B20)
    ARRAY, BUG_CHECK, GDT = 0xFFFFF80312D00040, 0xFFFFF80312D00400, 0xFFFFF80310001000
    PROCESSORS = 0xFFFFF80311111180, 0xFFFFA90022222180
    CONTEXT, SPECIAL, THREAD = 0x1F0, 0x100, 0xFFFFA90044440000
    PROCESS = 0xFFFFA90066660000
    CODE, STACK = BASE + 0x3FD2E0, 0xFFFFA90033330F00
    CR3 = 0x1AD000
    NAMES = ("\\SystemRoot\\system32\\ntoskrnl.exe", "\\SystemRoot\\System32\\drivers\\demo.sys")
    BASES, SIZES = (BASE, 0xFFFFF80313370000), (0x1046000, 0x8000)

    def __init__(self, whole: bool = True, entry: int = 0xA0):
        super().__init__()
        self.contexts = [context(rax=0x1111, rip=self.BASE + 0x5000, rsp=self.STACK - 0x800),
                         context(rax=0x2222, rcx=0xE2, rip=self.CODE, rsp=self.STACK)]
        self.stop(1, 2, self.CODE)
        self.version(0x000F, 19041, self.BASE, self.LIST, self.BLOCKS)
        self.read(self.BLOCKS, struct.pack("<Q", self.BLOCK))
        self.read(self.BLOCK, self.block())
        if whole:
            self.read(self.ARRAY, struct.pack("<QQ", *self.PROCESSORS))
        for number, processor in enumerate(self.PROCESSORS):
            self.read(processor, struct.pack("<IIQ8xQ4xI", 0x1F80, 0, self.THREAD, 0, number))
        self.read(self.THREAD, bytes(0xB8) + struct.pack("<Q", self.PROCESS) + bytes(0x40))
        self.read(self.PROCESS, bytes(0x28) + struct.pack("<Q", self.CR3) + bytes(0x600))
        self.modules(entry)
        self.read(self.BUG_CHECK, struct.pack("<5Q", 0xE2, 1, 2, 3, 4))
        self.read(self.GDT, struct.pack("<4Q", 0, 0, 0x00209B0000000000, 0x0040930000000000))
        for number, data in enumerate(self.contexts):
            self.registers(number, data)
            self.special(number, self.GDT, self.CR3)
        self.read(self.CODE, b"\xcc\xc3" + bytes(62))
        self.read(self.STACK, struct.pack("<4Q", self.BASE + 0x1234, 5, 6, 7))
        self.read_physical(0x100000, b"own page!")

    def block(self) -> bytes:
        data = bytearray(0x3A8)
        struct.pack_into("<QQ4sIQ", data, 0, self.BLOCKS, self.BLOCKS, b"KDBG", 0x3A8, self.BASE)
        for at, form, value in ((0x48, "Q", self.LIST), (0x88, "Q", self.BUG_CHECK),
                                (0x138, "Q", PAGE), (0x1D0, "Q", 0xFFFF800000000000),
                                (0x218, "Q", self.ARRAY), (0x29A, "H", 0xF0), (0x29C, "H", 0x58),
                                (0x2A0, "H", 0xB8), (0x2A8, "H", 0xA40), (0x2AA, "H", 0x550),
                                (0x2AE, "H", 0x28), (0x2B0, "H", 0xC00), (0x2B4, "H", 0x08),
                                (0x2BC, "H", self.CONTEXT), (0x2BE, "H", 0x24),
                                (0x2C0, "H", 0x898), (0x2F2, "H", self.SPECIAL)):
            struct.pack_into(f"<{form}", data, at, value)
        return bytes(data)

    def modules(self, size: int):
        entries = [0xFFFFA90055550000 + 0x200 * i for i in range(len(self.NAMES))]
        ring = [self.LIST, *entries]
        self.read(self.LIST, struct.pack("<QQ", ring[1], ring[-1]))
        for i, (name, base) in enumerate(zip(self.NAMES, self.BASES)):
            text = name.encode("utf-16-le")
            short = 2 * len(name.rsplit("\\", 1)[1])
            place = entries[i] + 0x100
            self.read(entries[i], struct.pack(
                "<QQ32xQQI4xHH4xQHH4xQ16xI4xI20xII", ring[(i + 2) % len(ring)], ring[i], base, 0,
                self.SIZES[i], len(text), len(text), place, short, short,
                place + len(text) - short, 0x1A2B3C + i, 0x71000000 + i, self.SIZES[i],
                0x5F000000 + i)[:size])  # at 0x80 a boot debugger's would be
            self.read(place, text)
