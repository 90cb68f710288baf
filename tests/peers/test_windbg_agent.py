# test_windbg_agent.py - WinDbg's engine debugs kdagent.efi in QEMU, through kdlens tap.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS and KDLENS_AGENT_IMAGES name the tool and where kdagent.efi, kdboot.efi and kdexample.efi
with their PDBs are; by default those of build/.

What is expected is what WinDbg says of a target that behaves, what the emulator's own monitor says
of registers and memory, and what is in kdexample's source. The machine starts the agent as
\\EFI\\BOOT\\BOOTX64.EFI does it on real media; the agent then starts kdexample with a list of
words.
Skips, saying why, where the engine or QEMU cannot be had.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(HERE / "windbg"), str(REPOSITORY / "tests/boot")]
import machine
import windbg

KDLENS = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()
AGENT = Path(os.environ.get("KDLENS_AGENT_IMAGES") or REPOSITORY / "build/uefi-agent").resolve()
PATIENCE = 120.0
ABSENT = 0xFFFFFFFF80000000  # where kdexample's faults go

# In the order of kdexample's words: what WinDbg calls the exception, the function that faults, how
# to go on (commands), and what .exr says more.
PAST = "r rip=@rip+{}"
RETURN = "r rip=poi(@rsp);r rsp=@rsp+8"
FAULTS = [
    ("ud2", "Illegal instruction - code c000001d", "KdExampleIllegalFault", PAST.format(2), ""),
    ("divide", "Integer divide-by-zero - code c0000094", "KdExampleDivideFault", PAST.format(2),
     ""),
    ("write", "Access violation - code c0000005", "KdExampleWriteFault", PAST.format(2),
     "Attempt to write to address ffffffff80000000"),
    ("read", "Access violation - code c0000005", "KdExampleReadFault", PAST.format(2),
     "Attempt to read from address ffffffff80000000"),
    ("execute", "Access violation - code c0000005", "", RETURN,
     "Attempt to execute non-executable address ffffffff80000000"),
    ("protection", "Access violation - code c0000005", "KdExampleReadFault", PAST.format(2),
     "Attempt to read from address ffffffffffffffff"),
    ("selector", "Access violation - code c0000005", "KdExampleSelectorFault", PAST.format(2), ""),
    ("int3", "Break instruction exception - code 80000003", "KdExampleBreakpoint", PAST.format(1),
     ""),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cable:
    """One TCP connection to the tap that can be cut. Wine's server keeps a socket open now and then
    whose process was killed, and the tap would still see its debugger."""

    def __init__(self, port: int):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends = []
        threading.Thread(target=self._connect, args=(port,), daemon=True).start()

    def _connect(self, port: int):
        try:
            debugger = self.listener.accept()[0]
            tap = socket.create_connection(("127.0.0.1", port))
        except OSError:
            return
        self.ends = [debugger, tap]
        for end in self.ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._pump, args=(tap, debugger), daemon=True).start()
        self._pump(debugger, tap)

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass

    def cut(self):
        self.listener.close()
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


class Bench:
    """A machine with the agent on its disk, a tap in front of it, and room for an engine."""

    def __init__(self, words: str, settings: str = "modules=kd*,DxeCore",
                 program: Path = AGENT / "kdexample.efi", tap: tuple = ()):
        self.folder = Path(tempfile.mkdtemp(prefix="kdpeer"))
        self.recording = self.folder / "session.pcapng"
        self.uart = self.folder / "uart"
        self.port = free_port()
        self.machine = None
        self.engines = []
        self.esp = machine.make_esp(self.folder / "esp.img", {
            "EFI/BOOT/BOOTX64.EFI": AGENT / "kdboot.efi",
            "kdagent.efi": AGENT / "kdagent.efi",
            program.name: program,
            "kdagent.cfg": f"chain=\\{program.name}\narguments={words}\n{settings}\n".encode(),
        })
        self.log = (self.folder / "tap.log").open("w")
        self.tap = subprocess.Popen(
            [KDLENS, "tap", f"tcp-listen:{self.port}", f"unix-listen:{self.uart}", "-w",
             self.recording, *tap], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self.log)
        end = time.monotonic() + PATIENCE
        while not self.uart.exists():
            assert self.tap.poll() is None and time.monotonic() < end, "the tap does not listen"
            time.sleep(0.02)

    def power_on(self):
        # The machine connects to the tap, and again after a reset of the line.
        self.machine = machine.Machine(esp=self.esp,
                                       uart=f"socket,path={self.uart},server=off,reconnect=1")

    def engine(self, symbols: tuple = (AGENT,), **options) -> windbg.Engine:
        """symbols: folders."""
        cable = Cable(self.port)
        engine = windbg.Engine(windbg.tcp(cable.port),
                               symbols=";".join(map(windbg.windows_path, symbols)), **options)
        self.engines.append((engine, cable))
        return engine

    def kill_engines(self):
        for engine, cable in self.engines:
            engine.kill()
            cable.cut()
        self.engines.clear()

    def stop_tap(self):
        """The recording is whole after that."""
        if self.tap.poll() is None:
            self.tap.send_signal(signal.SIGINT)
            self.tap.wait(PATIENCE)

    def close(self):
        self.kill_engines()
        if self.machine:
            self.machine.close()
        self.stop_tap()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def size_of_image(path: Path) -> int:
    """SizeOfImage of the file's optional header."""
    data = path.read_bytes()
    header = int.from_bytes(data[0x3C:0x40], "little")
    return int.from_bytes(data[header + 24 + 56:header + 24 + 60], "little")


def number(text: str, name: str) -> int:
    match = re.search(rf"\b{name}=([0-9a-f`]+)", text)
    assert match, f"no {name} in {text!r}"
    return int(match[1].replace("`", ""), 16)


@unittest.skipIf(machine.missing(), machine.missing())
class WithEngine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        reason = windbg.missing()
        if reason:
            raise unittest.SkipTest(f"WinDbg's engine: {reason}")

    def bench(self, words: str, *settings: str) -> Bench:
        bench = Bench(words, *settings)
        self.addCleanup(bench.close)
        return bench

    def stopped_at_start(self, words: str, *settings: str):
        """An engine that came after power-on, at the agent's first stop."""
        bench = self.bench(words, *settings)
        bench.power_on()
        engine = bench.engine()
        engine.wait_stopped(PATIENCE)
        return bench, engine

    def in_example(self, words: str, *settings: str):
        """The same, gone on to kdexample's first stop, which the word break makes."""
        bench, engine = self.stopped_at_start(f"break {words}", *settings)
        self.assertIn("kdexample: stops", engine.step("g", PATIENCE))
        engine.command(".reload", PATIENCE)
        return bench, engine


class Session(WithEngine):
    def test_modules_and_stack(self):
        bench, engine = self.in_example("", "modules=*")
        for _ in range(2):  # as connected, and from the list in memory alone
            modules = engine.command("lm", PATIENCE)
            rows = re.findall(r"^(\S+) (\S+)\s+(\w+)", modules, re.M)
            sizes = {name: int(end.replace("`", ""), 16) - int(start.replace("`", ""), 16)
                     for start, end, name in rows if "`" in start}
            self.assertIn("kdexample", sizes)
            self.assertIn("DxeCore", sizes)
            self.assertGreater(len(sizes), 50)
            for name in ("kdagent", "kdexample"):
                self.assertEqual(sizes[name], size_of_image(AGENT / f"{name}.efi"), name)
            engine.command(".reload", PATIENCE)
        self.assertIn("private pdb symbols", engine.command("ld kdagent; lm m kdagent", PATIENCE))
        self.assertIn("private pdb symbols",
                      engine.command("ld kdexample; lm m kdexample", PATIENCE))
        self.assertIn("Boot Debugger", engine.command("version"))

    def test_breakpoints_and_steps(self):
        bench, engine = self.in_example("loop=9")
        engine.command("bp kdexample!KdExampleTick")
        self.assertIn("Breakpoint 0 hit", engine.step("g"))
        stack = engine.command("k")
        self.assertRegex(stack, r"(?s)KdExampleTick.*KdExampleLoop.*do_loop.*EfiMain")
        self.assertEqual(number(engine.command("r rcx"), "rcx"), 0)
        first = engine.command("db kdexample!KdExampleTick l1")
        self.assertNotRegex(first, r"  cc ")  # planted breakpoints do not show
        at = number(engine.command("r rip"), "rip")
        engine.step("t")
        self.assertGreater(number(engine.command("r rip"), "rip"), at)
        at_t = number(engine.command("r rip"), "rip")
        engine.step("p")
        self.assertGreater(number(engine.command("r rip"), "rip"), at_t)
        engine.step("gu")
        self.assertRegex(engine.command("ln @rip"), "KdExampleLoop")
        self.assertIn("Breakpoint 0 hit", engine.step("g"))
        self.assertEqual(number(engine.command("r rcx"), "rcx"), 1)
        engine.command("bc *")
        engine.command("ba e1 kdexample!KdExampleTick")
        self.assertIn("Breakpoint 0 hit", engine.step("g"))
        self.assertEqual(number(engine.command("r rcx"), "rcx"), 2)
        self.assertEqual(number(engine.command("r rip"), "rip"), at)
        engine.command("bc *")
        before = engine.command("dd kdexample!KdExampleCounter l1")
        engine.command("ba w4 kdexample!KdExampleCounter")
        self.assertIn("Breakpoint 0 hit", engine.step("g"))
        after = engine.command("dd kdexample!KdExampleCounter l1")
        self.assertEqual(int(after.split()[-1], 16), int(before.split()[-1], 16) + 1)
        engine.command("bc *")
        engine.command("g")
        engine.wait_text(r"kdexample: counter 9, sum 117\b")  # 3 * 36 + 9

    def test_memory_ports_and_msrs(self):
        bench, engine = self.in_example("")
        self.assertRegex(engine.command("db fffff00000000000 l4"), r"\?\? \?\? \?\? \?\?")
        engine.command("eb kdexample!KdExampleWindow 11 22 33 44")
        found = engine.command("s kdexample!KdExampleWindow l10 22 33")
        self.assertRegex(found, r"`?[0-9a-f]+  22 33 44")
        engine.command("f kdexample!KdExampleWindow l10 5a")
        self.assertRegex(engine.command("db kdexample!KdExampleWindow l10"), r"(5a[ -]){15}5a")
        # Firmware maps memory one to one: the same bytes by physical address, and the emulator's.
        window = re.search(r"^([0-9a-f`]+)  5a", engine.command("db kdexample!KdExampleWindow l10"),
                           re.M)[1].replace("`", "")
        self.assertRegex(engine.command(f"db /p {window} l10"), r"(5a[ -]){15}5a")
        self.assertEqual(bench.machine.memory(int(window, 16), 16), b"\x5a" * 16)
        self.write_protected(bench.machine, engine)
        self.assertRegex(engine.command("ib 3fd"), r"3fd: +60")  # line status: empty
        self.assertIn("00000d00", engine.command("rdmsr c0000080"))  # EFER, uefi: LME LMA NXE

    def write_protected(self, guest, engine):
        """Firmware code in a page that the page tables do not let be written."""
        address = int(re.search(r"^([0-9a-f]+)-[0-9a-f]+ \S+ -r-", guest.monitor("info mem"),
                                re.M)[1], 16)
        before = guest.memory(address, 1)[0]
        engine.command(f"eb {address:x} {before ^ 0xFF:x}")
        self.assertEqual(guest.memory(address, 1)[0], before ^ 0xFF)
        engine.command(f"eb {address:x} {before:x}")
        self.assertEqual(guest.memory(address, 1)[0], before)

    def test_every_fault(self):
        bench, engine = self.in_example(" ".join(fault[0] for fault in FAULTS) + " hello")
        for word, name, function, repair, detail in FAULTS:
            with self.subTest(word):
                self.assertIn(name, engine.step("gh"))  # g would leave it unhandled
                record = engine.command(".exr -1")
                self.assertIn(function, record)
                self.assertIn(detail, record)
                if function:
                    self.assertIn(function, engine.command("k"))
                engine.command(repair)
        engine.command("gh")
        engine.wait_text("kdexample: hello, connected: yes")

    def test_break_in_and_registers(self):
        bench, engine = self.in_example("spin hello")
        engine.command("g")
        engine.wait_text("kdexample: spins")
        pages = engine.text
        time.sleep(1)
        # The program is in a loop of a few instructions: all but that loop's own register stand.
        bench.machine.pause()
        emulator = bench.machine.registers()
        bench.machine.resume()
        engine.break_in(PATIENCE)
        registers = engine.command("r") + engine.command("r cr0,cr3,cr4")
        self.assertRegex(engine.command("k"), "KdExampleSpin")
        for name in "rsp rbx rbp rsi rdi r12 r13 r14 r15 cr0 cr3 cr4 cs ss ds".split():
            self.assertEqual(number(registers, name), emulator[name.upper()], name)
        self.assertEqual(pages.count("Access violation"), 0)
        engine.command("ed kdexample!KdExampleStop 1")
        engine.command("g")
        engine.wait_text("kdexample: spin: done")

    def test_prompt(self):
        bench, engine = self.in_example("prompt hello")
        engine.answer("Konrad")
        engine.command("g")
        engine.wait_text("kdexample: hello, Konrad")


class Connecting(WithEngine):
    def answers(self, engine):
        self.assertIn("rip=", engine.command("r", PATIENCE))
        engine.command(".reload", PATIENCE)
        self.assertIn("kdagent", engine.command("lm", PATIENCE))

    def test_waits_before_power_on(self):
        bench = self.bench("spin")
        engine = bench.engine()
        time.sleep(3)
        bench.power_on()
        engine.wait_stopped(PATIENCE)
        self.answers(engine)

    def test_comes_to_a_running_target_and_again_after_it_was_killed(self):
        bench = self.bench("spin", "break=no\nwait=0\nmodules=kd*,DxeCore")
        bench.power_on()
        time.sleep(10)
        engine = bench.engine(initial_break=True)
        engine.wait_stopped(PATIENCE)
        self.answers(engine)
        engine.command("bp kdexample!KdExampleTick")
        bench.kill_engines()  # with the target stopped
        again = bench.engine(initial_break=True)
        again.wait_stopped(PATIENCE)
        self.answers(again)
        again.command("g")
        bench.kill_engines()  # with the target running
        third = bench.engine(initial_break=True)
        third.wait_stopped(PATIENCE)
        self.answers(third)

    def test_breaks_in_while_the_target_tells_of_an_image(self):
        """WinDbg passes the load event by itself, and its break-in came in it."""
        bench = self.bench("spin", "break=no\nmessage=60000\nmodules=kd*")
        bench.power_on()
        time.sleep(10)
        engine = bench.engine(initial_break=True)
        engine.wait_stopped(PATIENCE)
        self.answers(engine)

    def stops_again(self, engine, stops: int):
        """The machine began anew: one more stop than there had been, at the agent's start."""
        end = time.monotonic() + PATIENCE
        while sum(mark == "stopped" for mark, _ in engine.marks) <= stops:
            self.assertLess(time.monotonic(), end, engine.report())
            time.sleep(0.1)
        self.answers(engine)
        self.assertIn("kdagent!", engine.command("ln @rip"))

    def test_reset_and_reboot(self):
        bench, engine = self.stopped_at_start("spin")
        engine.command("g")
        engine.wait_text("kdexample: spins", patience=PATIENCE)
        stops = sum(mark == "stopped" for mark, _ in engine.marks)
        bench.machine.reset()
        self.stops_again(engine, stops)
        stops = sum(mark == "stopped" for mark, _ in engine.marks)
        engine.send(".reboot")
        self.stops_again(engine, stops)


if __name__ == "__main__":
    program = unittest.main(verbosity=2, exit=False)
    done = program.result
    if done.wasSuccessful() and done.skipped and len(done.skipped) >= done.testsRun:
        sys.exit(77)
    sys.exit(not done.wasSuccessful())
