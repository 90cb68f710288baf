#!/usr/bin/env python3
# test_vmbus.py - the agent over VMBus, in a machine that Hyper-V seems to run.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is expected over COM1 (test_session.py) is expected over VMBus, too: the same cases, and one
script whose answers on both lines are compared. The host (tests/hvhost) is strict: no test may
leave a violation in its log. Its faults are survived, or told clearly on the firmware's console.

  test_vmbus.py --repeat 100     boots so often, with a short session and an exit each
  test_vmbus.py --faults [WORD]  every fault by itself, or those whose options have WORD
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import agentsession
import test_session
import vmbussession
import kdtest
import hvhost  # where vmbussession looks for it
from agentsession import IMAGES, PATIENCE, Image
from vmbussession import EXAMPLE, FrameLine, HostSession



def setUpModule():
    reason = vmbussession.missing()
    if reason:
        raise unittest.SkipTest(reason)
    test_session.EXAMPLE = Image(IMAGES / "kdexample.efi")


class OverVmbus:
    """Mixed into a case of test_session: its sessions are by VMBus."""

    plain = False

    def session(self, line=None) -> HostSession:
        session = HostSession(plain=self.plain, line=line)
        self.addCleanup(session.close)
        self.addCleanup(session.check)
        return session


class Looking(OverVmbus, test_session.Looking):
    plain = True
    test_version = None


class Memory(OverVmbus, test_session.Memory):
    test_absent = test_device = test_write_protected = None


class Breakpoints(OverVmbus, test_session.Breakpoints):
    test_step_over = test_hardware_write = test_execution_and_write = None


class Faults(OverVmbus, test_session.Faults):
    test_second_chance = None


class Lines(OverVmbus, test_session.Lines):
    """A debugger that is killed, another that comes, over the same channel."""

    test_line_with_faults = None

    def assertSpins(self, address: int, debugger):
        """The test host's own client in the firmware may have interrupted it just then."""
        for _ in range(5):
            if self.spins(address, debugger):
                return
            debugger.command("g")
            debugger.stop("break")
            address = debugger.register("rip")
        super().assertSpins(address, debugger)


# --- the same script on both lines


def rva(debugger, address) -> str:
    """An address as offset in kdexample, which may lie elsewhere in the other machine."""
    return f"{int(str(address), 16) - debugger.number('kdexample'):x}"


def to_menu(debugger):
    debugger.command("g")
    while debugger.wait("stop|prompt")["event"] == "stop":
        if debugger.seen == len(debugger.events):
            debugger.command("g")


def script(debugger) -> list:
    """What a debugger gets to know, line by line, without what differs between two boots."""
    place = test_session.place
    told = [debugger.command("version").splitlines()[0]]
    to_menu(debugger)
    stop = debugger.stop("reply break")
    told += [stop["text"], stop["code"], stop["module"]]
    names = re.findall(r"^[0-9a-f]{16} [0-9a-f]{16} +(\S+)", debugger.command("lm"), re.M)
    told.append(names)
    text = test_session.EXAMPLE.names["KdExampleText"]
    told.append(debugger.bytes(place("KdExampleText"), 19).hex())
    told.append(debugger.bytes("kdexample", 0x1000).hex())
    told.append(rva(debugger, debugger.command(
        f"s -a kdexample+{text:x} L20 \"was\"").split()[0]))
    told.append(debugger.refused(f"db {test_session.ABSENT:x} L10"))
    debugger.command(f"bp {place('KdExampleTick')}")
    debugger.command("gh")
    debugger.wait("prompt", "^kdexample> $")
    stop = debugger.stop("reply loop=3")
    told += [rva(debugger, stop["address"]), stop["code"]]
    for _ in range(8):
        stop = debugger.stop("t")
        told += [rva(debugger, stop["address"]), stop["code"]]
    told.append(debugger.command("r cs"))
    debugger.command("bc *")
    debugger.command("g")
    told.append(debugger.wait("print", "counter")["text"])
    debugger.wait("prompt", "^kdexample> $")
    stop = debugger.stop("reply write")
    told += [stop["text"], rva(debugger, stop["address"])]
    debugger.command("r rip=rip+2")
    debugger.command("gh")
    told.append(debugger.wait("print", "survived")["text"])
    debugger.wait("prompt", "^kdexample> $")
    return told


class SameResults(unittest.TestCase):
    def run_on(self, session, end) -> tuple:
        debugger = agentsession.Debugger(end)
        self.addCleanup(debugger.kill)
        told = script(debugger)
        debugger.close()
        return told

    def test_com1_and_vmbus(self):
        """In the same machine: by setting over COM1, and over VMBus."""
        results = {}
        with vmbussession.boot(EXAMPLE + "transport = com1\n") as host:
            results["com1"] = self.run_on(host, f"unix:{host.uart}")
            self.assertIsNone(host.find(vmbussession.OPENED))
            self.assertEqual(host.violations(), [])
        session = HostSession(EXAMPLE + "transport = vmbus\n")
        self.addCleanup(session.close)
        results["vmbus"] = self.run_on(session, session.end)
        session.check()
        agentsession.account(session.recorded())
        self.assertEqual(results["vmbus"], results["com1"])


# --- the firmware's own connection


def check_trace(case: unittest.TestCase, file: Path) -> list:
    """The agent's own recording is a capture that shows no error; what Wireshark tells of it."""
    rows = kdtest.fields(file, [kdtest.INFO, "_ws.expert.severity"], two_pass=True)
    told = [row[0] for row in rows]
    for start in ("INITIATE_CONTACT 5.3", "VERSION_RESPONSE 5.3 supported", "GPADL_CREATED",
                  "OPENCHANNEL_RESULT", "SignalEvent"):
        case.assertTrue(any(text.startswith(start) for text in told), f"{start}: {told[:30]}")
    case.assertEqual([row for row in rows if "error" in row[1].lower()], [])
    return told


class Coexistence(unittest.TestCase):
    def wait_rounds(self, host, more: int = 3):
        """Until the firmware has got back what it sent, so often more."""
        start = host.firmware_rounds()
        end = time.monotonic() + PATIENCE
        while host.firmware_rounds() < start + more:
            self.assertLess(time.monotonic(), end, f"the firmware is silent after {start} rounds")
            time.sleep(0.1)

    def open_shell(self, shell):
        """From the firmware's menu: its boot manager, the last entry."""
        for text, keys in ((b"Continue", b"\x1b[B \x1b[B \r"), (b"Internal Shell", b"\x1b[B \r")):
            seen = b""
            while text not in seen:
                seen += shell.line.recv(4096)
            for key in keys.split(b" "):
                time.sleep(2)
                shell.line.sendall(key)
        shell.prompt()

    def test_lives_beside_the_agent(self):
        """Before a stop, between stops, and after: SINT 2 is never touched (hvhost says so)."""
        session = HostSession()
        self.addCleanup(session.close)
        debugger = session.debugger()
        to_menu(debugger)
        debugger.command("reply spin")
        debugger.wait("print", "spins")
        self.wait_rounds(session.host)
        debugger.stop("break")
        self.assertIn("kdexample", debugger.command("lm"))
        debugger.command(f"ed {test_session.place('KdExampleStop')} 1")
        debugger.command("g")
        debugger.wait("prompt", "^kdexample> $")
        self.assertEqual(session.host.find("FW .*[1-9]\\d* errors"), None)
        session.check()

    def test_unloaded(self):
        """The agent gives its SINT, its vector and its connection back; the firmware goes on. Its
        recording is a file then."""
        config = "break = no\nwait = 1\ntrace = 32\n"
        with hvhost.Host(files=vmbussession.files(config), memory=64, options=["framed"]) as host:
            line = FrameLine(host, Path(host.folder.name) / "line")
            self.addCleanup(line.close)
            shell = test_session.Shell(host.uart)
            self.addCleanup(shell.line.close)
            self.open_shell(shell)
            self.assertIn("Success", shell.run("load fs0:\\kdagent.efi"))
            host.wait(vmbussession.OPENED)
            self.wait_rounds(host)
            handle = re.search(r"^([0-9A-F]+): .*kdagent\.efi", shell.run("dh"), re.M)[1]
            self.assertIn("Success", shell.run(f"unload -n {handle}"))
            host.wait("INFO sint 5: .*unload")
            self.wait_rounds(host)
            self.assertNotIn("kdagent", shell.run("dh"))
            self.assertEqual(host.violations(), [])
            file = Path(host.folder.name) / "trace.pcapng"
            subprocess.run(["mcopy", "-i", host.esp, "::kdagent-vmbus.pcapng", file], check=True)
            told = check_trace(self, file)
            self.assertTrue(any(text.startswith("UNLOAD_RESPONSE") for text in told), told[-9:])

    def test_boot_services_end(self):
        """The agent leaves then: its channel is closed, its connection unloaded, by polling."""
        session = HostSession()
        self.addCleanup(session.close)
        debugger = session.debugger()
        to_menu(debugger)
        debugger.command("reply exitboot")
        debugger.wait("exit")
        session.host.wait("INFO sint 5: .*unload")
        self.assertEqual(session.host.violations(), [])


# --- what the host does wrong


class Fault:
    """options of hvhost; on: the line that the session is on then, vmbus or com1; says: what the
    console or the debugger is told, a pattern; "" nothing."""

    def __init__(self, options: str, on: str = "vmbus", says: str = "", config: str = ""):
        self.options, self.on, self.says, self.config = options.split(), on, says, config


STARTS = [
    Fault("refuse=2"),
    Fault("max-version=5.0"),
    Fault("max-version=4.1", "com1", "the host refuses every version"),
    Fault("max-version=4.1 no-firmware"),
    Fault("max-version=2.4 no-firmware"),
    Fault("no-multiclient", "com1", r"INITIATE_CONTACT: the hypercall fails with status \(0*12\)"),
    Fault("no-multiclient no-firmware"),
    Fault("no-firmware"),
    Fault("eoi"),
    Fault("fail-state=1", "com1", r"connection state \(0*[12]\)"),
    Fault("wrong-id", "com1", r"the hypercall fails with status \(0*12\)"),
    Fault("busy=5"),
    Fault("drop-type=15 drop-message=1"),
    Fault("drop-type=4 drop-message=9", "com1", "REQUESTOFFERS: the host does not answer"),
    Fault("drop-type=4 drop-message=1"),
    Fault("drop-type=10 drop-message=9", "com1",
          "GPADL_HEADER of the ring: the host does not answer"),
    Fault("drop-type=6 drop-message=1"),
    Fault("double-message=50"),
    Fault("delay-message=300"),
    Fault("no-offer", "com1", "the host offers none to this machine"),
    Fault("nack-gpadl=9", "com1", "GPADL_HEADER of the ring: the host refuses the pages"),
    Fault("nack-gpadl=1"),
    Fault("nack-open=9", "com1", "OPENCHANNEL: the host refuses to open the channel"),
    Fault("nack-open=1"),
    Fault("delay-gpadl=800 delay-open=800"),
]
RUNS = [
    Fault("drop-signal=3"),
    Fault("double-signal late-interrupt=20"),
    Fault("delay-signal=30"),
    Fault("no-interrupt"),
    Fault("lose-interrupt=2 spurious=50"),
    Fault("stall=300"),
    Fault("trickle=7"),
    *(Fault(f"corrupt={kind} corrupt-at=6", says="" if kind == "trailer" else "ring from the host")
      for kind in ("length", "offset", "short", "type", "pipe-type", "pipe-length", "index",
                   "unaligned", "trailer")),
    Fault("rescind-after=12 reoffer=300", says="the host took the channel away"),
    Fault("away-after=12 away=700"),
]
# In the everyday run: several that do not hide each other in one boot.
TOGETHER = [
    Fault("refuse=2 busy=3 nack-gpadl=1 nack-open=1 delay-message=50 double-message=20"),
    Fault("max-version=4.1 no-firmware eoi double-message=20"),
    Fault("max-version=4.1", "com1", "the host refuses every version"),
    Fault("nack-gpadl=9", "com1", "GPADL_HEADER of the ring: the host refuses the pages"),
    Fault("drop-signal=3 lose-interrupt=2 spurious=50 trickle=200 corrupt=length corrupt-at=9",
          says="ring from the host"),
    Fault("rescind-after=12 reoffer=300", says="the host took the channel away"),
]


class Console:
    """What the firmware says on COM1."""

    def __init__(self, path: Path):
        self.path = path

    def text(self) -> str:
        text = self.path.read_bytes().decode(errors="replace") if self.path.exists() else ""
        return " ".join(re.sub(r"\x1b\[[0-9;=]*[A-Za-z]", "", text).split())

    def wait(self, text: str):
        end = time.monotonic() + PATIENCE
        while text not in self.text():
            assert time.monotonic() < end, f"the console does not say {text}: {self.text()[-300:]}"
            time.sleep(0.1)


def survive(fault: Fault) -> str:
    """Boots, and debugs on the line that is left; what was wrong, or ""."""
    folder = tempfile.TemporaryDirectory(prefix="kdfault")
    console = Console(Path(folder.name) / "console")
    end = Path(folder.name) / "line"
    uart = f"socket,path={end}.uart,server=on,wait=off,logfile={console.path}"
    with folder, vmbussession.boot(EXAMPLE + fault.config, fault.options, uart=uart) as host:
        line = debugger = None
        try:
            if fault.on == "vmbus":
                line = FrameLine(host, end)
                host.wait(vmbussession.OPENED)
                target = f"unix:{end}"
            else:
                target = f"unix:{end}.uart"
                console.wait("no VMBus channel")
            debugger = agentsession.Debugger(target)
            to_menu(debugger)
            for _ in range(3):
                debugger.stop("reply break")
                bytes_ = debugger.bytes(test_session.place("KdExampleText"), 18)
                assert bytes_ == b"kdexample was here", bytes_
                debugger.command("gh")
                debugger.wait("prompt", "^kdexample> $")
            told = console.text() + "".join(event.get("text") or "" for event in debugger.events)
            problems = [] if re.search(fault.says, told) else [f"nobody said {fault.says}"]
            problems += map(repr, host.violations())
            if line and "no-firmware" not in fault.options:
                problems += [] if host.firmware_rounds() >= 0 else ["the firmware is gone"]
            return "; ".join(problems)
        except AssertionError as error:
            log = "\n".join(map(repr, host.lines()[-15:]))
            return f"{str(error)[:600]}\n{console.text()[-400:]}\n{log}"
        finally:
            if debugger:
                debugger.kill()
            if line:
                line.close()


class HostFaults(unittest.TestCase):
    def test_survived(self):
        for fault in TOGETHER:
            with self.subTest(" ".join(fault.options)):
                self.assertEqual(survive(fault), "")


class Waiting(unittest.TestCase):
    def test_offered_later_and_again(self):
        """transport = vmbus waits for the host's program, also after that has gone."""
        with vmbussession.boot(EXAMPLE + "transport = vmbus\n", ["no-offer"]) as host:
            line = FrameLine(host, Path(host.folder.name) / "line")
            self.addCleanup(line.close)
            host.wait("INFO sint 5: connected")
            host.command("offer")
            host.wait(vmbussession.OPENED)
            debugger = agentsession.Debugger(f"unix:{line.path}")
            self.addCleanup(debugger.kill)
            to_menu(debugger)
            for _ in range(2):
                opened = len([text for text in host.lines()
                              if re.search(vmbussession.OPENED, f"{text.kind} {text}")])
                host.command("rescind")
                host.command("offer")
                end = time.monotonic() + PATIENCE
                while len([text for text in host.lines() if re.search(
                        vmbussession.OPENED, f"{text.kind} {text}")]) == opened:
                    self.assertLess(time.monotonic(), end, "not opened again")
                    time.sleep(0.05)
                debugger.stop("reply break")
                self.assertIn("kdexample", debugger.command("lm"))
                debugger.command("gh")
                debugger.wait("prompt", "^kdexample> $")
            self.assertEqual(host.violations(), [])
            self.assertEqual(line.wrong, [])


class Trace(unittest.TestCase):
    def test_read_from_memory(self):
        """The agent's own recording, by its names, is a capture that shows no error."""
        session = HostSession(EXAMPLE + "trace = 32\n")
        self.addCleanup(session.close)
        debugger = session.debugger()
        to_menu(debugger)
        debugger.stop("reply break")
        names = Image(IMAGES / "kdagent.efi").names
        size = debugger.number(f"poi(kdagent+{names['KdAgentTraceSize']:x})")
        at = debugger.number(f"poi(kdagent+{names['KdAgentTrace']:x})")
        self.assertTrue(1000 < size <= 32 << 10, size)
        file = session.folder / "trace.pcapng"
        file.write_bytes(b"".join(debugger.bytes(f"{at + i:x}", min(0x400, size - i))
                                  for i in range(0, size, 0x400)))
        told = check_trace(self, file)
        self.assertGreater(sum("Breakpoint" in text or "ACK" in text for text in told), 0, told)


# --- outside ctest


def every_fault(word: str) -> int:
    failed = 0
    faults = [fault for fault in STARTS + RUNS if word in " ".join(fault.options)]
    for fault in faults:
        start = time.monotonic()
        problem = survive(fault)
        failed += bool(problem)
        print(f"{' '.join(fault.options):45} {fault.on:5} {time.monotonic() - start:5.1f} s  "
              f"{problem or 'survived'}", flush=True)
    print(f"{len(faults)} faults, {failed} not survived")
    return 1 if failed else 0


def one_boot() -> str:
    session = HostSession()
    try:
        debugger = session.debugger()
        to_menu(debugger)
        debugger.stop("reply break")
        debugger.bytes("kdexample", 0x800)
        debugger.command("gh")
        debugger.wait("prompt", "^kdexample> $")
        debugger.command("reply quit")
        session.host.wait("INFO the client returned")
        session.check()
        return ""
    except AssertionError as error:
        return str(error)[:500]
    finally:
        session.close()


def repeat(count: int) -> int:
    failed, start = 0, time.monotonic()
    for number in range(1, count + 1):
        problem = one_boot()
        failed += bool(problem)
        if problem or number % 10 == 0:
            print(f"boot {number}: {problem or 'ok'}, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{count} boots, {failed} failed")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--faults", nargs="?", const="")
    options, rest = parser.parse_known_args()
    if options.repeat or options.faults is not None:
        reason = vmbussession.missing()
        if reason:
            print(reason, file=sys.stderr)
            return 77
        test_session.EXAMPLE = Image(IMAGES / "kdexample.efi")
        return repeat(options.repeat) if options.repeat else every_fault(options.faults)
    program = unittest.main(verbosity=2, exit=False, argv=[sys.argv[0], *rest])
    if program.result.skipped and not program.result.testsRun:
        return 77
    return not program.result.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
