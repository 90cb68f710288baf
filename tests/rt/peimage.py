# peimage.py - an image as it lies in memory, read here and not by lib/image.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Pe(path): memory, sections by name, the exception directory, and what handlers functions name."""

import struct
from pathlib import Path

HANDLERS = 3  # UNW_FLAG_EHANDLER | UNW_FLAG_UHANDLER


class Pe:
    def __init__(self, path: Path):
        data = path.read_bytes()
        header = struct.unpack_from("<I", data, 0x3C)[0]
        count, optional = struct.unpack_from("<H12xH", data, header + 6)
        self.base = struct.unpack_from("<Q", data, header + 48)[0]
        size, headers = struct.unpack_from("<II", data, header + 80)
        self.memory = bytearray(size)
        self.memory[:headers] = data[:headers]
        self.sections = {}
        for i in range(count):
            row = header + 24 + optional + 40 * i
            name = data[row:row + 8].rstrip(b"\0").decode()
            virtual, rva, raw, offset = struct.unpack_from("<IIII", data, row + 8)
            self.sections[name] = (rva, virtual)
            part = data[offset:offset + min(raw, virtual)]
            self.memory[rva:rva + len(part)] = part
        self.pdata = struct.unpack_from("<II", data, header + 24 + 112 + 24)

    def get(self, form: str, rva: int):
        """One value, or a tuple of them."""
        values = struct.unpack_from("<" + form, self.memory, rva)
        return values[0] if len(values) == 1 else values

    def rows(self) -> list[tuple[int, int, int]]:
        """(begin, end, unwind information) of the exception directory."""
        rva, size = self.pdata
        return [self.get("III", at) for at in range(rva, rva + size, 12)]

    def functions(self) -> list[tuple[int, int]]:
        return [row[:2] for row in self.rows()]

    def handler(self, unwind: int):
        """(RVA of the handler, RVA of its data), or None."""
        first, _, codes, _ = self.get("4B", unwind)
        at = unwind + 4 + 2 * (codes + codes % 2)
        return (self.get("I", at), at + 4) if first >> 3 & HANDLERS else None
