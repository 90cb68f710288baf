# windbgtext.py - what WinDbg printed, as values that a capture of the session must contain.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Reads the text beside a recording and asks a Session (windbgsession.py) for each value in it.

steps(text) gives the text in order: a Step is a command, or what was printed before the first, with
the checks that must hold together at one moment of the session. A check names what WinDbg printed
and says whether the session shows it; an event (a stop, say) is used up by the step that waits for
it. Lines that nothing here knows give no checks.
"""

import re
from typing import Callable, NamedTuple

from windbgsession import Session

MACHINES = {"x64": 0x8664, "ARM 64-bit (AArch64)": 0xAA64, "x86 compatible": 0x14C}

# WinDbg's names of registers in a CONTEXT; those not listed have the same name in kd.context.*
CONTEXT_NAMES = {"efl": "eflags", "psr": "cpsr", "fpcw": "fp.control", "fpsw": "fp.status",
                 "fptw": "fp.tag"}
IN_CONTEXT = re.compile(r"[er][a-d]x|[er][bs]p|[er][sd]i|[er]ip|r\d+|[c-gs]s|x\d+|fp|lr|sp|pc"
                        r"|efl|psr|fp[cst]w")
IN_SPECIAL = re.compile(r"cr\d|k?dr\d|gdtr|idtr|tr")

# Fields of the PE header by WinDbg's words: offset from "PE\0\0", bytes, and the plugin's field.
PE_FIELDS = {
    "machine": (4, 2, "machine"), "number of sections": (6, 2, "sections"),
    "time date stamp": (8, 4, "timestamp"), "file pointer to symbol table": (12, 4, None),
    "number of symbols": (16, 4, None), "size of optional header": (20, 2, None),
    "characteristics": (22, 2, None), "magic #": (24, 2, "magic"), "size of code": (28, 4, None),
    "size of initialized data": (32, 4, None), "size of uninitialized data": (36, 4, None),
    "address of entry point": (40, 4, "entry_point"), "base of code": (44, 4, None),
    "image base": (48, 8, None), "section alignment": (56, 4, None),
    "file alignment": (60, 4, None), "size of image": (80, 4, "size"),
    "size of headers": (84, 4, None), "checksum": (88, 4, "checksum"), "subsystem": (92, 2, None),
    "DLL characteristics": (94, 2, None), "size of stack reserve": (96, 8, None),
    "size of stack commit": (104, 8, None), "size of heap reserve": (112, 8, None),
    "size of heap commit": (120, 8, None),
}

RESUMING = {"g", "gh", "gn", "p", "pa", "t", "ta"}

PORT_SIZES = {"b": 1, "w": 2, "d": 4}


class Check(NamedTuple):
    """One value that WinDbg printed."""

    printed: str
    holds: Callable[[Session], bool]


class Step(NamedTuple):
    """Values printed together."""

    command: str
    checks: list[Check]
    event: bool = False    # a stop, which no other step has waited for
    resumes: bool = False  # the debugger leaves the stop


def number(text: str) -> int:
    return int(text.replace("`", ""), 16)


def steps(text: str, arch: str) -> list[Step]:
    """The whole text; arch is "amd64", "arm64" or "x86"."""
    reader = Reader(arch)
    command = ""
    for line in text.splitlines():
        if line.startswith("kd> "):
            command = line[4:].strip()
            reader.begin(command)
        else:
            reader.line(command, line)
    reader.end()
    return reader.steps


def follow(text: str, arch: str, packets: list) -> int:
    """Plays the packets (kdcapture.packets) until they show each value of the text, from its
    beginning to its end; how many there were. An AssertionError names those that never came."""
    session = Session()
    at = compared = 0
    for step in steps(text, arch):
        begin = at
        missing = _missing(step, session)
        while missing:
            if at == len(packets):
                never = "\n".join(f"  {check.printed}" for check in missing)
                raise AssertionError(f"after `{step.command}`: not found together behind frame "
                                     f"{packets[begin - 1].frame}:\n{never}")
            session.feed(packets[at])
            at += 1
            missing = _missing(step, session)
        if step.event or step.resumes:
            session.stop_is_new = False
        compared += len(step.checks)
    return compared


def _missing(step: Step, session: Session) -> list[Check]:
    if step.event and not session.stop_is_new:
        return step.checks
    return [check for check in step.checks if not check.holds(session)]


class Reader:
    """Collects the steps of a text; knows what one line tells about later ones."""

    def __init__(self, arch: str):
        self.arch = arch
        self.steps: list[Step] = []
        self._checks: list[Check] = []
        self._command = "(connect)"
        self._breakpoints: dict[int, int | None] = {}  # number -> address, where it is known
        self._frames: list[tuple[int, int]] = []  # of k: Child-SP, RetAddr
        self._modules: dict[str, int] = {}  # name -> base

    # --- steps

    def begin(self, command: str) -> None:
        self.end()
        self._command = command
        self.command(command)
        if command.split()[0] in RESUMING:
            self.steps.append(Step(command, [], resumes=True))

    def end(self) -> None:
        self._stack()
        if self._checks:
            self.steps.append(Step(self._command, self._checks))
        self._checks = []

    def event(self, check: Check) -> None:
        """What was printed so far comes before the event."""
        self.end()
        self.steps.append(Step(self._command, [check], event=True))

    def check(self, printed: str, holds: Callable[[Session], bool]) -> None:
        self._checks.append(Check(printed, holds))

    # --- what was typed

    def command(self, command: str) -> None:
        write = re.fullmatch(r"eb ([0-9a-f`]{8,}) ((?: ?[0-9a-f]{2})+)", command)
        if write:
            self._bytes(command, number(write[1]), bytes.fromhex(write[2].replace(" ", "")))
        write = re.fullmatch(r"eq ([0-9a-f`]{8,}) ([0-9a-f`]+)", command)
        if write:
            self._bytes(command, number(write[1]), number(write[2]).to_bytes(8, "little"))
        port = re.fullmatch(r"o([bwd]) ([0-9a-f]+) ([0-9a-f]+)", command)
        if port:
            size, at, value = PORT_SIZES[port[1]], number(port[2]), number(port[3])
            self.check(command, lambda session: session.ports.get((at, size)) == value)
        msr = re.fullmatch(r"wrmsr ([0-9a-f]+) ([0-9a-f]+)", command)
        if msr:
            register, value = number(msr[1]), number(msr[2])
            self.check(command, lambda session: session.msrs_written.get(register) == value)
        breakpoint = re.match(r"b(p|a [eirw]\d) (\S+)", command)
        if breakpoint:
            # Where code stops is known for a numeric address; data may be touched from anywhere.
            here = breakpoint[1] in ("p", "a e1", "a e4") and re.fullmatch("[0-9a-f`]{8,}",
                                                                           breakpoint[2])
            free = next(index for index in range(64) if index not in self._breakpoints)
            self._breakpoints[free] = number(breakpoint[2]) if here else None
        elif command == "bc *":
            self._breakpoints = {}

    # --- what was printed

    def line(self, command: str, line: str) -> None:
        verb = command.partition(" ")[0]
        if self._anywhere(line):
            return
        if verb in ("r", "rM"):
            self._registers(line)
        elif verb in ("db", "dd", "dq", "s"):
            self._dump(verb, command, line)
        elif verb in ("lm", "lmvm"):
            self._module(line)
        elif verb == "u":
            self._instruction(line)
        elif verb == "k":
            self._frame(line)
        elif verb == "bl":
            self._breakpoint(line)
        elif verb == "!dh":
            self._image(command, line)
        elif verb == ".exr":
            self._exception(line)
        else:
            self._other(verb, line)

    def _anywhere(self, line: str) -> bool:
        """Lines that come when the target stops, prints or connects."""
        stop = re.match(r"(?:Last event: )?.* exception - code ([0-9a-f]{8}) \((\w+) chance", line)
        hit = re.fullmatch(r"Breakpoint (\d+) hit", line)
        if stop:
            code, chance = number(stop[1]), stop[2] == "first"
            check = Check(line, lambda session: session.stop_code == code
                          and session.first_chance == chance)
            self._checks.append(check) if "Last event" in line else self.event(check)
        elif hit:
            known = int(hit[1]) in self._breakpoints
            address = self._breakpoints.get(int(hit[1]))
            self.event(Check(line, lambda session: known and address in (None, session.pc)
                             and session.stop_code in (0x80000003, 0x80000004)))
        elif not self._connected(line):
            return self._said(line)
        return True

    def _connected(self, line: str) -> bool:
        target = re.match(r"Connected to Windows Boot Debugger (\d+) (.*) target at", line)
        if target:
            self._version("build", target[1], int(target[1]))
            self._version("machine", target[2], MACHINES[target[2]])
        version = re.match(r"Windows Boot Debugger Kernel Version (\d+) ", line)
        if version:
            self._version("build", version[1], int(version[1]))
        bases = re.match(r"Primary image base = 0x(\S+) Loaded module list = 0x(\S+)", line)
        if bases:
            for name, value in zip(("kern_base", "module_list"), bases.groups()):
                self._version(name, value, number(value))
        return bool(target or version or bases)

    def _version(self, name: str, printed: str, value: int) -> None:
        self.check(printed, lambda session: self._same(session.version.get(name), value))

    def _same(self, found: int | None, value: int) -> bool:
        """Addresses of 32-bit targets are sign-extended on the wire, and printed in 8 digits."""
        if self.arch == "x86" and found is not None:
            return found & 0xFFFFFFFF == value & 0xFFFFFFFF
        return found == value

    def _said(self, line: str) -> bool:
        """Text of the target."""
        prompt = re.match(r'(.*)\[input wanted, (\d+) bytes: "(.*)"\]', line)
        command = re.match(r"The target has requested .* a command: (.*?)(?:\">|$)", line)
        if prompt:
            self.check(prompt[1], lambda session: session.prompt == prompt[1])
            self.check(prompt[2], lambda session: session.prompt_max == int(prompt[2]))
            self.check(prompt[3], lambda session: session.answer == prompt[3])
        elif command:
            self.check(command[1], lambda session: session.command == command[1])
        elif re.match(r"An error occurred|\*\*\* Fatal|\s+\(0x\w{16}, |The boot selection|User req"
                      r"|BD: Boot|answer was", line):
            self.check(line, lambda session: line.strip() in session.printed)
        else:
            return False
        return True

    # --- registers

    def _registers(self, line: str) -> None:
        if self._instruction(line):
            return
        for index, value in re.findall(r"st(\d)=\s*(\S+)", line):
            if float(value) == 0:
                self.check(f"st{index}={value}",
                           lambda session, index=int(index): session.st(index) == bytes(10))
        vector = re.fullmatch(r"xmm(\d+)=\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)", line)
        if vector:
            floats = [float(word) for word in reversed(vector.groups()[1:])]
            self.check(line, lambda session: session.xmm(int(vector[1])) == floats)
            return
        for name, value in re.findall(r"(\$?\w+)=\s*([0-9a-f]+)(?![.0-9a-f])", line):
            self._register(name, number(value), f"{name}={value}")

    def _register(self, name: str, value: int, printed: str) -> None:
        counter = {"amd64": "rip", "arm64": "pc", "x86": "eip"}[self.arch]
        name = counter if name == "$ip" else name
        if re.fullmatch(r"mm\d", name):
            self.check(printed, lambda session: session.mm(int(name[2])) == value)
        elif name.startswith("dr"):  # fetched with the CONTEXT or with the control space
            self.check(printed, lambda session: value in (session.context.get(name),
                                                          session.special.get(name)))
        elif IN_SPECIAL.fullmatch(name):
            field = {"gdtr": "gdtr.base", "idtr": "idtr.base"}.get(name, name.lstrip("k"))
            self.check(printed, lambda session: session.special.get(field) == value)
        elif IN_CONTEXT.fullmatch(name):
            field = CONTEXT_NAMES.get(name, name)
            self.check(printed, lambda session: self._same(session.context.get(field), value))
        if name == counter:
            self.check(f"{printed} where it stopped",
                       lambda session: self._same(session.pc, value))

    # --- memory

    def _bytes(self, printed: str, address: int, data: bytes, physical: bool = False) -> None:
        if self.arch == "x86" and address >> 31 == 1:
            address |= 0xFFFFFFFF00000000
        self.check(printed, lambda session: session.read(address, len(data), physical) == data)

    def _instruction(self, line: str) -> bool:
        """A line of a disassembly. Instructions of ARM64 are printed as words."""
        match = re.match(r"([0-9a-f]{8}`?[0-9a-f]{8}|[0-9a-f]{8}) ([0-9a-f]{2,})\s+[a-z]", line)
        if not match:
            return False
        code = bytes.fromhex(match[2])
        self._bytes(line, number(match[1]), code[::-1] if self.arch == "arm64" else code)
        return True

    def _dump(self, verb: str, command: str, line: str) -> None:
        match = re.match(r"([0-9a-f]{8}`?[0-9a-f]{8}|[0-9a-f]{8})  ?(.*)", line)
        if not match:
            return
        address = number(match[1])
        wide = 4 if command.startswith("s -d") else {"dd": 4, "dq": 8}.get(verb, 1)
        # Bytes come in 47 columns, then as text; words are apart from it by two blanks.
        cells = match[2][:47] if wide == 1 else match[2].partition("  ")[0]
        words = re.findall(rf"[0-9a-f?]{{{2 * wide}}}", cells.replace("`", ""))
        if any("?" in word for word in words):
            self.check(line, lambda session: session.unreadable(address))
            return
        data = b"".join(bytes.fromhex(word)[::-1] for word in words)
        self._bytes(line, address, data, physical=" /p " in f"{command} ")
        if command.startswith("s -b"):
            self.check(f"found at {match[1]}", lambda session: address in session.found)

    def _frame(self, line: str) -> None:
        match = re.match(r"([0-9a-f]{8}`[0-9a-f]{8}) ([0-9a-f]{8}`[0-9a-f]{8})\s+\S", line)
        if match:
            self._frames.append((number(match[1]), number(match[2])))

    def _stack(self) -> None:
        """A return address lies below the next frame; on ARM64 the first is in lr."""
        frames, self._frames = self._frames, []
        if frames:
            pointer = {"amd64": "rsp", "arm64": "sp"}[self.arch]
            top, returns = frames[0]
            self.check(f"Child-SP {top:x}", lambda session: session.context.get(pointer) == top)
            if self.arch == "arm64":
                self.check(f"RetAddr {returns:x}",
                           lambda session: session.context.get("lr") == returns)
        for (_, returns), (above, _) in zip(frames, frames[1:]):
            if self.arch == "amd64":
                self._bytes(f"RetAddr {returns:x}", above - 8, returns.to_bytes(8, "little"))

    # --- modules and images

    def _module(self, line: str) -> None:
        match = re.match(r"([0-9a-f`]{8,17}) ([0-9a-f`]{8,17})   (\S+) ", line)
        if match:
            base, end = number(match[1]), number(match[2])
            self._modules[match[3]] = base
            self.check(f"{match[3]} from {match[1]}",
                       lambda session: any(self._same(known, base) for known in session.modules()))
            self.check(f"{match[3]} to {match[2]}", lambda session: any(
                self._same(known, base) and size == end - base
                for known, size in session.modules().items()))
        detail = re.match(r"    (Timestamp|CheckSum|ImageSize): .*?([0-9A-F]{8})\)?$", line)
        if detail:
            base = list(self._modules.values())[-1]
            label = {"Timestamp": "time date stamp", "CheckSum": "checksum",
                     "ImageSize": "size of image"}[detail[1]]
            self._pe(line.strip(), base, label, number(detail[2]))

    def _image(self, command: str, line: str) -> None:
        name = command.split()[-1]
        base = self._modules.get(name) if name in self._modules else number(name)
        field = re.match(r"\s*([0-9A-Fa-f]+)  ?([a-zA-Z][a-zA-Z #]*?)"
                         r"(?: \(.*\)| [A-Z][a-z]{2} [A-Z][a-z]{2} .*)?$", line)
        directory = re.match(r"\s*([0-9A-F]+) \[\s*([0-9A-F]+)\] address \[size\] of (\w+)", line)
        if directory:
            place = 136 + 8 * self._directories
            self._directories += 1
            for offset, value in zip((place, place + 4), directory.groups()):
                self.check(line.strip(), self._in_header(base, offset, 4, number(value)))
        elif field and field[2] in PE_FIELDS:
            self._directories = 0
            self._pe(line.strip(), base, field[2], number(field[1]))

    _directories = 0

    def _pe(self, printed: str, base: int, label: str, value: int) -> None:
        """A field of the image headers: decoded by the plugin where one read had them whole."""
        offset, size, own = PE_FIELDS[label]
        in_header = self._in_header(base, offset, size, value)
        self.check(printed, lambda session: in_header(session)
                   and session.images.get(base, {}).get(own, value) == value)

    @staticmethod
    def _in_header(base: int, offset: int, size: int, value: int) -> Callable[[Session], bool]:
        return lambda session: session.image_field(base, offset, size) == value

    # --- breakpoints, exceptions, and single values

    def _breakpoint(self, line: str) -> None:
        match = re.match(r"\s*(\d+) e ([0-9a-f`]+) ", line)
        if match:
            address = number(match[2])
            self._breakpoints[int(match[1])] = address
            self.check(line.strip(), lambda session: address in session.breakpoints)

    def _exception(self, line: str) -> None:
        fields = {"ExceptionAddress": "address", "ExceptionCode": "code",
                  "ExceptionFlags": "flags", "NumberParameters": "parameters"}
        match = re.match(r"\s*(\w+): ([0-9a-f]+)", line)
        if match and match[1] in fields:
            name, value = fields[match[1]], number(match[2])
            self.check(line.strip(), lambda session: session.exception.get(name) == value)

    def _other(self, verb: str, line: str) -> None:
        port = re.fullmatch(r"([0-9a-f`]+): ([0-9a-f]+)", line)
        msr = re.fullmatch(r"msr\[([0-9a-f]+)\] = ([0-9a-f`]+)", line)
        compared = re.fullmatch(r"([0-9a-f`]+)  ([0-9a-f]{2}) - ([0-9a-f`]+)  ([0-9a-f]{2})", line)
        refused = re.match(r"\s*\^ Memory access error in 'e[bdq] (/p )?([0-9a-f]+) ", line)
        filled = re.fullmatch(r"Filled 0x([0-9a-f]+) bytes", line)
        if verb in ("ib", "iw", "id") and port:
            at, size, value = number(port[1]), PORT_SIZES[verb[1]], number(port[2])
            self.check(line, lambda session: session.ports.get((at, size)) == value)
        elif verb == "rdmsr" and msr:
            self.check(line, lambda session: session.msrs.get(number(msr[1])) == number(msr[2]))
        elif line == "no such msr":
            self.check(line, lambda session: session.msr_refused)
        elif verb == "c" and compared:
            for address, value in (compared.group(1, 2), compared.group(3, 4)):
                self._bytes(f"{address} {value}", number(address), bytes.fromhex(value))
        elif refused:
            physical, address = bool(refused[1]), number(refused[2])
            self.check(line.strip(), lambda session: session.unwritable(address, physical))
        elif verb == "f" and filled:
            self.check(line, lambda session: number(filled[1]) in (session.filled,
                                                                   session.bytes_in_a_row))
        elif verb in ("p", "t", "pa", "ta") and self._instruction(line):
            self._checks.pop()
            at, code = line.split()[:2]
            self.event(Check(line, lambda session: session.stop_code == 0x80000004
                             and session.pc == number(at)))
            self._bytes(line, number(at), bytes.fromhex(code))
