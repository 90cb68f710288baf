# fuzz_verbs.py - damaged captures for the verbs that analyse captures.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs every verb on every capture cut off at every 97th byte, and with bytes changed at random
(editcap -E). A run may say what is wrong with the file (exit status 0 or 1); it may not crash, take
longer than PATIENCE or more than MEMORY.

    python3 fuzz_verbs.py --kdlens build/capture-tool/kdlens [--step 97] [--sample N] [--jobs 2]
        [--skip N]

The captures are those of pcaps/ and the real ones (KDLENS_CAPTURES), unpacked; recordings are
imported first. --sample runs so many of all cuts, spread evenly. A full run takes an hour or more:
it is not part of ctest, where test_hostile.py runs a sample; --skip goes on with one that was
stopped after so many. What fails is kept in --findings.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator, NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CAPTURES = Path(os.environ.get("KDLENS_CAPTURES") or REPOSITORY.parent / "shared/captures")
PATIENCE = 60.0        # seconds
MEMORY = 400 << 20     # bytes; most of it is what a store may keep
VERBS = (["stats"], ["stops"], ["modules"], ["prints"], ["writes"], ["mem", "map"],
         ["mem", "map", "--changes"], ["stops", "--json"], ["writes", "--all", "--json"],
         ["carve", "10000000", "-w", os.devnull], ["dump", "-w", os.devnull],
         ["dump", "-w", os.devnull, "--format", "elf"],
         ["dump", "-w", os.devnull, "--format", "kernel"], ["scrub", "-w", os.devnull])
KEYS = {
    "windbg-uncut": "8.8.8.8",
    "windows-bootmgr-kdnet": "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x",
    "windbg-kdnet-v1": "2o.l.d.1", "windbg-kdnet-v2": "2.3.4.5", "windbg-kdnet-v3": "k.d.n.et3",
    "windbg-kdnet-v4": "4.4.4.4", "windbg-kdnet-v5": "1.2.3.4",
    "windbg-kdnet-v5-ipv6": "ip.v.6.key", "windbg-kdnet-refused": "r3.fus.ed.0",
    "windbg-kdnet-v5-faults": "2steg4fzbj2sz.23418vzkd4ko3.1g34ou07z4pev.1sp3yo9yz874p",
}
NOISE = (0.0005, 0.005, 0.05)
# What a program may have of its own; what goes beyond fails as if memory were short.
LIMITED = (["prlimit", f"--data={MEMORY}"] if shutil.which("prlimit") else [])


class Capture(NamedTuple):
    name: str
    data: bytes
    key: str


def captures(kdlens: Path, folder: Path) -> Iterator[Capture]:
    """All of them, as the bytes of a plain pcapng or pcap file."""
    for path in sorted((REPOSITORY / "pcaps").glob("*.pcapng")):
        yield Capture(path.name, path.read_bytes(), "")
    if not CAPTURES.is_dir():
        return
    for path in sorted(CAPTURES.iterdir()):
        name = path.name.split(".")[0]
        if path.suffix == ".gz":
            yield Capture(path.name, gzip.decompress(path.read_bytes()), KEYS.get(name, ""))
        elif path.suffix == ".jsonl":
            out = folder / f"{name}.pcapng"
            subprocess.run([kdlens, "import", path, "-w", out], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            if out.exists():
                yield Capture(path.name, out.read_bytes(), "")


class Case(NamedTuple):
    capture: Capture
    cut: int  # bytes that are left
    verb: list[str]


def cases(all_captures: list[Capture], step: int, sample: int) -> list[Case]:
    """Each cut with each verb; or so many of them."""
    found = [Case(capture, cut, verb) for capture in all_captures
             for cut in range(0, len(capture.data), step) for verb in VERBS]
    if sample and sample < len(found):
        # A stride without a common factor with the verbs, so that all of them have their turn.
        stride = len(found) // sample
        while stride % len(VERBS) == 0 or stride % 2 == 0:
            stride += 1
        found = found[::stride]
    return found


class Runner:
    def __init__(self, kdlens: Path, folder: Path, findings: Path | None = None):
        self.kdlens, self.folder, self.findings = kdlens, folder, findings
        self.failures: list[str] = []

    def command(self, verb: list[str], path: Path, key: str) -> list[str]:
        words = [str(self.kdlens), *verb[:1 if verb[0] != "mem" else 2], str(path),
                 *verb[1 if verb[0] != "mem" else 2:]]
        if key:
            keys = self.folder / f"{abs(hash(key))}.key"
            if not keys.exists():
                keys.write_text(key + "\n")
            words += ["--key-file", str(keys)]
        return words

    def run(self, verb: list[str], path: Path, key: str, what: str) -> None:
        process = subprocess.Popen(LIMITED + self.command(verb, path, key),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        try:
            message = process.communicate(timeout=PATIENCE)[1].decode(errors="backslashreplace")
            status = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            message, status = process.communicate()[1].decode(errors="backslashreplace"), None
        if status in (0, 1) and "memory" not in message:
            return
        said = "no end" if status is None else f"exit status {status}"
        self.failures.append(f"{what}: kdlens {' '.join(verb)}: {said}\n{message[-2000:]}")
        if self.findings:
            self.findings.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, self.findings / f"{len(self.failures)}-{path.name}")

    def cut(self, case: Case) -> None:
        path = self.folder / f"{case.capture.name}.{case.cut}.{id(case)}"
        path.write_bytes(case.capture.data[:case.cut])
        try:
            self.run(case.verb, path, case.capture.key, f"{case.capture.name} cut at {case.cut}")
        finally:
            path.unlink()

    def noisy(self, capture: Capture, rate: float, seed: int) -> None:
        whole = self.folder / f"whole.{capture.name}"
        noisy = self.folder / f"noise{rate}-{seed}.{capture.name}"
        whole.write_bytes(capture.data)
        # It refuses what it cannot write again; that is no finding.
        subprocess.run(["editcap", "-E", str(rate), "--seed", str(seed), str(whole), str(noisy)],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not noisy.exists():
            return
        for verb in VERBS:
            self.run(verb, noisy, capture.key, f"{capture.name} with noise {rate}, seed {seed}")
        noisy.unlink()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kdlens", type=Path, required=True)
    parser.add_argument("--step", type=int, default=97)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--findings", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz_verbs.") as name:
        folder = Path(name)
        runner = Runner(options.kdlens.resolve(), folder, options.findings)
        all_captures = list(captures(runner.kdlens, folder))
        todo = cases(all_captures, options.step, options.sample)
        print(f"{len(all_captures)} captures, {len(todo)} cuts", flush=True)
        todo = todo[options.skip:]
        with ThreadPoolExecutor(options.jobs) as pool:
            for number, _ in enumerate(pool.map(runner.cut, todo), 1 + options.skip):
                if number % 10000 == 0:
                    print(f"{number} cuts, {len(runner.failures)} failures", flush=True)
        if shutil.which("editcap"):
            for capture in all_captures:
                for rate in NOISE:
                    for seed in range(1, options.seeds + 1):
                        runner.noisy(capture, rate, seed)
        else:
            print("skipped: noise: no editcap")
    for failure in runner.failures:
        print(failure)
    print(f"{len(runner.failures)} failures")
    sys.exit(1 if runner.failures else 0)


if __name__ == "__main__":
    main()
