# peertable.py - the table of peers: who was met, in what version, what was run, what came of it.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""peertable.py [--write] FOLDER: prints the table of what run.sh left in FOLDER.

FOLDER has ctest.xml (ctest --output-junit) and, when the guests were run, conformance.log with
conformance.status. --write puts the table into docs/compatibility.md and its short form into
README.md, between <!-- peers --> and <!-- /peers -->. The exit status is 1 when one failed.
"""

import argparse
import datetime
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
WINDBG = Path(os.environ.get("KDLENS_WINDBG") or Path.home() / ".cache/kdlens/windbg")
MARKS = re.compile(r"(<!-- peers -->\n).*?(<!-- /peers -->)", re.S)
FIXED_FILE_INFO = struct.pack("<II", 0xFEEF04BD, 0x10000)  # signature, its own version


# --- versions, each from the peer itself; "" when it is not there


def file_version(data: bytes) -> str:
    """dwFileVersion of a PE file's VS_FIXEDFILEINFO: the last one, resources lie behind data."""
    at = data.rfind(FIXED_FILE_INFO)
    if at < 0:
        return ""
    high, low = struct.unpack_from("<II", data, at + 8)
    return f"{high >> 16}.{high & 0xFFFF}.{low >> 16}.{low & 0xFFFF}"


def engine_version() -> str:
    engine = WINDBG / "dbgeng.dll"
    return file_version(engine.read_bytes()) if engine.exists() else ""


def boot_manager_version() -> str:
    image = os.environ.get("KDLENS_WINDOWS_TARGET", "")
    if not os.path.exists(image) or not shutil.which("mcopy"):
        return ""
    with tempfile.NamedTemporaryFile() as copy:
        for offset in ("", "@@1M"):
            done = subprocess.run(["mcopy", "-n", "-o", "-i", image + offset,
                                   "::/EFI/BOOT/BOOTX64.EFI", copy.name],
                                  capture_output=True, check=False)
            if done.returncode == 0:
                return file_version(Path(copy.name).read_bytes())
    return ""


def program_version(program: str, pattern: str, argument: str = "--version") -> str:
    path = shutil.which(program)
    if not path:
        return ""
    done = subprocess.run([path, argument], capture_output=True, text=True, check=False)
    match = re.search(pattern, done.stdout + done.stderr)
    return match[1] if match else ""


def radare2_version() -> str:
    program = os.environ.get("KDLENS_RADARE2") or "radare2"
    return program_version(program, r"radare2 (\S+)", "-v")


def package_version(log: str, name: str) -> str:
    match = re.search(rf"guest: {name}[^_\n]*_([^_\n]+)_", log)
    return match[1].replace("%3a", ":") if match else ""


# --- the peers


@dataclass
class Peer:
    name: str
    version: str
    partner: str  # what of kdlens it meets
    exercised: str
    test: str  # of ctest, or conformance.NAME


def peers(log: str) -> list[Peer]:
    engine, manager = engine_version(), boot_manager_version()
    windbg = "WinDbg's engine (dbgeng)"
    return [
        Peer(windbg, engine, "tap, Windows boot manager",
             "waiting before power-on with hold and heal, after power-on, reset, storm healed, "
             "named pipe of kdlens.exe", "windbg_tap"),
        Peer("Windows boot manager", manager, "tap, WinDbg's engine",
             "the same sessions, recorded and decoded", "windbg_tap"),
        Peer(windbg, engine, "agent, tap", "modules, symbols, stacks, registers, memory, ports, "
             "MSRs, breakpoints, steps, faults, prompt, reboot, killed debugger", "windbg_agent"),
        Peer(windbg, engine, "agent, debug", "call stacks frame by frame", "windbg_stacks"),
        Peer(windbg, engine, "agent, tap --fault", "packets lost, damaged, repeated, late",
             "windbg_faults"),
        Peer(windbg, engine, "agent over VMBus", "a session over the pipe of a Hyper-V host",
             "windbg_vmbus"),
        Peer(windbg, engine, "capture, plugin", "KDNET with the Windows boot manager: right and "
             "wrong key, key exchange missed, reboot", "windbg_kdnet"),
        Peer(windbg, engine, "kdlens.exe, agent", "named pipe, live reader, debugger killed",
             "windbg_windows"),
        Peer(windbg, engine, "tap, kdlens.exe, agent", "orders of starting; debugger, machine "
             "and tap killed or restarted; doctor", "windbg_orders"),
        Peer(windbg, engine, "dump", "dumps of recorded stops opened", "windbg_dump"),
        Peer(windbg, engine, "replay", "recorded sessions served again", "windbg_replay"),
        Peer(windbg, engine, "replay, tap --fault", "the same with packets lost, damaged, "
             "repeated, late", "windbg_replay_faults"),
        Peer("radare2 (winkd)", radare2_version(), "agent, tap", "registers, memory, steps",
             "radare2"),
        Peer("radare2 (winkd)", radare2_version(), "replay", "recorded sessions served again",
             "radare2_replay"),
        Peer("kd-probe", "", "agent", "every request, against the boot manager's answers",
             "probe"),
        Peer("Linux (hv_vmbus)", package_version(log, "linux-image"), "VMBus test host",
             "versions, hv_utils, hv_sock echo, unload", "conformance.test_linux"),
        Peer("iPXE (hyperv, netvsc)", package_version(log, "ipxe"), "VMBus test host",
             "connect, GPADLs, open, transactions, close, unload", "conformance.test_ipxe"),
    ]


# --- what came of it


def outcome_of_case(case) -> str:
    text = case.findtext("system-out") or ""
    if case.find("failure") is not None or case.get("status") == "fail":
        return "FAILED"
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        reasons = re.findall(r"skipped ['\"](.+?)['\"]$", text, re.M)
        return f"skipped: {reasons[0]}" if reasons else "skipped"
    ran = re.search(r"^Ran (\d+) tests?", text, re.M)
    return f"passed ({ran[1]})" if ran else "passed"


def outcomes(folder: Path, log: str) -> dict[str, str]:
    found = {}
    report = folder / "ctest.xml"
    if report.exists():
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            found[case.get("name").removeprefix("peers.")] = outcome_of_case(case)
    for text in re.split(r"^(?=test_\w+ \()", log, flags=re.M)[1:]:
        result = re.search(r"(?:\.\.\. |^)(ok|FAIL|ERROR|skipped .*)$", text, re.M)
        said = result[1] if result else "FAIL"
        found[f"conformance.{text.split()[0]}"] = (
            "passed" if said == "ok" else
            f"skipped: {said[9:-1]}" if said.startswith("skipped") else "FAILED")
    return found


def rows(folder: Path) -> list[tuple[Peer, str]]:
    log_file = folder / "conformance.log"
    log = log_file.read_text() if log_file.exists() else ""
    found = outcomes(folder, log)
    return [(peer, next((result for name, result in found.items()
                         if name == peer.test), "not run"))
            for peer in peers(log)]


# --- what is shown


def table(found: list[tuple[Peer, str]]) -> str:
    lines = ["| peer | version | meets | what is exercised | result |", "|---|---|---|---|---|"]
    lines += [f"| {peer.name} | {peer.version or '-'} | {peer.partner} | {peer.exercised} "
              f"| {result} |" for peer, result in found]
    return "\n".join(lines) + "\n"


def short_table(found: list[tuple[Peer, str]]) -> str:
    """One line a peer that passed something."""
    lines = ["| tested with | version | together with |", "|---|---|---|"]
    for name in dict.fromkeys(peer.name for peer, _ in found):
        passed = [peer for peer, result in found if peer.name == name and
                  result.startswith("passed")]
        if passed:
            meets = "; ".join(dict.fromkeys(peer.partner for peer in passed))
            lines.append(f"| {name} | {passed[0].version or '-'} | {meets} |")
    return "\n".join(lines) + "\n"


def write_between_marks(path: Path, text: str):
    before = path.read_text(encoding="utf-8")
    after, count = MARKS.subn(lambda match: match[1] + text + match[2], before)
    if count != 1:
        raise SystemExit(f"{path}: needs <!-- peers --> and <!-- /peers --> once")
    path.write_text(after, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    found = rows(arguments.folder)
    print(table(found), end="")
    if arguments.write:
        qemu = program_version("qemu-system-x86_64", r"version (\S+)")
        day = datetime.date.today().isoformat()
        dated = f"Run on {day} with QEMU {qemu or '(none)'}.\n\n"
        write_between_marks(REPOSITORY / "docs/compatibility.md", dated + table(found))
        write_between_marks(REPOSITORY / "README.md", short_table(found))
    return 1 if any(result == "FAILED" for _, result in found) else 0


if __name__ == "__main__":
    sys.exit(main())
