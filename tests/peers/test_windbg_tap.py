# test_windbg_tap.py - WinDbg's engine <-> kdlens tap <-> Windows' boot manager.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Both ends are Microsoft's own. Skips where the engine (windbg/setup.sh) or the boot manager
(KDLENS_WINDOWS_TARGET, bootmanager.py) cannot be had.

    test_windbg_tap.py [unittest's arguments]
    test_windbg_tap.py --repeat N [--keep FOLDER] [SCENARIO...]    N runs of each, a line for each

A run's recording must account for all that was on the line: the target's bytes are those that the
machine has sent, and tshark shows the packets that a reader of our own finds in them.
"""

import argparse
import contextlib
import fcntl
import functools
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import traceback
import unittest
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "windbg"), str(HERE.parent / "tool")]
import bootmanager
import kdtap
import kdtest
import windbg
import winetest
from kdtap import DEBUGGER, TARGET, wait_for

PATIENCE = 240.0   # seconds until something must have happened, the machine's start included
STORM_WATCHED = 6  # seconds that a storm is watched


def missing() -> str | None:
    return bootmanager.missing() or windbg.missing()


# --- what is on the line


def packets_of(stream: bytes) -> tuple[list[int], int]:
    """The types of the whole packets in it, and how many bytes are in none."""
    types, rest, at = [], 0, 0
    while at < len(stream):
        leader = stream[at:at + 4]
        if leader in (b"0000", b"iiii") and at + 16 <= len(stream):
            kind, size, _, checksum = struct.unpack_from("<HHII", stream, at + 4)
            end = at + 16 + size + (leader == b"0000")
            payload = stream[at + 16:at + 16 + size]
            if kind <= 12 and size <= 4000 and end <= len(stream) and (
                    checksum == sum(payload) if leader == b"0000" else size == 0):
                types.append(kind)
                at = end
                continue
        rest += 1
        at += 1
    return types, rest


def check_sent(recorded: bytes, log: bytes):
    """These are the bytes that the machine has sent. QEMU writes a byte that finds no room in the
    socket to its log, and again when it is sent."""
    at = 0
    for index, byte in enumerate(log):
        if recorded[at:at + 1] == bytes([byte]):
            at += 1
        elif byte != log[index - 1]:
            raise AssertionError(f"the target sent {log[index:index + 40]}, recorded is "
                                 f"{recorded[at:at + 40]} at byte {at}")
    assert at == len(recorded), f"recorded are {len(recorded) - at} bytes that were not sent"


def check_recording(file: Path, log: bytes) -> str:
    """Nothing is lost, nothing malformed, every packet is shown. What it holds, in words."""
    recording = kdtap.read_recording(file)
    assert recording.rest == 0, f"{recording.rest} bytes at the end of {file}"
    assert not any(record.dropped for record in recording.records)
    check_sent(recording.sent(TARGET), log)
    assert kdtest.problems(file) == []
    found = []
    rows = kdtest.fields(file, ["frame.number", "kd.direction", "kd.type", "kd.breakin",
                                "kd.noise", "kd.fragment", kdtest.INFO], multiple=True)
    for sender, direction in (DEBUGGER, "1"), (TARGET, "2"):
        types, rest = packets_of(recording.sent(sender))
        shown = [row for row in rows if set(row[1]) == {direction}]
        shown_types = [int(kind, 0) for row in shown for kind in row[2]]
        assert shown_types == types, \
            f"{sender}: tshark shows {len(shown_types)} packets, there are {len(types)}"
        nothing = [row for row in shown if not any(row[2:6])]
        assert not nothing, f"{sender}: frames without meaning: {nothing[:5]}"
        found.append(f"{sender} {len(types)} packets, {types.count(6)} RESETs, "
                     f"{types.count(5)} RESENDs, {rest} other bytes")
    return "; ".join(found)


# --- a run


class Run(contextlib.ExitStack):
    """The tap of a run, and whoever is on its ends."""

    newest: "Run | None" = None

    def __init__(self, *options, keys: bool = False):
        super().__init__()
        Run.newest = self
        self.folder = kdtap.new_path()
        self.folder.mkdir()
        self.file = self.folder / "session.pcapng"
        self.engine: windbg.Engine | None = None
        self.machine: bootmanager.Machine | None = None
        self._keyboard = None
        self.start_tap(options, keys)

    def start_tap(self, options, keys: bool):
        path = self.folder / "com1.sock"
        self._device = f"path={path}"
        more = {}
        if keys:
            self._keyboard, terminal = os.openpty()
            self.callback(os.close, self._keyboard)
            more = {"stdin": terminal, "start_new_session": True,
                    "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
        self.tap = self.enter_context(kdtap.Tap(
            "tcp-listen:0", f"unix-listen:{path}", "-w", self.file, *options, **more))
        if keys:
            os.close(terminal)
        self.tap.wait("listening", end=TARGET)

    def connection(self) -> str:
        address = self.tap.wait("listening", end=DEBUGGER)["address"]
        return windbg.tcp(int(address.rpartition(":")[2]))

    def debugger_comes(self):
        self.engine = self.enter_context(windbg.Engine(self.connection(), initial_break=True))
        self.tap.wait("connected", end=DEBUGGER)

    def power_on(self):
        self.machine = self.enter_context(bootmanager.Machine(self._device, self.folder))
        self.tap.wait("connected", end=TARGET)

    def press(self, key: str):
        os.write(self._keyboard, key.encode())

    def end(self) -> str:
        """Takes all down; what the recording holds."""
        self.engine.stop()
        self.machine.off()
        self.tap.wait("disconnected", end=TARGET)
        status = self.tap.stop()
        assert status == 0, f"the tap ended with {status}: {self.tap.said()}"
        said = self.tap.find("recorded")[-1]
        assert said["lost_bytes"] == 0 and said["lost_records"] == 0, said
        return check_recording(self.file, self.machine.sent())


class PipeRun(Run):
    """The same with kdlens.exe, whose named pipe the debugger opens."""

    def start_tap(self, options, keys: bool):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self._device = f"host=127.0.0.1,port={port},server=on,wait=off"
        self._name = f"kdlens-{os.getpid()}-{port}"
        self.tap = self.enter_context(kdtap.Tap(
            f"pipe-listen:{self._name}", f"tcp:127.0.0.1:{port}", "-w",
            windbg.windows_path(self.file), *options, program=(windbg.wine(), windows_program()),
            env=windbg.environment(), stdin=subprocess.DEVNULL))

    def connection(self) -> str:
        self.tap.wait("listening", end=DEBUGGER)
        return windbg.pipe(self._name)


@functools.cache
def windows_program() -> Path:
    """KDLENS_WINDOWS, or what is built for it into KDLENS_WINDOWS_BUILD."""
    given = os.environ.get("KDLENS_WINDOWS")
    into = os.environ.get("KDLENS_WINDOWS_BUILD") or kdtest.REPOSITORY / "build-mingw"
    return Path(given) if given else winetest.build(Path(into))


def check_answers(engine: windbg.Engine, patience: float = PATIENCE):
    """The debugger debugs: registers, modules and memory of the boot manager."""
    engine.wait_stopped(patience)
    registers = engine.command("r", patience)
    code = re.search(r"rip=([0-9a-f]{16})[\s\S]*\n[0-9a-f]{8}`[0-9a-f]{8} ([0-9a-f]+) ", registers)
    assert code, f"r says: {registers}"
    modules = engine.command("lm", patience)
    assert re.search(r"00000000`10000000 \S+ +BOOTX64", modules), f"lm says: {modules}"
    memory = engine.command("db 10000000 l2", patience)
    assert re.search(r"10000000  4d 5a", memory), f"db says: {memory}"
    size = len(code[2]) // 2
    memory = engine.command(f"db @rip l{size}", patience)
    assert re.search(r"^\S+ ([-0-9a-f ]+?)  ", memory), f"db says: {memory}"
    assert re.sub("[- ]", "", memory.split("  ")[1]) == code[2], f"r: {registers}, db: {memory}"


def time_of(event: dict) -> float:
    """Seconds, as the recording's times are."""
    return datetime.fromisoformat(event["time"].replace("Z", "+00:00")[:26] + "+00:00").timestamp()


def storm_begins(file: Path) -> float:
    """The first RESET of a second in which both ends RESET six times and more."""
    times = {sender: [record.time / 1e9 for record in kdtap.read_recording(file).records
                      if record.sender == sender and record.data[:6] == b"iiii\x06\x00"]
             for sender in (DEBUGGER, TARGET)}
    for begin in sorted(times[DEBUGGER] + times[TARGET]):
        if all(sum(begin <= at < begin + 1 for at in of) >= 6 for of in times.values()):
            return begin
    raise AssertionError("a storm was named that the recording does not have")


def storms(run: Run) -> bool:
    """Whether the machine's start leads to a storm, or the debugger connects."""
    def settled():
        if run.tap.find("reset-storm"):
            return "storm"
        return run.engine.state == "stopped" and "connected"

    return wait_for(settled, "a connection or a storm", PATIENCE) == "storm"


# --- the scenarios: each says what was seen


def plain() -> str:
    """Connected before power-on, without an option: it connects, or the storm is named."""
    with Run() as run:
        run.debugger_comes()
        run.power_on()
        if not storms(run):
            check_answers(run.engine)
            return f"connected at once; {run.end()}"
        time.sleep(STORM_WATCHED)
        then = "then silence" if run.tap.find("calm") else "without end"
        if run.engine.state == "stopped" and run.tap.find("calm"):
            then = "then connected"
        assert "RESET storm" in run.tap.said()
        seen = run.end()
        named = time_of(run.tap.find("reset-storm")[0])
        late = named - storm_begins(run.file)
        assert late < 5, f"the storm was named {late:.2f} s after its first RESET"  # busy machines
        return f"storm {then}, named after {late:.2f} s; {seen}"


def hold() -> str:
    """Connected before power-on, --hold: connects; read live by tshark."""
    live = kdtap.new_path(".fifo")
    with Run("--hold", "--live", live) as run:
        reader = LiveReader(live)
        run.callback(reader.close)
        run.tap.wait("live-attached")
        run.debugger_comes()
        run.power_on()
        check_answers(run.engine)
        seen = run.end()
        resets = [record for record in kdtap.read_recording(run.file).records
                  if record.sender == DEBUGGER and record.data[:6] == b"iiii\x06\x00"]
        passed = sum(record.delivered for record in resets)
        reader.compare(run.file)
        return f"connected, {passed} of {len(resets)} RESETs went through; {seen}"


def heal() -> str:
    """Connected before power-on, --heal: connects."""
    with Run("--heal") as run:
        run.debugger_comes()
        run.power_on()
        check_answers(run.engine)
        return f"connected, {heal_numbers(run)}; {run.end()}"


def heal_numbers(run: Run) -> str:
    return (f"{len(run.tap.find('heal-keeps'))} packets kept, "
            f"{len(run.tap.find('heal-passes'))} passed, {len(run.tap.find('heal-limit'))} at the "
            f"limit")


def heal_later() -> str:
    """--heal is switched on, by its key, in a storm that runs: connects."""
    for _ in range(5):
        with Run(keys=True) as run:
            run.debugger_comes()
            run.power_on()
            if not storms(run):
                run.end()
                continue
            time.sleep(STORM_WATCHED / 2)
            begin = time.monotonic()
            run.press("h")
            check_answers(run.engine)
            late = time.monotonic() - begin
            assert "--heal is on" in run.tap.said()
            return f"answers {late:.1f} s after the key, {heal_numbers(run)}; {run.end()}"
    raise unittest.SkipTest("no storm in five runs")


def after() -> str:
    """The debugger comes when the boot manager waits already: connects."""
    with Run() as run:
        run.power_on()
        run.machine.wait_words(2)
        run.debugger_comes()
        check_answers(run.engine)
        return f"connected; {run.end()}"


def reset() -> str:
    """The machine is reset while it runs: the session comes back. --heal, too, because the debugger
    waits before this power-on as well."""
    with Run("--hold", "--heal") as run:
        run.debugger_comes()
        run.power_on()
        check_answers(run.engine)
        running = len(run.tap.find("running"))
        run.engine.command("g")
        run.tap.wait("running", running + 1)
        sent = len(run.machine.sent())
        run.machine.reset()
        wait_for(lambda: bootmanager.FIRST_WORDS in run.machine.sent()[sent:],
                 "the boot debugger's second start", PATIENCE)
        begin = time.monotonic()
        check_answers(run.engine)
        late = time.monotonic() - begin
        assert len(run.tap.find("hold-ends")) == 2
        return f"answers {late:.1f} s after the second start; {run.end()}"


def pipe() -> str:
    """On a named pipe of kdlens.exe; the debugger is killed, and another one comes."""
    with PipeRun("--hold") as run:
        run.debugger_comes()
        run.power_on()
        check_answers(run.engine)
        run.engine.restart()
        run.tap.wait("connected", 2, end=DEBUGGER)
        check_answers(run.engine)
        return f"connected twice; {run.end()}"


class LiveReader:
    """tshark with the plugin on the live recording."""

    FIELDS = ["frame.number", "kd.direction", "kd.type", kdtest.INFO]

    def __init__(self, live):
        """live: the path of a FIFO, or a stream to read from."""
        stream, interface = live, "-"
        if isinstance(live, Path):
            live.parent.chmod(0o755)
            wait_for(live.exists, "the live pipe", PATIENCE)
            live.chmod(0o644)
            stream, interface = subprocess.DEVNULL, live
        self.output = kdtap.new_path(".live")
        wanted = [part for name in self.FIELDS for part in ("-e", kdtest._column(name))]
        self._out = open(self.output, "wb")
        self._process = subprocess.Popen(
            [kdtest.RUNNER, "run", kdtest.stage(), "tshark", "-n", "-l", "-i", interface, "-T",
             "fields", *wanted], stdin=stream, stdout=self._out, stderr=self._out)

    def compare(self, file: Path):
        """It has shown what the file holds, now that the tap has ended."""
        self._process.wait(PATIENCE)
        shown = [line.split("\t") for line in self.output.read_text(errors="replace").splitlines()
                 if re.match(r"\d+\t", line)]
        stored = kdtest.fields(file, ["frame.number", "kd.direction", "kd.type"])
        assert [tuple(row[:3]) for row in shown] == stored, \
            f"live {len(shown)} rows, the file {len(stored)}: {shown[-2:]} {stored[-2:]}"

    def close(self):
        self._process.kill()
        self._process.wait()
        self._out.close()


SCENARIOS = {"plain": plain, "hold": hold, "heal": heal, "heal-later": heal_later, "after": after,
             "reset": reset, "pipe": pipe}


@unittest.skipIf(missing(), missing())
class WinDbg(unittest.TestCase):
    """One run of each."""


def _case(scenario):
    def test(self):
        print(scenario(), file=sys.stderr, flush=True)
    test.__doc__ = scenario.__doc__
    return test


for _name, _scenario in SCENARIOS.items():
    setattr(WinDbg, f"test_{_name.replace('-', '_')}", _case(_scenario))


# --- many runs


def repeat(arguments) -> int:
    if missing():
        print(missing(), file=sys.stderr)
        return 77
    for number in signal.SIGTERM, signal.SIGINT:
        signal.signal(number, lambda *_: sys.exit(1))  # so that all is taken down
    failed = 0
    for name in arguments.scenario or SCENARIOS:
        good = 0
        for number in range(1, arguments.repeat + 1):
            begin = time.monotonic()
            try:
                said = SCENARIOS[name]()
                good += 1
            except Exception as error:  # the next run is to be seen, too
                said = f"FAILED: {str(error).splitlines()[0]}"
                traceback.print_exc()
            if arguments.keep:
                shutil.copytree(Run.newest.folder, Path(arguments.keep) / f"{name}-{number}",
                                ignore=shutil.ignore_patterns("*.sock", "variables"))
            print(f"{name} {number}: {said} ({time.monotonic() - begin:.0f} s)", flush=True)
        print(f"{name}: {good} of {arguments.repeat}", flush=True)
        failed += arguments.repeat - good
    return 1 if failed else 0


def main() -> int:
    if not any(argument.startswith("--repeat") for argument in sys.argv[1:]):
        return kdtest.main()
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, required=True, metavar="N")
    parser.add_argument("--keep", metavar="FOLDER", help="copies of what each run leaves")
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS])
    return repeat(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
