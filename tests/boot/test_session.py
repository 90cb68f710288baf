# test_session.py - the agent in a machine, debugged by kdlens debug through kdlens tap.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is expected is in kdexample's source, in the image files, in the firmware's own tables, and
what the emulator's monitor says. Each session's recording must decode without an error, and every
packet in it must be shown.

The machine starts kdexample from the agent's start; without words it asks in the debugger for them.
"""

import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import NamedTuple

import agentsession
import machine
from agentsession import IMAGES, PATIENCE, Image, Session
from kdtap import DEBUGGER, TARGET, read_recording

TEXT = b"kdexample was here\0"
WINDOW = 0xFFFFA00000000000
ABSENT = 0xFFFFFFFF80000000
LAPIC = 0xFEE00000
HEADER_BYTES = bytes([*range(12), 0x30, 0x69, 0x80])  # leaders, types, ids


class Fault(NamedTuple):
    """A word of kdexample, and what must come of it. Addresses count from the function's start."""

    word: str
    code: int
    function: str  # "" when the address is none of the program
    offset: int
    parameters: tuple
    repair: list  # as faults.h says
    survived: str
    first: int = 1


RETURN = ["r rip=poi(rsp)", "r rsp=rsp+8"]
FAULTS = [
    Fault("write", 0xC0000005, "KdExampleWriteFault", 0, (1, ABSENT), ["r rip=rip+2"],
          "write fault survived"),
    Fault("read", 0xC0000005, "KdExampleReadFault", 0, (0, ABSENT), ["r rip=rip+2"],
          "read fault survived"),
    Fault("execute", 0xC0000005, "", ABSENT, (8, ABSENT), RETURN, "execute fault survived"),
    Fault("protection", 0xC0000005, "KdExampleReadFault", 0, (0, 2**64 - 1), ["r rip=rip+2"],
          "protection fault survived"),
    Fault("divide", 0xC0000094, "KdExampleDivideFault", 4, (), ["r rip=rip+2"],
          "divide fault survived"),
    Fault("ud2", 0xC000001D, "KdExampleIllegalFault", 0, (), ["r rip=rip+2"],
          "illegal instruction survived"),
    Fault("int3", 0x80000003, "KdExampleBreakpoint", 0, (0,), ["r rip=rip+1"], "int3 survived"),
    Fault("selector", 0xC0000005, "KdExampleSelectorFault", 5, (0, 2**64 - 1), ["r rip=rip+2"],
          "selector fault survived"),
    # Interrupts would need the stack, too.
    Fault("stack", 0xC0000144, "KdExampleStackFault", 6, (8, 0), ["r rsp=rdx", "r rip=rip+1"],
          "stack fault survived", first=0),
]


def setUpModule():
    scratch = agentsession.scratch_folder("kdsession")
    globals()["SCRATCH"] = scratch
    globals()["EXAMPLE"] = Image(IMAGES / "kdexample.efi")
    globals()["SAVED"] = agentsession.boot_example(scratch)


def place(name: str) -> str:
    """A name of kdexample for the debugger, which knows the module's base."""
    return f"kdexample+{EXAMPLE.names[name]:x}"


class Case(unittest.TestCase):
    def session(self, line=None) -> Session:
        session = Session(SAVED, line)
        self.addCleanup(session.close)
        return session

    def at_menu(self, line=None):
        """A session, and its debugger where kdexample asks for words."""
        session = self.session(line)
        debugger = session.debugger()
        self.assertIn("boot debugger", debugger.command("version"))
        debugger.command("g")
        while debugger.wait("stop|prompt")["event"] == "stop":  # the load event, the first break
            if debugger.seen == len(debugger.events):
                debugger.command("g")
        return session, debugger

    def stopped_in_example(self):
        session, debugger = self.at_menu()
        debugger.stop("reply break")
        return session, debugger

    def spinning(self):
        session, debugger = self.at_menu()
        debugger.command("reply spin")
        debugger.wait("print", "spins")
        self.wait_spinning(session)
        return session, debugger

    def wait_spinning(self, session) -> dict:
        """Until the program is at it again, by the emulator: its registers then. At another moment
        the firmware's timer has interrupted it."""
        base = next(int(event["address"], 16) for event in session.debuggers[0].events
                    if event["event"] == "load" and event["module"] == "kdexample")
        start = base + EXAMPLE.names["KdExampleSpin"]
        end = time.monotonic() + PATIENCE
        while True:
            session.machine.pause()
            registers = session.machine.registers()
            session.machine.resume()
            if 0 <= registers["RIP"] - start < 64:
                return registers
            self.assertLess(time.monotonic(), end, "the program does not spin")
            time.sleep(0.05)

    def end_spin(self, debugger):
        """The program is unharmed: it goes on to its end."""
        debugger.command(f"ed {place('KdExampleStop')} 1")
        debugger.command("g")
        debugger.wait("print", "kdexample: spin: done")

    def spins(self, address: int, debugger) -> bool:
        start = EXAMPLE.names["KdExampleSpin"]
        end = min(rva for rva in EXAMPLE.names.values() if rva > start)
        return address - debugger.number("kdexample") in range(start, end)

    def assertSpins(self, address: int, debugger):
        self.assertTrue(self.spins(address, debugger), f"{address:x} is not in KdExampleSpin")


class Looking(Case):
    def test_version(self):
        session = self.session()
        debugger = session.debugger()
        self.assertRegex(debugger.command("version"),
                         r"boot debugger \d+, AMD64 \(8664\), protocol 6\nmajor 040f")
        packets, rest = agentsession.account(session.recorded())
        self.assertGreater(len(packets), 3)

    def test_modules_are_those_of_the_firmware(self):
        session, debugger = self.stopped_in_example()
        listed = debugger.command("lm")
        rows = re.findall(r"^([0-9a-f]{16}) ([0-9a-f]{16}) +(\S+)", listed, re.M)
        found = {(int(base, 16), int(end, 16) - int(base, 16)) for base, end, _ in rows}
        self.assertEqual(found, agentsession.loaded_images(session.machine))
        self.assertGreater(len(rows), 50)
        names = [name for _, _, name in rows]
        for name in ("kdagent", "kdexample", "DxeCore", "BdsDxe"):
            self.assertIn(name, names)
        record = EXAMPLE.data.index(b"RSDS")
        first, second, third = struct.unpack_from("<IHH", EXAMPLE.data, record + 4)
        age, = struct.unpack_from("<I", EXAMPLE.data, record + 20)
        identity = (f"{first:08X}{second:04X}{third:04X}"
                    f"{EXAMPLE.data[record + 12:record + 20].hex().upper()}{age:X}")
        text = debugger.command("lmv kdexample")
        self.assertIn(identity, text)
        self.assertIn(f"size {EXAMPLE.size:08x}", text)
        agentsession.account(session.recorded())


class Memory(Case):
    def test_good(self):
        session, debugger = self.stopped_in_example()
        base = debugger.number("kdexample")
        text = EXAMPLE.names["KdExampleText"]
        self.assertEqual(debugger.bytes(place("KdExampleText"), len(TEXT)), TEXT)
        code = EXAMPLE.names["KdExampleTick"]
        expected = EXAMPLE.bytes_at(code, 64)
        self.assertEqual(debugger.bytes(place("KdExampleTick"), 64), expected)
        self.assertEqual(debugger.bytes(f"/p {base + code:x}", 64), expected)
        self.assertEqual(debugger.bytes("kdexample", 0x1000), session.machine.memory(base, 0x1000))
        debugger.command(f"ea {place('KdExampleText')} \"KDEXAMPLE\"")
        self.assertEqual(session.machine.memory(base + text, len(TEXT)),
                         b"KDEXAMPLE was here\0")
        found = debugger.command(f"s -a kdexample L{EXAMPLE.size:x} \"EXAMPLE was\"")
        self.assertIn(f"{base + text + 2:016x}", found)
        debugger.command(f"f {place('KdExampleCounter')} L4 11 22")
        self.assertEqual(session.machine.memory(base + EXAMPLE.names["KdExampleCounter"], 4),
                         b"\x11\x22\x11\x22")
        agentsession.account(session.recorded())

    def test_absent(self):
        session, debugger = self.stopped_in_example()
        for address in (ABSENT, 0x8000000000000000):
            self.assertIn("cannot be read", debugger.refused(f"db {address:x} L10"))
            self.assertIn(f"{address:016x}", debugger.refused(f"eb {address:x} 1"))
        # What the program supplies at addresses of its own ends after a page.
        window = bytes(i & 0xFF ^ 0x5A for i in range(4096))
        self.assertEqual(debugger.bytes(f"{WINDOW:x}", 4096), window)
        partly = debugger.refused(f"db {WINDOW + 0xFF0:x} L20")
        self.assertIn(f"{WINDOW + 0xFF0:016x}  " + window[-16:].hex(" ", 1)[:23], partly)
        self.assertIn(f"{WINDOW + 0x1000:016x} cannot be read", partly)
        debugger.command(f"eb {WINDOW + 0x10:x} 1 2 3")
        self.assertEqual(debugger.bytes(place("KdExampleWindow") + "+f", 5)[1:4], b"\1\2\3")
        agentsession.account(session.recorded())

    def test_device(self):
        """The timer entry of the local APIC, a device in memory; ports, an MSR, a bus."""
        session, debugger = self.stopped_in_example()
        timer = re.search(r"LVTT\s+0x([0-9a-f]{8})", session.machine.monitor("info lapic"))[1]
        self.assertRegex(debugger.command(f"dd {LAPIC + 0x320:x} L1"), f"  {timer}$")
        host = re.search(r"Bus  0, device   0, function 0:\s+[^\n]*PCI device ([0-9a-f]{4}):"
                         r"([0-9a-f]{4})", session.machine.monitor("info pci"))
        identity = bytes.fromhex(host[1])[::-1] + bytes.fromhex(host[2])[::-1]
        self.assertEqual(debugger.command("busdata 0 0 0 0 4").strip(), identity.hex(" "))
        debugger.command("od cf8 80000000")
        self.assertIn(f"{host[2]}{host[1]}", debugger.command("id cfc"))
        efer = session.machine.registers()["EFER"]
        self.assertIn(f"{efer:016x}", debugger.command("rdmsr c0000080"))
        agentsession.account(session.recorded())

    def test_write_protected(self):
        """Code that the firmware's page tables do not let be written, found by the emulator."""
        session, debugger = self.stopped_in_example()
        guest = session.machine
        ranges = [(int(start, 16), int(end, 16)) for start, end in
                  re.findall(r"^([0-9a-f]+)-([0-9a-f]+) \S+ -r-", guest.monitor("info mem"), re.M)]
        address = min(start for start, end in ranges
                      for base, size in agentsession.loaded_images(guest)
                      if base <= start < base + size)
        before = guest.memory(address, 64)
        changed = bytes(byte ^ 0xFF for byte in before[:8])
        debugger.command(f"eb {address:x} {changed.hex(' ')}")
        self.assertEqual(guest.memory(address, 64), changed + before[8:])
        self.assertEqual(debugger.bytes(f"{address:x}", 8), changed)
        debugger.command(f"eb {address:x} {before[:8].hex(' ')}")
        debugger.command("rm")
        self.assertEqual([(int(start, 16), int(end, 16)) for start, end in re.findall(
            r"^([0-9a-f]+)-([0-9a-f]+) \S+ -r-", guest.monitor("info mem"), re.M)], ranges)
        self.assertTrue(guest.registers()["CR0"] & 1 << 16)  # WP
        agentsession.account(session.recorded())


class Registers(Case):
    def test_set_and_shown(self):
        """What the debugger sets is what the processor runs with, and what it shows is true: the
        emulator's monitor says so, while the program spins."""
        session, debugger = self.stopped_in_example()
        debugger.command(f"bp {place('KdExampleSpin')}")
        debugger.command("gh")
        debugger.wait("prompt", "^kdexample> $")
        debugger.stop("reply spin")
        debugger.command("bc *")
        names = "rbx rbp rsi rdi r9 r10 r11 r12 r13 r14 r15".split()  # which its loop does not use
        values = {name: 0x1122334455667700 + i for i, name in enumerate(names)}
        for name, value in values.items():
            debugger.command(f"r {name}={value:x}")
        debugger.command("g")
        emulator = self.wait_spinning(session)
        for name, value in values.items():
            self.assertEqual(emulator[name.upper()], value, name)
        tables = dict(re.findall(r"^(GDT|IDT)= +([0-9a-f]+ [0-9a-f]+)",
                                 session.machine.monitor("info registers"), re.M))
        debugger.stop("break")
        shown = dict(re.findall(r"\b([a-z0-9]+)=([0-9a-f]+)",
                                debugger.command("r") + debugger.command("rm") +
                                debugger.command("rx")))
        for name in (*names, *"rsp cs ss ds es fs gs cr0 cr2 cr3 cr4 mxcsr".split()):
            self.assertEqual(int(shown[name], 16), emulator[name.upper()], name)
        for i in range(16):
            self.assertEqual(int(shown[f"xmm{i}"], 16), emulator[f"XMM{i:02}"], f"xmm{i}")
        for name, short in (("GDT", "gdt"), ("IDT", "idt")):
            base, limit = tables[name].split()
            self.assertEqual(int(shown[short + "r"], 16), int(base, 16), name)
            self.assertEqual(int(shown[short + "l"], 16), int(limit, 16), name)
        self.assertSpins(int(shown["rip"], 16), debugger)
        agentsession.account(session.recorded())


class Breakpoints(Case):
    def counter(self) -> str:
        return f"dwo({place('KdExampleCounter')})"

    def instructions(self, name: str) -> list:
        """Where the instructions of this function begin, from its start, by llvm-objdump."""
        base = struct.unpack_from("<Q", EXAMPLE.data, EXAMPLE.data.index(b"PE\0\0") + 48)[0]
        start = base + EXAMPLE.names[name]
        text = subprocess.run(["llvm-objdump", "-d", "--no-show-raw-insn",
                               f"--start-address={start:#x}", f"--stop-address={start + 64:#x}",
                               IMAGES / "kdexample.efi"], check=True, capture_output=True,
                              text=True).stdout
        return [int(at, 16) - start for at in re.findall(r"^\s*([0-9a-f]+):", text, re.M)]

    def test_software(self):
        session, debugger = self.stopped_in_example()
        at = debugger.number(place("KdExampleTick"))
        code = EXAMPLE.bytes_at(EXAMPLE.names["KdExampleTick"], 16)
        debugger.command(f"bp {at:x}")
        debugger.command("gh")
        debugger.wait("prompt", "^kdexample> $")
        self.assertEqual(session.machine.memory(at, 1), b"\xcc")
        for number in range(4):
            stop = debugger.stop("reply loop=4" if number == 0 else "g")
            self.assertIn("Breakpoint 0 hit", stop["text"])
            self.assertEqual(int(stop["address"], 16), at)
            self.assertEqual(debugger.register("rcx"), number)
            self.assertEqual(debugger.number(self.counter()), number)
            self.assertEqual(debugger.bytes(f"{at:x}", 16), code)
        for offset in self.instructions("KdExampleTick")[1:4]:
            debugger.command("t")
            self.assertEqual(debugger.register("rip"), at + offset)
        debugger.command("gu")
        self.assertGreater(debugger.register("rip"), debugger.number(place("KdExampleLoop")))
        debugger.command("bc *")
        debugger.command("g")
        debugger.wait("print", "kdexample: counter 4, sum 22")  # 3 * 6 + 4
        self.assertEqual(session.machine.memory(at, 16), code)
        agentsession.account(session.recorded())

    def test_step_over(self):
        session, debugger = self.stopped_in_example()
        debugger.command(f"ba e1 {place('KdExampleLoop')}")
        debugger.command("gh")
        debugger.wait("prompt", "^kdexample> $")
        stop = debugger.stop("reply loop=2")
        start = int(stop["address"], 16)
        self.assertEqual(start, debugger.number(place("KdExampleLoop")))
        debugger.command("bc *")
        places = self.instructions("KdExampleLoop")
        for _ in range(40):
            debugger.command("p")
            self.assertIn(debugger.register("rip") - start, places)
            if debugger.number(self.counter()):
                break
        self.assertEqual(debugger.number(self.counter()), 1)  # the call was one step
        debugger.command("g")
        debugger.wait("print", "kdexample: counter 2, sum 5")
        agentsession.account(session.recorded())

    def test_hardware_execution(self):
        session, debugger = self.stopped_in_example()
        at = debugger.number(place("KdExampleTick"))
        debugger.command(f"ba e1 {at:x}")
        debugger.command("gh")
        debugger.wait("prompt", "^kdexample> $")
        for number in range(3):
            stop = debugger.stop("reply loop=3" if number == 0 else "g")
            self.assertEqual((int(stop["address"], 16), int(stop["code"], 16)), (at, 0x80000004))
            self.assertEqual(debugger.number(self.counter()), number)
        self.assertEqual(session.machine.memory(at, 16),
                         EXAMPLE.bytes_at(EXAMPLE.names["KdExampleTick"], 16))
        debugger.command("bc *")
        debugger.command("g")
        debugger.wait("print", "kdexample: counter 3, sum 12")
        agentsession.account(session.recorded())

    def test_hardware_write(self):
        session, debugger = self.stopped_in_example()
        debugger.command(f"ba w4 {place('KdExampleCounter')}")
        debugger.command("gh")
        debugger.wait("prompt", "^kdexample> $")
        after = EXAMPLE.names["KdExampleTick"] + self.instructions(
            "KdExampleTick")[1]
        for number in range(3):
            stop = debugger.stop("reply loop=3" if number == 0 else "g")
            self.assertIn("Breakpoint 0 hit", stop["text"])
            self.assertEqual(int(stop["address"], 16) - debugger.number("kdexample"), after)
            self.assertEqual(debugger.number(self.counter()), number + 1)
        debugger.command("bc *")
        debugger.command("g")
        debugger.wait("print", "kdexample: counter 3, sum 12")
        agentsession.account(session.recorded())

    def test_execution_and_write(self):
        """The write is hit by the step over the breakpoint on execution."""
        session, debugger = self.stopped_in_example()
        at = debugger.number(place("KdExampleTick"))
        debugger.command(f"ba e1 {at:x}")
        debugger.command(f"ba w4 {place('KdExampleCounter')}")
        debugger.command("gh")
        debugger.wait("prompt", "^kdexample> $")
        for number in range(3):
            stop = debugger.stop("reply loop=3" if number == 0 else "g")
            self.assertEqual(int(stop["address"], 16), at)
            stop = debugger.stop()
            self.assertEqual(int(stop["address"], 16), at + self.instructions("KdExampleTick")[1])
            self.assertIn("Breakpoint 1 hit", stop["text"])
        debugger.command("bc *")
        debugger.command("g")
        debugger.wait("print", "kdexample: counter 3, sum 12")
        agentsession.account(session.recorded())


class Faults(Case):
    def test_every_kind(self):
        """Codes as Windows has them; the parameters as they are on the line."""
        session, debugger = self.at_menu()
        expected = []
        for number, fault in enumerate(FAULTS):
            with self.subTest(fault.word):
                if number == 0:
                    stop = debugger.stop("reply " + " ".join(fault.word for fault in FAULTS))
                else:
                    stop = debugger.stop("gh")
                address = fault.offset + (debugger.number(place(fault.function))
                                          if fault.function else 0)
                self.assertEqual(int(stop["code"], 16), fault.code)
                self.assertEqual(int(stop["address"], 16), address)
                self.assertIn("first" if fault.first else "second", stop["text"])
                expected.append((fault.code, address, fault.parameters, fault.first))
                for command in fault.repair:
                    debugger.command(command)
        debugger.command("gh")
        debugger.wait("prompt", "^kdexample> $")
        said = [event["text"] for event in debugger.events
                if event["event"] == "print" and event["text"].startswith("kdexample: ")]
        self.assertEqual(said, [f"kdexample: {fault.survived}: done\n" for fault in FAULTS])
        recording = session.recorded()
        agentsession.account(recording)
        stops = agentsession.stops_of(read_recording(recording))
        self.assertEqual(stops[-len(FAULTS):], expected)

    def test_second_chance(self):
        session, debugger = self.at_menu()
        for word, past in (("ud2", 2), ("divide", 2), ("write", 2)):
            self.assertIn("first chance", debugger.stop(f"reply {word}")["text"])
            self.assertIn("second chance", debugger.stop("gn")["text"])
            debugger.command(f"r rip=rip+{past}")
            debugger.command("gh")
            debugger.wait("prompt", "^kdexample> $")
        agentsession.account(session.recorded())


class Talking(Case):
    def test_prints_prompts_records(self):
        session, debugger = self.at_menu()
        debugger.command("reply hello prompt")
        debugger.wait("print", "^kdexample: hello, connected: yes\n$")
        debugger.wait("print", "^kdexample: 100% by the earlier protocol, too\n$")
        debugger.wait("prompt", "what is your name")
        debugger.command("reply Konrad % Z")
        debugger.wait("print", "^kdexample: hello, $")
        debugger.wait("print", "^Konrad % Z$")
        debugger.wait("prompt", "^kdexample> $")
        debugger.command("reply record command module")
        debugger.wait("print", "^{kdexample 0+ " + TEXT.hex() + "}\n$")
        debugger.wait("print", f"^{{kdexample end {len(TEXT):08x}}}\n$")
        debugger.wait("command", r"\.echo kdexample asked for this")
        event = debugger.wait("load", r"kdcopy\.efi")
        self.assertIn(f"{int(event['address'], 16) + EXAMPLE.size:016x}", event["text"])
        self.assertEqual(debugger.wait("unload")["address"], event["address"])
        debugger.wait("prompt", "^kdexample> $")
        agentsession.account(session.recorded())


class BreakingIn(Case):
    def test_running_guest(self):
        """The stop is in the program; how long it took is told, not judged."""
        session, debugger = self.spinning()
        for _ in range(10):
            self.assertSpins(int(debugger.stop("break")["address"], 16), debugger)
            debugger.command("g")
        debugger.stop("break")
        self.end_spin(debugger)
        recording = session.recorded()
        agentsession.account(recording)
        asked, latencies = None, []
        for record in read_recording(recording).records:
            if record.sender == DEBUGGER and record.data == b"b":
                asked = record.time
            elif asked and record.sender == TARGET and record.data[:5] == b"0000\7":
                latencies.append((record.time - asked) / 1e6)
                asked = None
        self.assertGreaterEqual(len(latencies), 11)
        print(f"break-in of a running guest: {min(latencies):.1f} ms at best, "
              f"{sorted(latencies)[len(latencies) // 2]:.1f} ms in the middle, "
              f"{max(latencies):.1f} ms at worst, of {len(latencies)}", file=sys.stderr)

    def test_nmi(self):
        """It interrupts anything, also the firmware's timer; mostly, however, the program."""
        session, debugger = self.spinning()
        inside = 0
        for _ in range(8):
            self.wait_spinning(session)
            debugger.seen = len(debugger.events)
            session.machine.nmi()
            stop = debugger.wait("stop")
            self.assertEqual(int(stop["code"], 16), 0x80000003)
            inside += self.spins(int(stop["address"], 16), debugger)
            debugger.command("g")
        self.assertGreater(inside, 0)
        debugger.stop("break")
        self.end_spin(debugger)
        agentsession.account(session.recorded())


class Lines(Case):
    def test_debugger_is_killed(self):
        """One that has breakpoints set, with the target running and then stopped."""
        session, first = self.stopped_in_example()
        at = first.number(place("KdExampleTick"))
        code = EXAMPLE.bytes_at(EXAMPLE.names["KdExampleTick"], 16)
        first.command(f"bp {at:x}")
        first.command("gh")
        first.wait("prompt", "^kdexample> $")
        first.command("reply spin loop=2")
        first.wait("print", "spins")
        first.kill()
        second = session.debugger()
        self.assertSpins(second.register("rip"), second)
        self.assertEqual(second.bytes(f"{at:x}", 16), code)
        second.kill()
        third = session.debugger()
        self.assertSpins(third.register("rip"), third)
        third.command(f"ed {place('KdExampleStop')} 1")
        third.command("g")
        third.seen = len(third.events) - 1
        # The breakpoint of the first is gone, or still there and passed like any.
        while (event := third.wait("stop|print"))["event"] == "stop" or "sum" not in event["text"]:
            if event["event"] == "stop":
                self.assertEqual(int(event["address"], 16), at)
                third.command("g")
        self.assertEqual(event["text"], "kdexample: counter 2, sum 5\n")
        agentsession.account(session.recorded(), ended=True)

    def test_line_with_faults(self):
        """The answers are right all the same. One kind at a time: KD's checksum is a sum, which a
        zero lost here and a zero doubled there do not change."""
        with BadLine(seed=1) as line:
            session, debugger = self.at_menu(line.end)
            base = next(int(event["address"], 16) for event in debugger.events
                        if event["event"] == "load" and event["module"] == "kdexample")
            for number, line.kind in enumerate(["lost", "doubled", "changed"] * 2):
                debugger.stop("reply break")
                at = base + 0x1000 + 0x180 * number
                for _ in range(3):
                    self.assertEqual(debugger.bytes(f"{at:x}", 0x180),
                                     session.machine.memory(at, 0x180))
                self.assertEqual(debugger.register("cs"), 0x38)
                debugger.command("gh")
                debugger.wait("prompt", "^kdexample> $")
            agentsession.account(session.recorded(), bad=True)
            self.assertGreater(line.faults, 5)
            print(f"a line with {line.faults} faults in {line.carried} bytes", file=sys.stderr)


class Shell:
    """The firmware's shell on a second UART."""

    def __init__(self, path: Path):
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(str(path))
        self.line.settimeout(PATIENCE)

    def prompt(self, lines: int = 0) -> str:
        """What comes until it asks for a line after so many, without terminal sequences."""
        seen = b""
        while True:
            got = self.line.recv(4096)
            assert got, "the line ended"
            seen += got
            text = re.sub(r"\x1b\[[0-9;=]*[A-Za-z]", "", seen.decode(errors="replace"))
            if text.endswith("Shell> ") and text.count("\n") >= lines:
                return text

    def run(self, command: str) -> str:
        self.line.sendall(command.encode() + b"\r")
        return self.prompt(lines=2)


class Unload(Case):
    def processor(self, guest) -> tuple:
        """The descriptor tables' places, and the bytes of the interrupt table. Not the task
        register: a processor cannot get rid of what was loaded into it."""
        tables = re.findall(r"^(?:GDT|IDT) *= *([^\r\n]*)",
                            guest.monitor("info registers"), re.M)
        base, limit = tables[-1].split()
        return tables, guest.memory(int(base, 16), int(limit, 16) + 1)

    def test_gives_everything_back(self):
        console = SCRATCH / "console"
        esp = machine.make_esp(SCRATCH / "shell.img", {
            "kdagent.efi": IMAGES / "kdagent.efi", "kdagent.cfg": b"break = no\n"})
        session = Session({"esp": esp, "extra": (
            "-chardev", f"socket,id=console,path={console},server=on,wait=off",
            "-serial", "chardev:console")}, line=lambda uart: f"unix:{SCRATCH}/line")
        self.addCleanup(session.close)
        guest = session.machine
        shell = Shell(console)
        self.addCleanup(shell.line.close)
        shell.prompt()
        before = self.processor(guest)
        self.assertIn("Success", shell.run("load fs0:\\kdagent.efi"))
        self.assertNotEqual(self.processor(guest), before)

        (SCRATCH / "line").symlink_to(guest.uart)  # now the tap comes to the line
        debugger = session.debugger()
        self.assertIn("kdagent", debugger.command("lm kdagent"))
        place = debugger.number("DxeCore+1000")
        code = guest.memory(place, 16)
        debugger.command(f"bp {place:x}")
        debugger.command(f"ba w4 {place:x}")
        debugger.command("g")
        debugger.kill()
        handle = re.search(r"^([0-9A-F]+): .*kdagent\.efi", shell.run("dh"), re.M)[1]
        self.assertIn("Success", shell.run(f"unload -n {handle}"))
        recording = session.recorded()
        agentsession.account(recording, ended=True)

        self.assertEqual(self.processor(guest), before)
        self.assertEqual(guest.memory(place, 16), code)
        self.assertEqual(guest.registers()["DR7"], 0x400)
        self.assertNotIn("kdagent", shell.run("dh"))
        first = Shell(guest.uart)  # the console is on the agent's UART again, both ways
        self.addCleanup(first.line.close)
        self.assertIn("\nthe shell is back\r", first.run("echo the shell is back"))


class BadLine:
    """Between a tap and a machine, a line with faults at random places."""

    def __init__(self, seed: int, every: int = 1500):
        self.random, self.every = random.Random(seed), every
        self.carried = self.faults = 0
        self.kind = "lost"
        self.listener = socket.socket(socket.AF_UNIX)
        self.folder = tempfile.mkdtemp(prefix="kdline")
        self.listener.bind(f"{self.folder}/line")
        self.listener.listen()

    def end(self, uart: Path) -> str:
        threading.Thread(target=self._carry, args=(str(uart),), daemon=True).start()
        return f"unix:{self.folder}/line"

    def _carry(self, uart: str):
        near, _ = self.listener.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(uart)
        with near, far:
            back = threading.Thread(target=self._copy, args=(far, near), daemon=True)
            back.start()
            self._copy(near, far)
            back.join()

    def _copy(self, source, sink):
        try:
            while data := source.recv(4096):
                sink.sendall(self._spoil(data))
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _spoil(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            self.carried += 1
            bad = self.random.randrange(self.every) == 0
            # The header has no checksum: a changed id would be taken for another packet's.
            if self.kind == "changed":
                bad = bad and byte not in HEADER_BYTES
            self.faults += bad
            if not bad:
                out.append(byte)
            elif self.kind == "doubled":
                out += bytes([byte, byte])
            elif self.kind == "changed":
                out.append(byte + 1 & 0xFF)
        return bytes(out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)


if __name__ == "__main__":
    program = unittest.main(verbosity=2, exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
