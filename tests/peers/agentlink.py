# agentlink.py - WinDbg's engine, kdlens tap and a machine with the agent, to start and to kill.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Link has the three; they come in any order and any of them may be killed and come again. The ends
stay where they are: the debugger's is a TCP port or, with windows, a named pipe of kdlens.exe in
the engine's Wine prefix; the machine connects to the tap, and again when that is gone, or with
windows listens on TCP.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tool")]
import kdtap
import winetest
from kdtap import DEBUGGER, TARGET
from test_windbg_agent import AGENT, PATIENCE, Cable, free_port, machine, windbg
from test_windbg_tap import packets_of, windows_program

KDLENS = kdtap.PROGRAM


def missing(windows: bool = False) -> str | None:
    reason = machine.missing() or windbg.missing()
    if not reason and windows and not os.environ.get("KDLENS_WINDOWS"):
        reason = winetest.missing()
    return reason


class Link:
    """tap, engine, machine: what runs now, or None. recordings: a file for each run of the tap."""

    def __init__(self, words: str = "spin", config: str = "modules=kd*,DxeCore",
                 windows: bool = False):
        self.windows = windows
        self.folder = Path(tempfile.mkdtemp(prefix="kdlink"))
        self.tap = self.engine = self.machine = self._cable = None
        self.recordings: list[Path] = []
        self.logs: list[Path] = []  # of each machine: all bytes that its COM1 has sent
        self._port, self._target_port = free_port(), free_port()
        self._name = f"kdlens-{os.getpid()}-{self._port}"
        self._esp = machine.make_esp(self.folder / "esp.img", {
            "EFI/BOOT/BOOTX64.EFI": AGENT / "kdboot.efi",
            "kdagent.efi": AGENT / "kdagent.efi",
            "kdexample.efi": AGENT / "kdexample.efi",
            "kdagent.cfg": f"chain=\\kdexample.efi\narguments={words}\n{config}\n".encode()})

    # --- the tap

    def start_tap(self, *options):
        file = self.folder / f"session-{len(self.recordings) + 1}.pcapng"
        self.recordings.append(file)
        if self.windows:
            self.tap = kdtap.Tap(f"pipe-listen:{self._name}", f"tcp:127.0.0.1:{self._target_port}",
                                 "-w", windbg.windows_path(file), *options,
                                 program=(windbg.wine(), windows_program()),
                                 env=windbg.environment(), stdin=subprocess.DEVNULL)
        else:
            self.tap = kdtap.Tap(f"tcp-listen:{self._port}", f"unix-listen:{self.folder}/com1",
                                 "-w", file, *options, stdin=subprocess.DEVNULL)
        self.tap.wait("listening", end=DEBUGGER, patience=PATIENCE)

    def stop_tap(self):
        """As Ctrl-C does it: the recording is whole, and nothing was dropped."""
        status = self.tap.stop()
        assert status == 0, f"the tap ended with {status}: {self.tap.said()}"
        said = self.tap.find("recorded")[-1]
        assert said["lost_bytes"] == 0 and said["lost_records"] == 0, said

    def kill_tap(self):
        self.tap.process.kill()
        self.tap.process.wait()

    # --- the debugger

    def start_engine(self, **options):
        if self.windows:
            connection = windbg.pipe(self._name)
        else:
            self._cable = Cable(self._port)
            connection = windbg.tcp(self._cable.port)
        options = {"symbols": windbg.windows_path(AGENT), "initial_break": True} | options
        self.engine = windbg.Engine(connection, **options)

    def kill_engine(self):
        self.engine.kill()
        if self._cable:
            self._cable.cut()
            self._cable = None

    # --- the machine

    def start_machine(self):
        log = self.folder / f"com1-{len(self.logs) + 1}"
        self.logs.append(log)
        where = (f"host=127.0.0.1,port={self._target_port},server=on,wait=off" if self.windows
                 else f"path={self.folder}/com1,server=off,reconnect=1")
        self.machine = machine.Machine(esp=self._esp, uart=f"socket,{where},logfile={log}")

    def kill_machine(self):
        self.machine.close()

    # --- all

    def answers(self, patience: float = PATIENCE):
        """The debugger debugs the agent: registers, modules, memory."""
        self.engine.wait_stopped(patience)
        self.engine.command(".cache flushall", patience)  # it is the target that is to answer
        registers = self.engine.command("r", patience)
        assert re.search(r"rip=[0-9a-f]{16}", registers), registers
        modules = self.engine.command(".reload; lm", patience)
        assert "kdagent" in modules, modules
        memory = self.engine.command("db kdagent l2", patience)
        assert re.search(r"  4d 5a", memory), memory

    def close(self):
        if self.engine:
            self.kill_engine()
        if self.machine:
            self.kill_machine()
        if self.tap:
            self.tap.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)


# --- what the recordings hold


def _matched(log: bytes, begin: int, recorded: bytes) -> int:
    """How many of the recorded bytes the log has from there on. QEMU writes a byte that finds no
    room in the socket to its log, and again when it is sent."""
    at = begin
    for place, byte in enumerate(recorded):
        while begin < at < len(log) and log[at] != byte and log[at] == log[at - 1]:
            at += 1
        if at >= len(log) or log[at] != byte:
            return place
        at += 1
    return len(recorded)


def sent_between(log: bytes, recorded: bytes) -> int:
    """Where in the machine's log these recorded bytes begin; they must all be there, in order. What
    it sent before anybody listened may begin like it: a packet that it repeats."""
    best, begin = 0, log.find(recorded[:64])
    while begin >= 0:
        best = max(best, matched := _matched(log, begin, recorded))
        if matched == len(recorded):
            return begin
        begin = log.find(recorded[:64], begin + 1)
    raise AssertionError(f"the machine has never sent {recorded[best:best + 60]}, recorded after "
                         f"{recorded[:best][-60:]}")


def packets_in(file: Path) -> dict[str, list[int]]:
    """The types of both ends' packets. The file must be whole to its last byte."""
    recording = kdtap.read_recording(file)
    assert recording.rest == 0, f"{recording.rest} bytes at the end of {file}"
    assert not any(record.dropped for record in recording.records)
    return {sender: packets_of(recording.sent(sender))[0] for sender in (DEBUGGER, TARGET)}


def doctor(file: Path) -> dict[str, str]:
    """What kdlens doctor finds: verdict, and gravity."""
    done = subprocess.run([KDLENS, "doctor", "--json", file], capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode in (0, 1), done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["verdict"]: row["gravity"] for row in found if row["event"] == "diagnosis"}
