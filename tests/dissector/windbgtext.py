# windbgtext.py - what WinDbg printed, as values that a capture of the session must contain.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Reads the text beside a recording and asks a Session (windbgsession.py) for each value in it.

steps(text) gives the text in order: a Step is a command, or what was printed before the first, with
the checks that must hold together at one moment of the session. A check names what WinDbg printed
and says whether the session shows it; an event (a stop, say) is used up by the step that waits for
it. read(text) has the same, and which lines gave no check: by class (windbgwords.py), or unread.
"""

import re
from collections import Counter
from typing import Callable, NamedTuple

import windbgwords
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

PE_VERSIONS = {"linker": (26, 1), "operating system": (64, 2), "image": (68, 2),
               "subsystem": (72, 2)}  # offset of the major number, bytes of each of the two
PE_CHARACTERISTICS = {"Executable": 0x2, "App can handle >2gb addresses": 0x20, "DLL": 0x2000}
IS_DLL = PE_CHARACTERISTICS["DLL"]

# Flags of iopl=0 nv up ei ...: bit, and the words when it is clear and set. On 64-bit targets
# WinDbg has the two words of the parity flag the other way round.
FLAGS = [(11, "nv", "ov"), (10, "up", "dn"), (9, "di", "ei"), (7, "pl", "ng"), (6, "nz", "zr"),
         (4, "na", "ac"), (2, "po", "pe"), (0, "nc", "cy")]
PARITY = 2

MULTIPROCESSOR = 1  # of the flags in GetVersion
XSTATE = 0x3D8  # of KUSER_SHARED_DATA: XState, where its page is mapped

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
    return read(text, arch).steps


def read(text: str, arch: str) -> "Reader":
    """The same, with what gave no check."""
    reader = Reader(arch)
    command = ""
    for line in text.splitlines():
        if line.startswith("kd> "):
            command = line[4:].strip()
            reader.begin(command)
        else:
            reader.line(command, line)
    reader.end()
    return reader


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
        self.unread: list[str] = []  # lines that gave no check and are in no class
        self.classes: Counter[str] = Counter()  # how many lines of each class
        self._given = 0  # checks so far
        self._checks: list[Check] = []
        self._command = "(connect)"
        self._breakpoints: dict[int, int | None] = {}  # number -> address, where it is known
        self._frames: list[tuple[int, int, str]] = []  # of k: Child-SP, RetAddr, Call Site
        self._label: int | None = None  # offset in a module, of the instruction that follows
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
        self._given += 1
        self.steps.append(Step(self._command, [check], event=True))

    def check(self, printed: str, holds: Callable[[Session], bool]) -> None:
        self._given += 1
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
        before = self._given, len(self._frames)
        self._value(command, line)
        label = re.fullmatch(r"\w+\+0x([0-9a-f]+):", line)
        if label:
            self._label = number(label[1])
        elif before == (self._given, len(self._frames)):
            name = windbgwords.class_of(line)
            self.classes[name or "unread"] += 1
            self.unread += [] if name else [f"{command}: {line}"]

    def _value(self, command: str, line: str) -> None:
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
        elif verb in ("k", "kv", "kf"):
            self._frame(line)
        elif verb == "bl":
            self._breakpoint(line)
        elif verb == "!dh":
            self._image(command, line)
        elif verb == ".exr":
            self._exception(line)
        else:
            self._other(command, line)

    def _anywhere(self, line: str) -> bool:
        """Lines that come when the target stops, prints or connects."""
        stop = re.match(r"(?:Last event: )?.* exception - code ([0-9a-f]{8}) \((\w+) chance", line)
        hit = re.fullmatch(r"Breakpoint (\d+) hit", line)
        if stop:
            code, chance = number(stop[1]), stop[2] == "first"
            check = Check(line, lambda session: session.stop_code == code
                          and session.first_chance == chance)
            self.check(*check) if "Last event" in line else self.event(check)
        elif hit:
            known = int(hit[1]) in self._breakpoints
            address = self._breakpoints.get(int(hit[1]))
            self.event(Check(line, lambda session: known and address in (None, session.pc)
                             and session.stop_code in (0x80000003, 0x80000004)))
        elif not self._connected(line):
            return self._said(line)
        return True

    def _connected(self, line: str) -> bool:
        target = re.match(r"Connected to Windows Boot Debugger (\d+) (.*) target at .* ptr64 (\w+)",
                          line)
        if target:
            self._version("build", target[1], int(target[1]))
            self._version("machine", target[2], MACHINES[target[2]])
            self.check(target[3], lambda session: (session.version.get("machine")
                                                   == MACHINES["x86 compatible"])
                       == (target[3] == "FALSE"))
        version = re.match(r"Windows Boot Debugger Kernel Version (\d+) (MP|UP)"
                           r"(?: \((\d+) procs\))?", line)
        if version:
            self._version("build", version[1], int(version[1]))
            self._flag(version[2], MULTIPROCESSOR, version[2] == "MP")
        if version and version[3]:
            self.check(f"{version[3]} procs", lambda session: session.processors == int(version[3]))
        bases = re.match(r"Primary image base = 0x(\S+) Loaded module list = 0x(\S+)", line)
        if bases:
            for name, value in zip(("kern_base", "module_list"), bases.groups()):
                self._version(name, value, number(value))
        return bool(target or version or bases)

    def _version(self, name: str, printed: str, value: int) -> None:
        self.check(printed, lambda session: self._same(session.version.get(name), value))

    def _flag(self, printed: str, bit: int, value: bool) -> None:
        self.check(printed, lambda session: bool(session.version.get("flags", 0) & bit) == value)

    def _same(self, found: int | None, value: int) -> bool:
        """Addresses of 32-bit targets are sign-extended on the wire, and printed in 8 digits."""
        if self.arch == "x86" and found is not None:
            return found & 0xFFFFFFFF == value & 0xFFFFFFFF
        return found == value

    def _said(self, line: str) -> bool:
        """Text of the target."""
        if line.startswith("ReadVirtual() failed in GetXStateConfiguration()"):
            self.check(line, lambda session: any(address & 0xFFF == XSTATE
                                                 for address in session.reads_failed))
            return True
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
        self._flags(line)
        at = re.match(r"([0-9a-f]{4}):([0-9a-f]{8}) \?\? ", line)
        if at:  # an address of 16-bit code, which WinDbg could not read
            self.check(line, lambda session: session.context.get("cs") == number(at[1])
                       and session.context.get("rip", 0) & 0xFFFFFFFF == number(at[2]))
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

    def _flags(self, line: str) -> None:
        """The words for the flags of a processor: from the register that is printed beside."""
        x86 = re.fullmatch(r"(?:.* )?iopl=(\d)((?: +[a-z]{2}){8})", line)
        arm = re.search(r"psr=[0-9a-f]{8} ([N-])([Z-])([C-])([V-]) EL(\d)", line)
        if x86:
            self.check(line, lambda session: self._flag_words(session.context.get("eflags"))
                       == (int(x86[1]), x86[2].split()))
        elif arm:
            value = sum((arm[index + 1] != "-") << 31 - index for index in range(4)) \
                | int(arm[5]) << 2
            self.check(line, lambda session: session.context.get("cpsr", 0) & 0xF000000C == value)

    def _flag_words(self, flags: int | None) -> tuple[int, list[str]] | None:
        if flags is None:
            return None
        return flags >> 12 & 3, [words[(flags >> bit & 1) ^ (bit == PARITY and self.arch != "x86")]
                                 for bit, *words in FLAGS]

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
        if self._label is not None:
            self._in_module(f"+0x{self._label:x}", number(match[1]), self._label)
            self._label = None
        self._bytes(line, number(match[1]), code[::-1] if self.arch == "arm64" else code)
        return True

    def _in_module(self, printed: str, address: int, offset: int) -> None:
        """An address named by a module and an offset."""
        self.check(printed, lambda session: any(self._same(base + offset, address)
                                                for base in session.modules()))

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
        match = re.match(r"\s*([0-9a-f`]{8,17}) ([0-9a-f`]{8,17})\s+(?:: ((?:[0-9a-f`]{17} )+): )?"
                         r"(\S+)", line)
        if match:
            self._frames.append((number(match[1]), number(match[2]), match[4]))
        if match and match[3]:
            self._bytes(f"Args to Child {match[3]}", number(match[1]) + 8, b"".join(
                number(word).to_bytes(8, "little") for word in match[3].split()))

    def _stack(self) -> None:
        """A return address lies below the next frame; on ARM64 the first is in lr. Where a frame
        is called from is the return address of the one before, that of the first where it stopped.
        """
        frames, self._frames = self._frames, []
        if frames:
            pointer = {"amd64": "rsp", "arm64": "sp", "x86": "ebp"}[self.arch]
            top, link, stopped = frames[0]
            self.check(f"frame {top:x}", lambda session: session.context.get(pointer) == top)
            self.check(stopped, lambda session: self._is_site(session, stopped, session.pc))
            if self.arch == "arm64":
                self.check(f"RetAddr {link:x}", lambda session: session.context.get("lr") == link)
        for (_, returns, _), (above, _, site) in zip(frames, frames[1:]):
            if self.arch == "amd64":
                self._bytes(f"RetAddr {returns:x}", above - 8, returns.to_bytes(8, "little"))
            self.check(site, lambda session, site=site, returns=returns:
                       self._is_site(session, site, returns))

    def _is_site(self, session: Session, site: str, address: int | None) -> bool:
        """Whether NAME+0x1234, or 0x1234, is this address; one with a symbol says nothing."""
        match = re.fullmatch(r"(\w+\+)?0x([0-9a-f]+)", site)
        bases = session.modules() if match and match[1] else [0]
        return not match or address is not None and any(
            self._same(base + number(match[2]), address) for base in bases)

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
        path = re.match(r"    Image (?:path|name): (.+)$", line)
        if path:
            self.check(line.strip(), lambda session: any(known.split("\\")[-1] == path[1]
                                                         for known in session.paths))
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
        version = re.fullmatch(r"\s+(\d+)\.(\d\d) (.+) version", line)
        trait = PE_CHARACTERISTICS.get(line.strip())
        kind = re.fullmatch(r"File Type: (DLL|EXECUTABLE IMAGE)", line)
        if version:
            offset, size = PE_VERSIONS[version[3]]
            for at, value in ((offset, version[1]), (offset + size, version[2])):
                self.check(line.strip(), self._in_header(base, at, size, int(value)))
        elif kind:
            self.check(line, lambda session: bool((session.image_field(base, 22, 2) or 0) & IS_DLL)
                       == (kind[1] == "DLL"))
        elif trait:
            self.check(line.strip(),
                       lambda session: (session.image_field(base, 22, 2) or 0) & trait)
        elif directory:
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

    def _other(self, command: str, line: str) -> None:
        verb = command.partition(" ")[0]
        port = re.fullmatch(r"([0-9a-f`]+): ([0-9a-f]+)", line)
        msr = re.fullmatch(r"msr\[([0-9a-f]+)\] = ([0-9a-f`]+)", line)
        compared = re.fullmatch(r"([0-9a-f`]+)  ([0-9a-f]{2}) - ([0-9a-f`]+)  ([0-9a-f]{2})", line)
        refused = re.match(r"\s*\^ Memory access error in 'e[bdq] (/p )?([0-9a-f]+) ", line)
        filled = re.fullmatch(r"Filled 0x([0-9a-f]+) bytes", line)
        moved = re.match(r"\.(?:read|write)mem \S+ ([0-9a-f]+) L([0-9a-f]+)", command)
        done = re.match(r"(Reading|Writing) ([0-9a-f]+) bytes\.+$", line)
        if moved and done:
            address, size = number(moved[1]), number(moved[2])
            self.check(line, lambda session: number(done[2]) == size
                       and session.read(address, size) is not None)
        elif verb in ("ib", "iw", "id") and port:
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
