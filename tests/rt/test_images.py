# test_images.py - unwind and exception tables of real Windows images.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_IMAGE_DUMP names the program that prints what lib/image reads.

The unwind codes are compared with llvm-readobj's. Then, from those of llvm-readobj, a model here
executes each prologue on a made-up stack, stops after every byte of it, and asks for the registers
of the caller: they must be those that the model started with. Exception tables are compared with
what ehtables.py reads in them.
"""

import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import ehtables
import npmpack
import peimage

WATCHER = npmpack.VISUAL_CXX_4
NODEAPI = ("node-api-dotnet@0.2.33", "win-x64/Microsoft.JavaScript.NodeApi.node",
           "2f39168690f587ba2e6c1082fcba26ec5761213b47f629f3ea70aa764819920c")
REGISTERS = ("RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15").split()
RSP = 4
PUSH, LARGE, SMALL, FPREG, SAVE, SAVE_FAR, EPILOG = range(7)
XMM, XMM_FAR, MACHINE = range(8, 11)
STACK = 0x7000000000


def signed(word: str) -> int:
    number = int(word, 16)
    return number - (1 << 32) if number >> 31 else number


def dump(path: Path, what: str, text=None) -> list:
    done = subprocess.run([os.environ["KDLENS_IMAGE_DUMP"], path, what], input=text,
                          capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise AssertionError(f"image_dump {what}: {done.stderr}")
    return done.stdout.splitlines()


class Function:
    """A RUNTIME_FUNCTION as image_dump prints it."""

    def __init__(self, line: str):
        words = line.split()
        (self.begin, self.end, self.unwind, self.version, self.flags, self.prologue, self.register,
         self.offset, self.handler, self.chained, self.primary) = (int(word, 16)
                                                                   for word in words[:11])
        self.codes = [tuple(int(part, 16) for part in word.split(":")) for word in words[11:]]


def offsets(data: bytes):
    """A function from RVAs to offsets in the file."""
    pe, = struct.unpack_from("<I", data, 60)
    count, size = struct.unpack_from("<H12xH", data, pe + 6)
    sections = [struct.unpack_from("<8xIIII", data, pe + 24 + size + 40 * i) for i in range(count)]
    return lambda rva: next(rva - start + raw for length, start, stored, raw in sections
                            if start <= rva < start + max(length, stored))


def without_version_2(path: Path, folder: Path) -> Path:
    """A copy whose table lacks the rows with version 2 codes: llvm-readobj 14 dies of them."""
    data = bytearray(path.read_bytes())
    pe, = struct.unpack_from("<I", data, 60)
    offset = offsets(data)
    table, length = struct.unpack_from("<II", data, pe + 160)
    at = offset(table)
    rows = [data[i:i + 12] for i in range(at, at + length, 12)]
    kept = [row for row in rows if data[offset(struct.unpack_from("<8xI", row)[0])] & 7 == 1]
    data[at:at + 12 * len(kept)] = b"".join(kept)
    struct.pack_into("<I", data, pe + 164, 12 * len(kept))
    out = folder / "version1"
    out.write_bytes(data)
    return out


def readobj_code(text: str) -> tuple:
    """(offset, operation, register, value) of a line as "0x0A: SAVE_NONVOL reg=RBX, ..."."""
    at, name, rest = re.match(r"0x(\w+): (\w+) ?(.*)", text).groups()
    fields = dict(part.split("=") for part in rest.split(", ") if part)
    value = int(fields.get("size", fields.get("offset", "0")), 0)
    return int(at, 16), name, fields.get("reg", ""), value


def readobj(path: Path) -> dict:
    """{begin: (end, prologue, [codes], begin of the row it is chained to or 0)}"""
    text = subprocess.run(["llvm-readobj", "--file-headers", "--unwind", path], check=True,
                          capture_output=True, text=True, timeout=300).stdout
    base = int(re.search(r"ImageBase: (\w+)", text).group(1), 0)
    functions = {}
    for block in text.split("  RuntimeFunction {\n")[1:]:
        addresses = [int(word, 16) - base for word in
                     re.findall(r"(?:Start|End)Address: \S*? ?\(?0x(\w+)\)?\n", block)]
        codes = [readobj_code(line) for line in re.findall(r"        (0x\w\w: .*)", block)]
        prologue = int(re.search(r"PrologSize: (\d+)", block).group(1))
        functions[addresses[0]] = (addresses[1], prologue, codes,
                                   addresses[2] if len(addresses) > 2 else 0)
    return functions


NAMES = {PUSH: "PUSH_NONVOL", LARGE: "ALLOC_LARGE", SMALL: "ALLOC_SMALL", FPREG: "SET_FPREG",
         SAVE: "SAVE_NONVOL", SAVE_FAR: "SAVE_NONVOL_FAR", XMM: "SAVE_XMM128",
         XMM_FAR: "SAVE_XMM128_FAR", MACHINE: "PUSH_MACHFRAME"}


def ours(function: Function) -> list:
    """Our codes as readobj_code has them."""
    codes = []
    for at, operation, info, value in function.codes:
        name = ""
        if operation in (PUSH, SAVE, SAVE_FAR):
            name = REGISTERS[info]
        elif operation in (XMM, XMM_FAR):
            name = f"XMM{info}"
        elif operation == FPREG:
            name = REGISTERS[function.register]
        codes.append((at, NAMES[operation], name, value))
    return codes


# What is left of an epilogue: the frame of the model, which is at the end of a prologue, is gone.
EPILOGUE = re.compile(rb"(\x48\x83\xc4.|\x48\x81\xc4....)?(\x41?[\x58-\x5f])*\xc3", re.DOTALL)


class Model:
    """A made-up thread that enters a function and executes some bytes of its prologue."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.gpr = [self.random.getrandbits(64) for _ in range(16)]
        self.xmm = [[self.random.getrandbits(64), self.random.getrandbits(64)] for _ in range(16)]
        self.memory = {}
        self.gpr[RSP] = STACK
        self.back = 0x1000 + self.random.getrandbits(40)
        self.memory[STACK] = self.back
        self.caller = list(self.gpr)
        self.caller[RSP] = STACK + 8
        self.caller_xmm = [list(pair) for pair in self.xmm]

    def save(self, address: int, number: int, scratch: bool):
        self.memory[address] = self.gpr[number]
        if scratch:
            self.gpr[number] = self.random.getrandbits(64)

    def save_xmm(self, address: int, number: int):
        self.memory[address], self.memory[address + 8] = self.xmm[number]
        self.xmm[number] = [self.random.getrandbits(64), self.random.getrandbits(64)]

    def enter(self, function: Function, executed: int):
        codes = list(reversed(function.codes))
        frame = function.register
        for at, operation, info, value in codes:
            if at > executed:
                continue
            if operation == PUSH:
                self.gpr[RSP] -= 8
                # The frame register is set from rsp afterwards; a scratch value does no harm.
                self.save(self.gpr[RSP], info, True)
            elif operation in (LARGE, SMALL):
                self.gpr[RSP] -= value
            elif operation == FPREG:
                self.gpr[frame] = self.gpr[RSP] + function.offset
        has_frame = frame and any(code[1] == FPREG and code[0] <= executed for code in codes)
        base = self.gpr[frame] - function.offset if has_frame else self.gpr[RSP]
        for at, operation, info, value in codes:
            if at <= executed and operation in (SAVE, SAVE_FAR):
                self.save(base + value, info, info != frame)
            elif at <= executed and operation in (XMM, XMM_FAR):
                self.save_xmm(base + value, info)

    def line(self, rip: int) -> str:
        numbers = [rip, *self.gpr, *(word for pair in self.xmm for word in pair)]
        words = [f"{address:x}={value:x}" for address, value in self.memory.items()]
        return " ".join([f"{number & (1 << 64) - 1:x}" for number in numbers] + words)

    def expected(self) -> list:
        return [self.back, *self.caller, *(word for pair in self.caller_xmm for word in pair)]


def chain_of(function: Function, by_begin: dict) -> list:
    """The rows it is chained to, the primary one first."""
    chain = []
    while function.flags & 4:
        function = by_begin[function.chained]
        chain.insert(0, function)
    return chain


class Images(unittest.TestCase):
    def unwind(self, row, functions):
        path = npmpack.file(*row)
        found = [Function(line) for line in dump(path, "unwind")]
        self.assertEqual(len(found), functions)
        with tempfile.TemporaryDirectory() as name:
            oracle = readobj(without_version_2(path, Path(name)))
        for function in found:
            if function.version == 1:
                self.assertEqual((function.end, function.prologue, ours(function),
                                  function.chained), oracle[function.begin])
        return path, found

    def step(self, path, found):
        by_begin = {function.begin: function for function in found}
        data = path.read_bytes()
        image_base, = struct.unpack_from("<Q", data, struct.unpack_from("<I", data, 60)[0] + 48)
        offset = offsets(data)

        def code_at(rva):
            return data[offset(rva):offset(rva) + 32]

        models, where = [], []
        for function in found:
            if any(code[1] == MACHINE for code in function.codes):
                continue
            chain = chain_of(function, by_begin)
            at_return = EPILOGUE.match(code_at(function.begin + function.prologue))
            for executed in range(function.prologue + (0 if at_return else 1)):
                model = Model(function.begin + executed)
                for row in chain:
                    model.enter(row, 255)
                model.enter(function, executed)
                models.append(model)
                where.append(image_base + function.begin + executed)
        answers = dump(path, "step", "".join(
            model.line(rip) + "\n" for model, rip in zip(models, where)))
        self.assertEqual(len(answers), len(models))
        for model, rip, answer in zip(models, where, answers):
            words = " ".join(f"{number:x}" for number in model.expected())
            self.assertEqual(answer.split(" ")[:49], words.split(" "), f"at {rip:x}: {answer}")
        print(f"{len(found)} functions, {len(models)} steps")

    def test_unwind_watcher(self):
        self.step(*self.unwind(WATCHER, 1653))

    def test_unwind_nodeapi(self):
        self.step(*self.unwind(NODEAPI, 8315))

    def test_version_2(self):
        """An epilogue at the end, of three bytes: pop rsi, pop rdi, ret."""
        path = npmpack.file(*WATCHER)
        found = next(f for f in (Function(line) for line in dump(path, "unwind"))
                     if f.begin == 0x36910)
        self.assertEqual((found.version, found.prologue, found.codes),
                         (2, 2, [(3, EPILOG, 1, 0), (0, EPILOG, 0, 0), (2, PUSH, 6, 0),
                                 (1, PUSH, 7, 0)]))
        base = 0x180000000 + found.end
        rest = " ".join(["0"] * 32)
        lines = []
        for left in (3, 2, 1):  # bytes of the epilogue
            numbers = [0] * 16
            numbers[RSP] = STACK
            words = [f"{STACK + 8 * i:x}={value:x}" for i, value in
                     enumerate([0x66, 0x77, 0x9999][3 - left:])]
            lines.append(" ".join([f"{base - left:x}", *(f"{n:x}" for n in numbers), rest, *words]))
        answers = [[int(word, 16) for word in line.split()[:17]]
                   for line in dump(path, "step", "\n".join(lines) + "\n")]
        for left, answer in zip((3, 2, 1), answers):
            self.assertEqual(answer[0], 0x9999)
            self.assertEqual(answer[1 + RSP], STACK + 8 * left)
            self.assertEqual(answer[1 + 6], 0x66 if left == 3 else 0)
            self.assertEqual(answer[1 + 7], 0x77 if left >= 2 else 0)

    def tables(self, path, kind: str) -> dict:
        """{begin: Table} of what image_dump says of C++ functions with that kind of tables."""
        found, table = {}, None
        for line in dump(path, "eh"):
            words = line.split()
            self.assertNotIn("bad", words, line)
            if not line.startswith(" "):
                table = ehtables.Table()
                if words[3] == kind:
                    found[int(words[0], 16)] = table
                continue
            numbers = [signed(word) for word in words[1:] if word != "sound"]
            if words[0] == "flags":
                table.flags, = numbers
            elif words[0] == "state":
                table.actions.append(tuple(numbers[1:]))
            elif words[0] == "ip":
                table.ips.append(tuple(numbers))
            elif words[0] == "try":
                table.tries.append((*numbers, []))
            else:
                table.tries[-1][3].append((*numbers[:4], tuple(numbers[4:])))
        return found

    def compare(self, row, kind: str, independent) -> dict:
        """Ours against an independent reading; catch blocks are functions, and continuations inside
        their own. Counts."""
        path = npmpack.file(*row)
        pe = peimage.Pe(path)
        expected, found = independent(pe), self.tables(path, kind)
        self.assertEqual(set(found), set(expected))
        ends = dict(pe.functions())
        for begin, table in expected.items():
            self.assertEqual(found[begin], table, f"{begin:x}")
        catches = [(begin, catch) for begin, table in expected.items()
                   for block in table.tries for catch in block[3]]
        for begin, (handler, _, _, _, goes_on) in catches:
            self.assertIn(handler, ends)
            for address in goes_on:
                self.assertIn(address, range(begin, ends[begin]))
        return {"functions": len(expected), "catches": len(catches),
                "tries": sum(len(table.tries) for table in expected.values()),
                "actions": sum(len(table.actions) for table in expected.values()),
                "continuations": sum(len(catch[4]) for _, catch in catches)}

    def test_compressed(self):
        """The two images together have 234 such functions with 10 try blocks and 9 continuations:
        231, 9 and 8 are watcher.node's."""
        found = self.compare(WATCHER, "cxx4", lambda pe: ehtables.all_4(pe, (0x31C34, 0x5A100)))
        self.assertEqual((found["functions"], found["tries"], found["continuations"]), (231, 9, 8))
        found = self.compare(NODEAPI, "cxx4", lambda pe: ehtables.all_4(pe, (0x64388,)))
        self.assertEqual((found["functions"], found["tries"], found["continuations"]), (3, 1, 1))

    def test_records_of_fixed_size(self):
        """By Visual C++ before it compressed, and by LLVM for Rust. The runtime library that is
        linked to the compressed ones has some, too."""
        self.assertEqual(self.compare(WATCHER, "cxx3", ehtables.all_3)["functions"], 6)
        found = self.compare(npmpack.VISUAL_CXX_3, "cxx3", ehtables.all_3)
        self.assertEqual((found["functions"], found["tries"]), (359, 0))
        self.assertGreater(found["actions"], 359)
        found = self.compare(npmpack.RUST_3, "cxx3", ehtables.all_3)
        self.assertEqual((found["functions"], found["tries"]), (357, 306))
        self.assertGreater(found["catches"], 305)


if __name__ == "__main__":
    try:
        for image in (WATCHER, NODEAPI, npmpack.VISUAL_CXX_3, npmpack.RUST_3):
            npmpack.file(*image)
        if not shutil.which("llvm-readobj"):
            raise unittest.SkipTest("no llvm-readobj (Debian package llvm)")
    except unittest.SkipTest as reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main()
