# test_probe.py - kdagent.efi in QEMU answers a prober as docs/agent-answers.md says.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""probe.py sends a stopped target some 170 requests and link faults and writes down what comes
back; probediff.py compares that with what Microsoft's own target, the Windows boot manager,
answered. A difference that docs/agent-answers.md does not list fails, and so does a listed one
that is gone.

KDLENS_PROBE          folder of probe.py and probediff.py; else ../shared/tools/kd-probe
KDLENS_CAPTURES       folder of the boot manager's answers; else ../shared/captures
KDLENS_AGENT_IMAGES   folder of kdagent.efi and kdboot.efi; else build/uefi-agent
KDLENS_PROBE_ANSWERS  answers of an earlier run, to check instead of a new one

Run it with --print to get the rows of both tables as they would be now, without their reasons.
"""

import ast
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/boot"))
import machine

SHARED = REPOSITORY.parent / "shared"
PROBE = Path(os.environ.get("KDLENS_PROBE") or SHARED / "tools/kd-probe")
CAPTURES = Path(os.environ.get("KDLENS_CAPTURES") or SHARED / "captures")
REFERENCE = CAPTURES / "windows-boot-debugger-answers.jsonl"
AGENT = Path(os.environ.get("KDLENS_AGENT_IMAGES") or REPOSITORY / "build/uefi-agent")
DOCUMENT = REPOSITORY / "docs/agent-answers.md"
PATIENCE = 900  # seconds for all probes; most wait for silence, and take two minutes together

CONTROL = {2: "answer", 3: "print", 4: "ACK", 5: "RESEND", 6: "RESET", 7: "state change",
           11: "file request"}
ADDRESS = 8  # bytes; most requests begin with one, which differs between machines


def missing() -> str:
    if not (PROBE / "probe.py").exists():
        return f"no probe.py in {PROBE} (KDLENS_PROBE)"
    if not REFERENCE.exists():
        return f"no {REFERENCE} (KDLENS_CAPTURES)"
    if os.environ.get("KDLENS_PROBE_ANSWERS"):
        return ""
    if not (AGENT / "kdagent.efi").exists() or not (AGENT / "kdboot.efi").exists():
        return f"no kdagent.efi and kdboot.efi in {AGENT} (cmake --build build)"
    return machine.missing()


def run_probe(folder: Path) -> Path:
    """Boots the agent on a line that ends at the prober, and returns the file of its answers."""
    answers, line = folder / "answers.jsonl", folder / "line"
    esp = machine.make_esp(folder / "esp.img", {
        "EFI/BOOT/BOOTX64.EFI": AGENT / "kdboot.efi", "kdagent.efi": AGENT / "kdagent.efi",
        "kdagent.cfg": b"chain = none\n"})
    with (folder / "probe.log").open("w+") as log:
        prober = subprocess.Popen([sys.executable, "-B", PROBE / "probe.py", line, answers],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + machine.PATIENCE
            while not line.exists():
                if prober.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("probe.py does not listen")
                time.sleep(0.02)
            with machine.Machine(esp=esp, uart=f"socket,path={line},server=off"):
                status = prober.wait(PATIENCE)
        finally:
            prober.kill()
            prober.wait()
        if status:
            log.seek(0)
            raise RuntimeError(f"probe.py ended with status {status}:\n{log.read()[-2000:]}")
    return answers


def words(shape) -> str:
    """What probediff.py prints of an answer, in the document's words."""
    if shape == "MISSING":
        return "not asked"
    if isinstance(shape, dict):
        return ", ".join(f"{name} {value}" for name, value in shape.items()) or "a file"
    if isinstance(shape, list):
        types = [int(re.search(r"type (\d+)", packet)[1]) for packet in shape]
        return ", ".join(CONTROL[number] for number in types) or "silence"
    if shape[0] == "no reply":
        return ", ".join(["no answer"] + [CONTROL[packet[1]] for packet in shape[2]])
    return f"{shape[0].removeprefix('status ').upper()}, {shape[1].removeprefix('data ')} bytes"


def differences(answers: Path) -> list:
    """[(probe, boot manager's answer, agent's answer)] of probediff.py."""
    text = subprocess.run([sys.executable, "-B", PROBE / "probediff.py", REFERENCE, answers],
                          check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^(.*?) +reference (.*)\n +other +(.*)$", text, re.M)
    count = re.search(r"(\d+) same, (\d+) differ", text)
    assert count and int(count[2]) == len(rows), f"probediff.py says:\n{text}"

    def value(shape):
        return "MISSING" if shape == "MISSING" else ast.literal_eval(shape)

    return [(name, words(value(theirs)), words(value(ours))) for name, theirs, ours in rows]


def load(path: Path) -> dict:
    """The answers to requests by the probe's name; the first of several with one name."""
    found = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if "union" in record and "status" in record:
            found.setdefault(record["probe"], record)
    return found


def contents(answers: Path) -> list:
    """The same for answers of the same status and length whose fields after the first eight bytes
    differ, as 32-bit numbers. GetVersion's say where things are in memory: test_version."""
    theirs, ours = load(REFERENCE), load(answers)
    rows = []
    for name, one in theirs.items():
        other = ours.get(name)
        if not other or name == "GetVersion":
            continue
        if (one["status"], one["dlen"]) != (other["status"], other["dlen"]):
            continue
        fields = [struct.unpack("<8I", bytes.fromhex(record["union"])[ADDRESS:])
                  for record in (one, other)]
        if fields[0] != fields[1]:
            used = max(i for i in range(8) if fields[0][i] or fields[1][i]) + 1
            rows.append((name, *(" ".join(f"{number:X}" for number in numbers[:used])
                                 for numbers in fields)))
    return rows


def table(heading: str) -> list:
    """[(probe, boot manager, kdagent)] of the table under a heading; each row has a reason too."""
    section = DOCUMENT.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")]
            for line in section.splitlines() if line.startswith("|")][2:]
    for row in rows:
        assert len(row) == 4 and row[3], f"not probe, two answers and a reason: {row}"
    return [tuple(row[:3]) for row in rows]


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kdprobe")
        cls.addClassCleanup(folder.cleanup)
        given = os.environ.get("KDLENS_PROBE_ANSWERS")
        cls.answers = Path(given) if given else run_probe(Path(folder.name))

    def compare(self, heading, seen):
        listed = table(heading)
        problems = [f"not listed: {row}" for row in seen if row not in listed]
        problems += [f"listed, not seen: {row}" for row in listed if row not in seen]
        self.assertEqual(problems, [], f"{DOCUMENT.name}, {heading}")

    def test_other_answers(self):
        self.compare("Other answers", differences(self.answers))

    def test_other_contents(self):
        self.compare("Other contents", contents(self.answers))

    def test_version(self):
        """What radare2 needs and the boot manager has not: a build it knows, a data block."""
        records = [json.loads(line) for line in self.answers.read_text().splitlines()]
        version = next(record for record in records if record["probe"] == "version")
        self.assertEqual((version["minor"], version["ddl_is_0"]), (18362, False))

    def test_breakpoint_is_not_seen(self):
        """The byte under a breakpoint reads as the program's own: what it is after the removal."""
        records = load(self.answers)
        self.assertEqual(records["read under bp"]["data"], records["read after"]["data"])

    def test_reply_repeated(self):
        """A reply that nobody acknowledges comes again each second or so, the same packet."""
        records = [json.loads(line) for line in self.answers.read_text().splitlines()]
        got = next(record["got"] for record in records
                   if record["probe"] == "link: reply never acknowledged for 12 s")
        replies = [packet.split(" ", 1)[1] for packet in got if " D " in packet]
        self.assertGreater(len(replies), 3)
        self.assertEqual(len(set(replies)), 1)


def print_rows():
    with tempfile.TemporaryDirectory(prefix="kdprobe") as folder:
        given = os.environ.get("KDLENS_PROBE_ANSWERS")
        answers = Path(given) if given else run_probe(Path(folder))
        for rows in differences(answers), contents(answers):
            for row in rows:
                print("| {} | {} | {} | |".format(*row))
            print()


if __name__ == "__main__":
    if reason := missing():
        print(f"skipped: {reason}")
        sys.exit(77)
    if "--print" in sys.argv:
        print_rows()
    else:
        unittest.main(verbosity=2)
