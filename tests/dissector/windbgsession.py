# windbgsession.py - what a debugger knows at each moment of a session, from decoded fields.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Plays the packets of a capture one by one: registers, memory, ports, stops.

Nothing but field values is used, and only of the kind that means what is kept: registers come from
kd.context.* and kd.special.*, memory from kd.data of a read or a write. Registers and memory are
forgotten at each stop, as the debugger forgets them, so that a value must have come since.
"""

import struct

import kdcapture as kd


VECTORS = {"kd.context.st", "kd.context.xmm"}
NO_NUMBER = {"vector", "v", "extended", "fp.registers"}  # more bytes, which no text shows


class Session:
    """State after the packets fed so far."""

    def __init__(self):
        self.version: dict[str, int] = {}
        self.printed = ""
        self.prompt = self.answer = self.command = None
        self.prompt_max = None
        self.ports: dict[tuple[int, int], int] = {}  # (port, bytes) -> last value read or written
        self.msrs: dict[int, int] = {}
        self.msrs_written: dict[int, int] = {}
        self.msr_refused = False
        self.found: set[int] = set()
        self.filled = None  # bytes, by the last FillMemory
        self.bytes_in_a_row = 0  # written at ascending addresses: how a refused fill is done
        self._written_to = None
        self.breakpoints: set[int] = set()
        self.images: dict[int, dict[str, int]] = {}
        self._loaded: dict[int, int] = {}
        self.paths: set[str] = set()  # of the images of load events
        self.processors = None
        self.reads_failed: set[int] = set()
        self._ever: dict[int, int] = {}  # memory, whenever it was read
        self._unwritable: set[tuple[bool, int]] = set()
        self._requests: dict[int, kd.Unit] = {}
        self.exception: dict[str, int] = {}
        self.stop_is_new = False
        self._forget()

    def _forget(self) -> None:
        self.pc = self.stop_code = self.first_chance = None
        self.context: dict[str, int] = {}
        self.special: dict[str, int] = {}
        self._vectors: dict[str, list[bytes]] = {}
        self._memory: dict[bool, dict[int, int]] = {False: {}, True: {}}  # by whether physical
        self._unreadable: list[range] = []

    # --- questions

    def read(self, address: int, size: int, physical: bool = False) -> bytes | None:
        """Memory that was read, or written, since the stop."""
        memory = self._memory[physical]
        places = range(address, address + size)
        return bytes(memory[at] for at in places) if all(at in memory for at in places) else None

    def unreadable(self, address: int) -> bool:
        return any(address in failed for failed in self._unreadable)

    def unwritable(self, address: int, physical: bool) -> bool:
        return (physical, address) in self._unwritable

    def modules(self) -> dict[int, int]:
        """Base -> size: from load events, and of the image that GetVersion names."""
        known = dict(self._loaded)
        base = self.version.get("kern_base")
        if base is not None:
            known[base] = self.image_field(base, 80, 4)
        return known

    def image_field(self, base: int, offset: int, size: int) -> int | None:
        """A number in the PE header of an image, out of memory that was read at some time."""
        if base >> 31 == 1:
            base |= 0xFFFFFFFF00000000
        header = self._number(base + 0x3C, 4)
        return None if header is None else self._number(base + header + offset, size)

    def _number(self, address: int, size: int) -> int | None:
        data = [self._ever.get(address + at) for at in range(size)]
        return None if None in data else int.from_bytes(data, "little")

    def xmm(self, index: int) -> list[float] | None:
        registers = self._vectors.get("kd.context.xmm", [])
        return list(struct.unpack("<4f", registers[index])) if index < len(registers) else None

    def st(self, index: int) -> bytes | None:
        """The 10 bytes of a floating-point register."""
        registers = self._vectors.get("kd.context.st", [])
        return registers[index][:10] if index < len(registers) else None

    def mm(self, index: int) -> int | None:
        """Its low 8 bytes."""
        register = self.st(index)
        return None if register is None else int.from_bytes(register[:8], "little")

    # --- packets

    def feed(self, packet: kd.Unit) -> None:
        if packet.type == kd.STATE_CHANGE64:
            self._state_change(packet)
        elif packet.type == kd.DEBUG_IO:
            self._debug_io(packet)
        elif packet.type == kd.STATE_MANIPULATE and packet.flow == kd.TO_TARGET:
            self._requests[packet.frame] = packet
            self._request(packet)
        elif packet.type == kd.STATE_MANIPULATE:
            self._reply(packet)

    def _state_change(self, packet: kd.Unit) -> None:
        self._forget()
        self.pc = packet.number("kd.pc")
        self.processors = packet.number("kd.processors")
        if packet.number("kd.state") == kd.EXCEPTION:
            self.stop_is_new = True
            self.stop_code = packet.number("kd.exception.code")
            self.first_chance = bool(packet.number("kd.exception.first_chance"))
            self.exception = {name: packet.number(f"kd.exception.{name}")
                              for name in ("code", "flags", "address", "parameters")}
        elif packet.number("kd.state") == kd.LOAD_SYMBOLS and not packet.number("kd.module.unload"):
            self._loaded[packet.number("kd.module.base")] = packet.number("kd.module.size")
            self.paths.add(packet.text("kd.module.path"))
        elif packet.number("kd.state") == kd.COMMAND_STRING:
            self.command = packet.text("kd.command.text")
        if "kd.report.instructions" in packet:
            self._store(self.pc, packet.data("kd.report.instructions"), False)

    def _debug_io(self, packet: kd.Unit) -> None:
        if "kd.text" in packet:
            self.printed += packet.text("kd.text") + "\n"
        elif "kd.prompt" in packet:
            self.prompt = packet.text("kd.prompt")
            self.prompt_max = packet.number("kd.string_max")
        elif "kd.answer" in packet:
            self.answer = packet.text("kd.answer")

    def _request(self, packet: kd.Unit) -> None:
        if packet.api == kd.WRITE_MSR:
            self.msrs_written[packet.number("kd.msr")] = packet.number("kd.msr.value")
        self._registers(packet)

    def _registers(self, packet: kd.Unit) -> None:
        """Of a CONTEXT or control space, whole or a part, read or written."""
        for name, values in packet.values.items():
            register = name.split(".", 2)[-1]
            registers = self.special if name.startswith("kd.special.") else self.context
            if name in VECTORS:
                self._vectors[name] = [bytes.fromhex(value.replace(":", "")) for value in values]
            elif name.startswith(("kd.context.", "kd.special.")) and register not in NO_NUMBER \
                    and len(values) == 1:
                registers[register] = packet.number(name)

    def _reply(self, packet: kd.Unit) -> None:
        request = self._requests[packet.number("kd.request_in")]
        done = packet.number("kd.status") < 0x80000000
        if packet.api in (kd.READ_VIRTUAL, kd.READ_PHYSICAL):
            self._memory_read(packet)
        elif packet.api in (kd.WRITE_VIRTUAL, kd.WRITE_PHYSICAL):
            self._memory_written(request, done)
        elif packet.api in (kd.READ_IO, kd.WRITE_IO) and done:
            source = packet if packet.api == kd.READ_IO else request
            place = source.number("kd.port"), source.number("kd.io.size")
            self.ports[place] = source.number("kd.io.value")
        elif packet.api == kd.READ_MSR and done:
            self.msrs[packet.number("kd.msr")] = packet.number("kd.msr.value")
        elif packet.api == kd.WRITE_MSR:
            self.msr_refused = not done
        elif packet.api == kd.GET_VERSION:
            self.version = {name.removeprefix("kd.version."): packet.number(name)
                            for name in packet.values if name.startswith("kd.version.")}
        elif packet.api == kd.SEARCH_MEMORY and done:
            self.found.add(packet.number("kd.found"))
        elif packet.api == kd.FILL_MEMORY and done:
            self._filled(request, packet)
        elif packet.api == kd.WRITE_BREAKPOINT and done:
            self.breakpoints.add(packet.number("kd.address"))
        self._registers(packet)

    # --- memory

    @staticmethod
    def _place(packet: kd.Unit) -> tuple[int, bool]:
        physical = "kd.physical_address" in packet
        return packet.number("kd.physical_address" if physical else "kd.address"), physical

    def _store(self, address: int, data: bytes, physical: bool) -> None:
        for at, byte in enumerate(data, address):
            self._memory[physical][at] = byte
            if not physical:
                self._ever[at] = byte

    def _memory_read(self, packet: kd.Unit) -> None:
        address, physical = self._place(packet)
        if "kd.data" in packet:
            self._store(address, packet.data("kd.data"), physical)
        end = address + packet.number("kd.count")
        self._unreadable.append(range(address + packet.number("kd.actual"), end))
        if packet.number("kd.status"):
            self.reads_failed.add(address)
        image = {name.removeprefix("kd.image."): packet.number(name)
                 for name in packet.values if name.startswith("kd.image.")}
        if image:
            self.images.setdefault(address, {}).update(image)

    def _memory_written(self, request: kd.Unit, done: bool) -> None:
        address, physical = self._place(request)
        if done:
            data = request.data("kd.data")
            self._store(address, data, physical)
            follows = address == self._written_to
            self.bytes_in_a_row = len(data) + (self.bytes_in_a_row if follows else 0)
            self._written_to = address + len(data)
        else:
            self._unwritable.add((physical, address))

    def _filled(self, request: kd.Unit, reply: kd.Unit) -> None:
        self.filled = reply.number("kd.fill.length")
        pattern = request.data("kd.pattern")
        data = (pattern * (self.filled // len(pattern) + 1))[:self.filled]
        self._store(request.number("kd.address"), data, False)
