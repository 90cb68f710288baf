# fuzz_plugin.py - damaged captures through tshark with the plugin, built with sanitizers.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Damages every capture with editcap -E and lets tshark dissect it, verbosely and in two passes.

usage: fuzz_plugin.py [--passes N] [--seed N]

The captures are those of pcaps/ and, with KDLENS_CAPTURES, the real ones; recordings of serial
lines become captures first. KDLENS_PLUGIN_SO and KDLENS_PRELOAD are those of the dissector tests.
A finding is a sanitizer's report, a crash, a dissector bug or more than LIMIT seconds: the damaged
file is kept in build-fuzz/findings/ and named. Exit status 1 if there is any.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "dissector"))
import kdtest
import capturefile

FINDINGS = REPOSITORY / "build-fuzz" / "findings"
LIMIT = 300  # seconds for one pass under sanitizers; seconds are usual

# Of the captures in KDLENS_CAPTURES, by name; GENERATED_KEY is that of pcaps/ (README.md there).
GENERATED_KEY = "wwa9qyd3yzr0.2wjshpipwi9el.316j4ftj9xwg9.96ggdc1icgbe"
KEYS = {
    "windbg-uncut": "8.8.8.8",
    "windows-bootmgr-kdnet": "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x",
    "windbg-kdnet-v1": "2o.l.d.1",
    "windbg-kdnet-v2": "2.3.4.5",
    "windbg-kdnet-v3": "k.d.n.et3",
    "windbg-kdnet-v4": "4.4.4.4",
    "windbg-kdnet-v5": "1.2.3.4",
    "windbg-kdnet-v5-ipv6": "ip.v.6.key",
    "windbg-kdnet-v5-faults": "2steg4fzbj2sz.23418vzkd4ko3.1g34ou07z4pev.1sp3yo9yz874p",
    "windbg-kdnet-refused": "r3.fus.ed.0",
}

# Chance of an error in a byte: with few of them datagrams stay authentic, and long streams in step.
ERRORS = (0.02, 0.002, 0.0002)

# What a run may not say. A malformed packet is what damage makes; a dissector bug is ours.
SIGNS = ("ERROR: AddressSanitizer", "runtime error:", "Dissector bug", "DISSECTOR BUG", "** (",
         "SUMMARY: ")


def name_of(path: Path) -> str:
    return path.name.split(".")[0]


def captures() -> list[Path]:
    """Captures that the unprivileged tshark can read, uncompressed."""
    found = sorted((REPOSITORY / "pcaps").glob("*.pcapng"))
    real = os.environ.get("KDLENS_CAPTURES") or REPOSITORY.parent / "shared" / "captures"
    if Path(real).is_dir():
        found += sorted(path for path in Path(real).iterdir()
                        if path.name.endswith((".pcapng.gz", ".pcap.gz", ".jsonl"))
                        and not path.name.endswith("-answers.jsonl"))
    else:
        print("skipped: real captures (KDLENS_CAPTURES is not set)")
    return [plain(path) for path in found]


def plain(path: Path) -> Path:
    if path.suffix == ".jsonl":
        return kdtest.recording(path)
    if path.suffix != ".gz":
        return kdtest.staged(path)
    copy = kdtest.scratch(path.stem)
    copy.write_bytes(gzip.decompress(path.read_bytes()))
    return copy


def dissect(damaged: Path, key: str, two_pass: bool) -> str:
    """What is wrong with this run, or nothing."""
    passes = ["-2"] if two_pass else []
    command = [kdtest.RUNNER, "run", kdtest.stage(), "env", "WIRESHARK_DEBUG_WMEM_OVERRIDE=strict",
               "tshark", "-n", *passes, "-o", f"kdnet.key:{key}", "-V", "-x", "-r", damaged]
    output = kdtest.scratch("output.txt")
    try:
        with open(output, "wb") as file:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file,
                                  stderr=subprocess.PIPE, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"more than {LIMIT} s"
    errors = done.stderr.decode(errors="backslashreplace")
    if done.returncode not in (0, 2):  # 2: a damaged file ends early
        return f"exit status {done.returncode}\n{errors}"
    if any(sign in errors for sign in SIGNS):
        return errors
    with open(output, encoding="utf-8", errors="backslashreplace") as file:
        for line in file:
            if any(sign in line for sign in SIGNS[:4]):
                return line
    return ""


def protected(original: Path, seed: int) -> int:
    """How many bytes of each record stay whole: most damage is to be done inside what it holds."""
    content = original.read_bytes()
    for dissector in ("kd_stream", "vmbus"):
        if dissector.encode() in content:
            return len(capturefile.upper_pdu(b"", True, dissector))
    return 42 if seed % 4 else 0  # Ethernet, IPv4 and UDP


def one_pass(original: Path, seed: int) -> bool:
    """Damages one capture once and reads it; false when something was found."""
    damaged = kdtest.scratch("damaged.pcapng")
    # Outside of the stage: editcap does not end when the sanitizers' runtime is preloaded.
    made = subprocess.run(["editcap", "-E", str(ERRORS[seed % len(ERRORS)]), "--seed", str(seed),
                           "-o", str(protected(original, seed)), original, damaged],
                          capture_output=True, text=True)
    if made.returncode:
        print(f"{original.name}: editcap: {made.stderr.strip()}")
        return False
    problem = dissect(damaged, KEYS.get(name_of(original), GENERATED_KEY), seed % 2 == 0)
    if problem:
        FINDINGS.mkdir(parents=True, exist_ok=True)
        kept = FINDINGS / f"{name_of(original)}-{seed}.pcapng"
        shutil.copyfile(damaged, kept)
        print(f"{kept}: {problem}")
    return not problem


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the first pass")
    options = parser.parse_args()
    files = captures()
    good = True
    for seed in range(options.seed, options.seed + options.passes):
        for original in files:
            good &= one_pass(original, seed)
        print(f"pass with seed {seed}: {len(files)} captures", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
