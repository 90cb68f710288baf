# kdstack.py - an image with unwind tables, and stacks for kdtarget's machine, made by hand.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a stack holds follows from what the functions of FUNCTIONS do, written down here as their
frames are laid out from the lowest address up; nothing is unwound.

  image(...)     the image in memory, to be loaded at BASE
  Stack          frames from the innermost on; expected: (address, stack pointer) of each
"""

import struct

BASE, SIZE = 0x140000000, 0x4000
STACK, STACK_SIZE = 0x60000000, 0x20000
LEAF, PUSH, LARGE, POINTER, CHAINED, PART, HANDLER, ROOT = (
    0x1100, 0x1200, 0x1300, 0x1400, 0x1500, 0x1600, 0x1700, 0x1800)
EXPORTS = {"push": PUSH, "root": ROOT}
DIRECTORY, UNWIND, NAMES, METADATA = 0x2000, 0x2100, 0x2300, 0x3000
RBX, RSP, RBP, RSI, RDI = 3, 4, 5, 6, 7


def codes(*pairs) -> bytes:
    """Unwind codes: (offset, operation, info, further slots...)."""
    data = b""
    for offset, operation, info, *more in pairs:
        data += struct.pack(f"<BB{len(more)}H", offset, operation | info << 4, *more)
    return data


def information(prologue: int, slots: bytes, *, flags=0, frame=0, tail=b"") -> bytes:
    count = len(slots) // 2
    return struct.pack("<4B", 1 | flags << 3, prologue, count, frame) + slots + bytes(
        count % 2 * 2) + tail


# begin: (end, unwind information). The prologues are
#   PUSH     push rbx; sub rsp, 20h                      CHAINED  push rdi; sub rsp, 30h
#   LARGE    push rbp; sub rsp, 12340h                   PART     the end of CHAINED, elsewhere
#   POINTER  push rbp; sub rsp, 40h; lea rbp, [rsp+20h]  ROOT     sub rsp, 28h
#   HANDLER  (the processor pushes a frame with an error code); sub rsp, 28h
FUNCTIONS = {
    PUSH: (PUSH + 0x40, information(5, codes((5, 2, 3), (1, 0, RBX)))),
    LARGE: (LARGE + 0x80, information(8, codes((8, 1, 1, 0x2340, 1), (1, 0, RBP)))),
    POINTER: (POINTER + 0x80, information(10, codes((10, 3, 0), (5, 2, 7), (1, 0, RBP)),
                                          frame=RBP | 2 << 4)),
    CHAINED: (CHAINED + 0x20, information(5, codes((5, 2, 5), (1, 0, RDI)))),
    PART: (PART + 0x40, information(0, b"", flags=4)),
    HANDLER: (HANDLER + 0x40, information(4, codes((4, 2, 4), (0, 10, 1)))),
    ROOT: (ROOT + 0x40, information(4, codes((4, 2, 4)))),
}
CALL = b"\xe8\x00\x00\x00\x00"


def image(functions=None, *, name="stk.efi") -> bytearray:
    """With the code before each return address a call, as guesses want it."""
    functions = FUNCTIONS if functions is None else functions
    memory = bytearray(SIZE)
    struct.pack_into("<2s58xI", memory, 0, b"MZ", 0x80)
    struct.pack_into("<4sHHIIIHH", memory, 0x80, b"PE\0\0", 0x8664, 2, 0x1234, 0, 0, 240, 0x22)
    struct.pack_into("<H14xI4xQII12xII", memory, 0x98, 0x20B, ROOT, BASE, 0x1000, 0x200, 0, 0)
    struct.pack_into("<II", memory, 0x98 + 56, SIZE, 0x400)
    struct.pack_into("<I", memory, 0x98 + 108, 16)
    for index, (rva, size) in {0: (NAMES, 0x200), 3: (DIRECTORY, 12 * len(functions))}.items():
        struct.pack_into("<II", memory, 0x98 + 112 + 8 * index, rva, size)
    for index, (label, rva, size, flags) in enumerate((
            (b".text", 0x1000, 0x1000, 0x60000020), (b".rdata", 0x2000, 0x2000, 0x40000040))):
        struct.pack_into("<8s4I12xI", memory, 0x98 + 240 + 40 * index, label, size, rva, size, rva,
                         flags)
    at = UNWIND
    for row, (begin, (end, unwind)) in enumerate(sorted(functions.items())):
        struct.pack_into("<III", memory, DIRECTORY + 12 * row, begin, end, at)
        memory[at:at + len(unwind)] = unwind
        if begin == PART:  # chained: the row of CHAINED follows the codes
            row = sorted(functions).index(CHAINED)
            memory[at + 4:at + 16] = memory[DIRECTORY + 12 * row:DIRECTORY + 12 * row + 12]
        at += 24
    memory[0x1000:0x2000] = b"\x90" * 0x1000
    memory[LEAF] = 0xC3
    for begin in functions:
        memory[begin + 0x10 - len(CALL):begin + 0x10] = CALL
    put_exports(memory, name)
    return memory


def put_exports(memory: bytearray, name: str):
    struct.pack_into("<16x6I", memory, NAMES, 1, len(EXPORTS), len(EXPORTS), NAMES + 0x40,
                     NAMES + 0x60, NAMES + 0x80)
    for index, (text, rva) in enumerate(sorted(EXPORTS.items())):
        struct.pack_into("<I", memory, NAMES + 0x40 + 4 * index, rva)
        struct.pack_into("<I", memory, NAMES + 0x60 + 4 * index, NAMES + 0xA0 + 16 * index)
        struct.pack_into("<H", memory, NAMES + 0x80 + 2 * index, index)
        memory[NAMES + 0xA0 + 16 * index:NAMES + 0xA1 + 16 * index + len(text)] = (
            text.encode() + b"\0")


class Stack:
    """Frames laid out upwards. Each method is called in the order from the innermost out."""

    def __init__(self, rip: int, rsp: int = STACK + 0x1000):
        self.memory = bytearray(b"\x5a" * STACK_SIZE)
        self.start = rsp
        self.at = rsp
        self.expected = [(rip, rsp)]

    def skip(self, size: int) -> "Stack":
        self.at += size
        return self

    def words(self, *values: int) -> "Stack":
        for value in values:
            struct.pack_into("<Q", self.memory, self.at - STACK, value)
            self.at += 8
        return self

    def returns(self, address: int) -> "Stack":
        """The return address, and the frame that it leads to."""
        self.words(address)
        if address:
            self.expected.append((address, self.at))
        return self

    def machine_frame(self, rip: int, rsp: int) -> "Stack":
        """What the processor pushes; goes on at rsp."""
        self.words(0, rip, 0x38, 0x202, rsp, 0x30)
        self.at = rsp
        self.expected.append((rip, rsp))
        return self


def every_kind() -> Stack:
    """Each function of FUNCTIONS, called by the next, interrupted in LEAF, and once below."""
    stack = Stack(BASE + LEAF)
    stack.returns(BASE + PUSH + 0x10)
    stack.skip(0x20).words(0x1111).returns(BASE + LARGE + 0x10)
    stack.skip(0x12340)
    pointer = stack.at + 16 + 0x100 + 0x20  # rbp of POINTER, which has moved rsp 100h down
    stack.words(pointer).returns(BASE + POINTER + 0x10)
    stack.skip(0x100 + 0x40).words(0x2222).returns(BASE + PART + 0x10)
    stack.skip(0x30).words(0x3333).returns(BASE + HANDLER + 0x10)
    # The interrupted one has just pushed rbx, and has a stack of its own, below this one.
    stack.skip(0x28).machine_frame(BASE + PUSH + 1, STACK + 0x200)
    stack.words(0x4444).returns(BASE + ROOT + 0x10)
    return stack.skip(0x28).returns(0)
