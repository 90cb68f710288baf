# kdtarget.py - a KD target in Python: a small machine with a program, and faults on the line.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The target end of KD, written from the protocol reference; shares nothing with lib/kd.

  target = Target(); target.serve(peer)    answers on a thread until target.close()
  target.stop_at(...), target.say(...)     what it does by itself; queued, done in order
  target.faults                            what goes wrong on the line, used up one by one
The machine has one processor, a program of a few instructions (PROGRAM), memory, ports and MSRs.
"""

import select
import struct
import threading
import time

import kdtap
import kdwire

BASE, SIZE = 0x10000000, 0x5000
CODE, DATA, STACK = BASE + 0x1000, BASE + 0x3000, 0x20000000
LIST_HEAD = BASE + 0x2000
GUID = bytes(range(16))
CONTEXT, SPECIAL = 1232, 0xF0
REGISTERS = {"rax": 0x78, "rcx": 0x80, "rbx": 0x90, "rsp": 0x98, "r15": 0xF0, "rip": 0xF8}
START, SUB, LEAF, IDLE, FAULT = CODE, CODE + 0x100, CODE + 0x200, CODE + 0x10, CODE + 0x300

# address: (bytes, what, argument)
PROGRAM = {
    START: (b"\x90", "next", 0),
    START + 1: (b"\xe8\xfa\x00\x00\x00", "call", SUB),
    START + 6: (b"\x48\x89\x03\x90", "store", DATA),
    START + 10: (b"\xeb\x04", "jump", IDLE),
    IDLE: (b"\xeb\xfe", "idle", 0),
    SUB: (b"\x90", "next", 0),
    SUB + 1: (b"\xe8\xfa\x00\x00\x00", "call", LEAF),
    SUB + 6: (b"\xc3", "return", 0),
    LEAF: (b"\xc3", "return", 0),
    FAULT: (b"\x48\x8b\x00", "fault", 0x1234),
}
SUCCESS, FAILURE = 0, 0xC0000001
SYNC, FIRST = 0x800, 0x80800000


def image() -> bytearray:
    """The module in memory: headers, RSDS record, code, loader entry."""
    memory = bytearray(SIZE)
    struct.pack_into("<2s58xI", memory, 0, b"MZ", 0x80)
    struct.pack_into("<4s20xH", memory, 0x80, b"PE\0\0", 0x20B)
    struct.pack_into("<II", memory, 0x80 + 0x18 + 0x70 + 48, 0x400, 28)
    struct.pack_into("<12xIII", memory, 0x400, 2, 24 + 9, 0x440)
    struct.pack_into("<4s16sI9s", memory, 0x440, b"RSDS", GUID, 7, b"demo.pdb\0")
    for address, (code, _, _) in PROGRAM.items():
        memory[address - BASE:address - BASE + len(code)] = code
    name = "\\EFI\\demo.efi".encode("utf-16-le")
    entry, text = LIST_HEAD + 0x100, LIST_HEAD + 0x200
    memory[text - BASE:text - BASE + len(name)] = name
    struct.pack_into("<QQ", memory, LIST_HEAD - BASE, entry, entry)
    struct.pack_into("<QQ32xQQI4xHH4xQHH4xQ", memory, entry - BASE, LIST_HEAD, LIST_HEAD, BASE,
                     CODE, SIZE, len(name), len(name), text, 16, 16, text + len(name) - 16)
    return memory


class Line:
    """Packets on a stream: ids, acknowledgements, repetition, as a target does it."""

    def __init__(self, target):
        self.target, self.peer = target, None
        self.start()

    def start(self):
        self.buffer = b""
        self.sent_id, self.expected = FIRST | SYNC, FIRST
        self.waiting = None
        self.due = 0.0

    def write(self, data: bytes):
        for fault in list(self.target.faults):
            if fault(data) is not None:
                self.target.faults.remove(fault)
                data = fault(data)
                break
        try:
            self.peer.send(data)
        except OSError:
            self.target.gone = True

    def control(self, kind: int, number: int = 0):
        self.write(kdwire.packet(kind, number))

    def send(self, kind: int, payload: bytes):
        self.waiting = kdwire.packet(kind, self.sent_id, payload)
        self.repeat()

    def repeat(self):
        self.due = time.monotonic() + 0.3
        self.write(self.waiting[:8] + struct.pack("<I", self.sent_id) + self.waiting[12:])

    def feed(self, data: bytes):
        self.buffer += data
        while self.buffer:
            if self.buffer[:1] == kdwire.BREAKIN:
                self.buffer = self.buffer[1:]
                self.target.break_in()
            elif self.buffer[:4] in (kdwire.DATA_LEADER, kdwire.CONTROL_LEADER):
                if not self.take_packet():
                    return
            elif len(self.buffer) < 4 and len(set(self.buffer)) == 1:
                return
            else:
                self.buffer = self.buffer[1:]

    def take_packet(self) -> bool:
        if len(self.buffer) < 16:
            return False
        kind, size, number, checksum = struct.unpack_from("<HHII", self.buffer, 4)
        is_data = self.buffer[:4] == kdwire.DATA_LEADER
        if is_data and len(self.buffer) < 17 + size:
            return False
        payload = self.buffer[16:16 + size] if is_data else b""
        good = not is_data or (sum(payload) == checksum and self.buffer[16 + size] == 0xAA)
        self.buffer = self.buffer[16 + (size + 1 if is_data else 0):]
        if not good:
            self.control(kdwire.RESEND)
        elif is_data:
            self.take_data(kind, number, payload)
        else:
            self.take_control(kind, number)
        return True

    def take_data(self, kind: int, number: int, payload: bytes):
        if self.target.deaf > 0:
            self.target.deaf -= 1
            return
        self.control(kdwire.ACKNOWLEDGE, number & ~SYNC)
        if number & ~SYNC != self.expected:
            return
        self.expected ^= 1
        self.target.request(kind, payload)

    def take_control(self, kind: int, number: int):
        if kind == kdwire.ACKNOWLEDGE and self.waiting and number == self.sent_id & ~SYNC:
            self.waiting = None
            self.sent_id = (self.sent_id ^ 1) & ~SYNC
        elif kind == kdwire.RESET:
            self.sent_id = self.expected = FIRST
            self.control(kdwire.RESET)
            if self.waiting:
                self.repeat()
            elif self.target.stopped:
                self.target.report()
        elif kind == kdwire.RESEND:
            if self.waiting:
                self.repeat()
            elif self.target.stopped:
                self.target.report()

    def turn(self):
        if self.waiting and time.monotonic() >= self.due:
            self.repeat()


class Target:
    """One machine; its attributes may be set before serve()."""

    def __init__(self):
        self.memory = {BASE: image(), STACK - 0x1000: bytearray(0x1000)}
        self.physical = bytearray(range(256)) * 16
        self.context = bytearray(CONTEXT)
        struct.pack_into("<I", self.context, 0x30, 0x10001F)
        self.special = bytearray(SPECIAL)
        struct.pack_into("<Q", self.special, 0x10, 0x1AB000)
        self.set("rip", START)
        self.set("rsp", STACK - 0x100)
        self.ports, self.msrs = {0x3F8: 0x41}, {0x10: 0x1122334455667788}
        self.breakpoints = {}
        self.faults, self.deaf, self.silent_apis = [], 0, set()
        self.searches = self.fills = True
        self.stopped = False
        self.break_pending = False
        self.status = (0x80000003, START, ())
        self.dr6 = 0
        self.todo = []     # what it does next, while it runs
        self.asking = False
        self.answers = []  # to prompts
        self.requests = []
        self.gone = False
        self.idle = True
        self.line = Line(self)

    def add_module(self, path: str, base: int, memory: bytearray):
        """One more image in memory, at the front of the list."""
        entry = LIST_HEAD + 0x400 * len(self.memory)
        text, first = path.encode("utf-16-le"), struct.unpack("<Q", self.read(LIST_HEAD, 8))[0]
        self.memory[base] = memory
        self.write(entry + 0x100, text)
        self.write(entry, struct.pack("<QQ32xQQI4xHH4xQHH4xQ", first, LIST_HEAD, base, base,
                                      len(memory), len(text), len(text), entry + 0x100, 0, 0, 0))
        self.write(LIST_HEAD, struct.pack("<Q", entry))

    # --- registers and memory

    def get(self, name: str) -> int:
        return struct.unpack_from("<Q", self.context, REGISTERS[name])[0]

    def set(self, name: str, value: int):
        struct.pack_into("<Q", self.context, REGISTERS[name], value)

    def region(self, address: int):
        for base, data in self.memory.items():
            if base <= address < base + len(data):
                return data, address - base
        return None, 0

    def read(self, address: int, size: int) -> bytes:
        data, at = self.region(address)
        return bytes(data[at:at + size]) if data is not None else b""

    def write(self, address: int, data: bytes) -> int:
        region, at = self.region(address)
        if region is None:
            return 0
        size = min(len(data), len(region) - at)
        region[at:at + size] = data[:size]
        return size

    # --- running

    def serve(self, peer):
        self.line.peer = peer
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.gone:
            if select.select([self.line.peer.read_fd], [], [], 0.02)[0]:
                data = self.line.peer.receive_some()
                if data is None:
                    return
                self.line.feed(data)
            self.line.turn()
            if not self.stopped and not self.line.waiting and not self.asking:
                self.act()

    def act(self):
        """One thing it does by itself."""
        if self.todo:
            self.todo.pop(0)()
        elif self.break_pending:
            self.break_pending = False
            self.stop(0x80000003, self.get("rip"))
        elif not self.idle:
            self.instruction()

    def close(self):
        self.gone = True
        self.thread.join(kdtap.PATIENCE)
        self.line.peer.close()

    def break_in(self):
        if self.stopped and not self.line.waiting:
            self.report()
        elif not self.stopped:
            self.break_pending = True

    def watched(self, kinds: tuple, address: int) -> int:
        """Bits of Dr6 for the debug registers of these kinds that watch this address."""
        dr7 = struct.unpack_from("<Q", self.special, 0x48)[0]
        bits = 0
        for slot in range(4):
            watched = struct.unpack_from("<Q", self.special, 0x20 + 8 * slot)[0]
            if dr7 >> 2 * slot & 3 and dr7 >> 16 + 4 * slot & 3 in kinds and watched == address:
                bits |= 1 << slot
        return bits

    def instruction(self, trace: bool = False):
        pc, sp = self.get("rip"), self.get("rsp")
        if self.read(pc, 1) == b"\xcc":
            self.stop(0x80000003, pc)
            return
        bits = self.watched((0,), pc)
        if bits:
            self.dr6 = bits
            self.stop(0x80000004, pc)
            return
        code, what, argument = PROGRAM[pc]
        following = pc + len(code)
        if what == "call":
            self.set("rsp", sp - 8)
            self.write(sp - 8, struct.pack("<Q", following))
            following = argument
        elif what == "return":
            following = struct.unpack("<Q", self.read(sp, 8))[0]
            self.set("rsp", sp + 8)
        elif what == "jump":
            following = argument
        elif what == "idle":
            following, self.idle = pc, not trace
        elif what == "store":
            self.write(argument, b"\x01")
            bits = self.watched((1, 3), argument)
        elif what == "fault":
            self.stop(0xC0000005, pc, (0, argument))
            return
        self.set("rip", following)
        self.dr6 = bits | (0x4000 if trace else 0)
        if trace or bits:
            self.stop(0x80000004, following)

    def stop(self, code: int, address: int, information: tuple = ()):
        self.stopped = self.idle = True
        self.status = code, address, information
        self.report()

    def change(self, state: int, union: bytes, text: bytes = b"") -> bytes:
        stream = self.read(self.get("rip"), 16)
        head = struct.pack("<IHHIIQQ", state, 6, 0, 1, 0, 0, self.get("rip"))
        report = struct.pack("<QQIHH16s4H", self.dr6, 0x400, 0x202, len(stream), 1, stream, 0x10,
                             0x2B, 0x2B, 0x53)
        return head + union.ljust(160, b"\xee") + report + text

    def report(self):
        code, address, information = self.status
        if code is None:
            self.line.send(kdwire.STATE_CHANGE64, address)
            return
        words = (*information, *[0] * (15 - len(information)))
        union = struct.pack("<IIQQII15QII", code, 0, 0, address, len(information), 0, *words, 1, 0)
        self.line.send(kdwire.STATE_CHANGE64, self.change(0x3030, union))

    # --- what it does by itself

    def say(self, text: bytes):
        body = struct.pack("<IHHII", 0x3230, 6, 0, len(text), 0) + text
        self.todo.append(lambda: self.line.send(kdwire.DEBUG_IO, body))

    def await_answer(self, kind: int, body: bytes):
        def do():
            self.asking = True
            self.line.send(kind, body)
        self.todo.append(do)

    def ask(self, text: bytes, room: int = 100):
        body = struct.pack("<IHHII", 0x3231, 6, 0, len(text), room) + text
        self.await_answer(kdwire.DEBUG_IO, body)

    def ask_file(self, name: str):
        body = struct.pack("<II5I4xQQ16x", 0x3430, 0, 0x120089, 0x80, 1, 1, 0, 0, 0)
        body += name.encode("utf-16-le") + b"\0\0"
        self.await_answer(kdwire.FILE_IO, body)

    def load(self, path: bytes, base: int, size: int, unload: bool = False):
        union = struct.pack("<I4xQQIIB", len(path) + 1, base, 0xFFFFFFFF, 0x1234, size, unload)

        def do():
            self.stopped = True
            self.status = None, self.change(0x3031, union, path + b"\0"), ()
            self.report()
        self.todo.append(do)

    def raw(self, data: bytes):
        self.todo.append(lambda: self.line.write(data))

    def restart(self):
        """Power lost and back: a new conversation, stopped at its start."""
        def do():
            self.line.start()
            self.set("rip", START)
            self.stop(0x80000003, START)
        self.todo.append(do)
        self.stopped, self.line.waiting = False, None

    # --- requests

    def request(self, kind: int, payload: bytes):
        if kind == kdwire.STATE_MANIPULATE:
            api, = struct.unpack_from("<I", payload)
            self.requests.append((api, payload))
            handler = HANDLERS.get(api)
            if api in self.silent_apis:
                return
            reply = handler(self, payload[16:56], payload[56:]) if handler else (FAILURE,)
            if reply is not None:
                self.reply(payload, *reply)
        else:
            self.answers.append((kind, payload))
            self.asking = False

    def reply(self, request: bytes, status: int, union: bytes | None = None, data: bytes = b""):
        union = request[16:56] if union is None else union.ljust(40, b"\xee")
        self.line.send(kdwire.STATE_MANIPULATE,
                       request[:8] + struct.pack("<II", status, 0) + union + data)

    def memory_reply(self, union: bytes, data: bytes, wanted: int):
        address, count = struct.unpack_from("<QI", union)
        status = SUCCESS if len(data) == wanted else FAILURE
        return status, struct.pack("<QII", address, count, len(data)), data

    def read_memory(self, union: bytes, _data: bytes):
        address, count = struct.unpack_from("<QI", union)
        wanted = min(count, 3944)
        return self.memory_reply(union, self.read(address, wanted), wanted)

    def write_memory(self, union: bytes, data: bytes):
        address, count = struct.unpack_from("<QI", union)
        done = self.write(address, data)
        return SUCCESS if done == count else FAILURE, struct.pack("<QII", address, count, done)

    def read_physical(self, union: bytes, _data: bytes):
        address, count = struct.unpack_from("<QI", union)
        return self.memory_reply(union, bytes(self.physical[address:address + count]), count)

    def read_special(self, union: bytes, _data: bytes):
        address, count = struct.unpack_from("<QI", union)
        if address != 2:
            return (FAILURE,)
        return SUCCESS, struct.pack("<QII", 2, count, min(count, SPECIAL)), bytes(
            self.special[:count])

    def write_special(self, union: bytes, data: bytes):
        self.special[:len(data)] = data
        return SUCCESS, struct.pack("<QII", 2, len(data), len(data))

    def set_context(self, _union: bytes, data: bytes):
        assert len(data) == CONTEXT
        self.context[:] = data
        return (SUCCESS,)

    def write_breakpoint(self, union: bytes, _data: bytes):
        address, = struct.unpack_from("<Q", union)
        old = self.read(address, 1)
        if not old:
            return (FAILURE,)
        handle = next(number for number in range(1, 33) if number not in self.breakpoints)
        self.breakpoints[handle] = address, old
        self.write(address, b"\xcc")
        return SUCCESS, struct.pack("<QI", address, handle)

    def restore_breakpoint(self, union: bytes, _data: bytes):
        handle, = struct.unpack_from("<I", union)
        if handle not in self.breakpoints:
            return (FAILURE,)
        self.write(*self.breakpoints.pop(handle))
        return (SUCCESS,)

    def resume(self, union: bytes, _data: bytes):
        _status, trace, dr7 = struct.unpack_from("<IIQ", union)
        struct.pack_into("<Q", self.special, 0x48, dr7)
        self.dr6 = 0
        self.stopped = False
        if trace:
            self.todo.insert(0, lambda: self.instruction(trace=True))
        else:
            self.idle = self.get("rip") == IDLE
        return None

    def read_port(self, union: bytes, _data: bytes):
        port, size = struct.unpack_from("<QI", union)
        return SUCCESS, struct.pack("<QII", port, size, self.ports.get(port, 0xFFFFFFFF))

    def write_port(self, union: bytes, _data: bytes):
        port, _size, value = struct.unpack_from("<QII", union)
        self.ports[port] = value
        return (SUCCESS,)

    def read_msr(self, union: bytes, _data: bytes):
        number, = struct.unpack_from("<I", union)
        if number not in self.msrs:
            return (FAILURE,)
        return SUCCESS, struct.pack("<IQ", number, self.msrs[number])

    def write_msr(self, union: bytes, _data: bytes):
        number, value = struct.unpack_from("<IQ", union)
        if number not in self.msrs:
            return (FAILURE,)
        self.msrs[number] = value
        return (SUCCESS,)

    def search(self, union: bytes, pattern: bytes):
        address, length, _ = struct.unpack_from("<QQI", union)
        if not self.searches:
            return (FAILURE,)
        at = self.read(address, length).find(pattern)
        if at < 0:
            return (0x8000001A,)
        return SUCCESS, struct.pack("<QQI", address + at, length, len(pattern))

    def fill(self, union: bytes, pattern: bytes):
        address, length, _flags, _size = struct.unpack_from("<QIHH", union)
        if not self.fills:
            return (FAILURE,)
        done = self.write(address, (pattern * length)[:length])
        return SUCCESS, struct.pack("<QIHH", address, done, 1, len(pattern))

    def version(self, _union: bytes, _data: bytes):
        return SUCCESS, struct.pack("<HHBBHHBBBBHQQQ", 0x040F, 4711, 6, 2, 2, 0x8664, 12, 0x32,
                                    0x59, 0, 0, BASE, LIST_HEAD, 0)

    def bus_data(self, union: bytes, _data: bytes):
        kind, bus, slot, offset, length = struct.unpack_from("<5I", union)
        if (kind, bus, slot) != (4, 0, 1 | 2 << 5):
            return (FAILURE,)
        data = bytes.fromhex("86801234")[offset:offset + length]
        return SUCCESS, struct.pack("<5I", kind, bus, slot, offset, len(data)), data

    def query(self, union: bytes, _data: bytes):
        address, = struct.unpack_from("<Q", union)
        return SUCCESS, struct.pack("<QQII", address, 0, 2, 5)

    def reboot(self, _union: bytes, _data: bytes):
        self.stopped = False
        self.restart()


HANDLERS = {
    0x3130: Target.read_memory, 0x3131: Target.write_memory,
    0x3132: lambda target, _union, _data: (SUCCESS, None, bytes(target.context)),
    0x3133: Target.set_context, 0x3134: Target.write_breakpoint,
    0x3135: Target.restore_breakpoint, 0x3137: Target.read_special,
    0x3138: Target.write_special, 0x3139: Target.read_port, 0x313A: Target.write_port,
    0x313B: Target.reboot, 0x313C: Target.resume, 0x313D: Target.read_physical,
    0x3146: Target.version, 0x3152: Target.read_msr, 0x3153: Target.write_msr,
    0x3156: Target.search, 0x3157: Target.bus_data, 0x315B: Target.fill, 0x315C: Target.query,
}
