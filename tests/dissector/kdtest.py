# kdtest.py - fixture of the dissector tests: tshark with the plugin, captures, recordings.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Fixture of the dissector tests.

A test file is a unittest file that ends in kdtest.main():

    import unittest
    import kdtest

    class Reads(unittest.TestCase):
        def test_every_request_has_a_reply(self):
            capture = kdtest.captures("windbg-uncut.pcapng.gz")       # skips when there is none
            rows = kdtest.fields(capture, ["frame.number", "kd.api", kdtest.INFO],
                                 "kdnet.key:8.8.8.8", filter="kd.api", two_pass=True)
            self.assertEqual(len(rows), 187)

    if __name__ == "__main__":
        kdtest.main()

Run it through ctest (`ctest --preset default -L dissector`), which sets KDLENS_PLUGIN_SO, or alone
(`python3 test_reads.py -k name`), by default with build/plugin/kdlens.so.

What there is:
  tshark(args, capture, *prefs)           output lines; fails the test on any exit status but 0
  fields(capture, names, *prefs, ...)     rows of field values, one tuple per frame
  packets(capture, *prefs, ...)           the whole tree of each frame, from -T json
  problems(capture, *prefs, ...)          frames that are malformed or hit a dissector bug
  Sharkd(capture, *prefs)                 a sharkd session: frames in any order, as in the GUI
  captures(name)                          a real capture by name, or a skip
  recording(path, cut=n)                  a {t,dir,hex} recording as a LINKTYPE 252 capture
  read_recording(path), rechunk(...)      its chunks; the same bytes cut elsewhere
  write_stream(path, chunks)              chunks as a LINKTYPE 252 capture; for others there is
                                          generate/capturefile.py, importable after kdtest
  scratch(name)                           path for a file the test makes
  INFO, PROTOCOL                          names to give to fields() for these columns
Preferences are written as for -o: "kdnet.key:8.8.8.8".

Wireshark runs unprivileged with an empty home (tshark-with-plugin.sh says why). Before the first
use it is asserted that tshark lists the plugin: tests could pass on data that nobody dissected.
"""

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import unittest
from functools import lru_cache
from pathlib import Path
from typing import Iterable, NamedTuple

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(HERE / "generate"))
import capturefile

RUNNER = HERE / "tshark-with-plugin.sh"

INFO = "_ws.col.Info"
PROTOCOL = "_ws.col.Protocol"

HOST_TO_TARGET = "h2t"  # sent by the debugger
TARGET_TO_HOST = "t2h"

ALL_SKIPPED = 77


# --- running programs


def plugin() -> Path:
    """The plugin under test."""
    path = os.environ.get("KDLENS_PLUGIN_SO") or REPOSITORY / "build/plugin/kdlens.so"
    return Path(path).resolve()


@lru_cache(maxsize=None)
def stage() -> Path:
    """The folder Wireshark runs in; made once per process, removed at exit."""
    made = subprocess.run([RUNNER, "stage", plugin()], capture_output=True, text=True)
    if made.returncode:
        raise AssertionError(made.stderr.strip())
    folder = Path(made.stdout.strip())
    os.umask(0o022)  # what tests write there is read by another user
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    listed = subprocess.run([RUNNER, "run", folder, "tshark", "-G", "plugins"],
                            capture_output=True, text=True)
    if not re.search(r"^kdlens\.so\s", listed.stdout, re.MULTILINE):
        raise AssertionError(f"tshark -G plugins does not list kdlens.so:\n{listed.stderr}")
    return folder


@lru_cache(maxsize=None)
def version() -> tuple[int, int]:
    """Major and minor version of the tshark under test."""
    first = run("tshark", ["--version"]).stdout.splitlines()[0]
    number = next(word for word in first.split() if word[0].isdigit())
    major, minor = number.split(".")[:2]
    return int(major), int(minor)


def run(program: str, args: Iterable, check: bool = True) -> subprocess.CompletedProcess:
    """One run of tshark, editcap, capinfos...; paths in args must be staged() or scratch()."""
    command = [RUNNER, "run", stage(), program, *map(str, args)]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
    # Payload bytes in a tree need not be valid UTF-8.
    done.stdout = done.stdout.decode(errors="backslashreplace")
    done.stderr = done.stderr.decode(errors="backslashreplace")
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command[3:]))}: exit {done.returncode}\n"
                             f"{done.stderr}")
    return done


def staged(path) -> Path:
    """A path under which the unprivileged Wireshark can read this file."""
    path = Path(path).resolve()
    if path.is_relative_to(stage()):
        return path
    return _staged_copy(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=None)
def _staged_copy(path: Path, _mtime: int) -> Path:
    folder = stage() / "files" / str(len(os.listdir(stage() / "files")))
    folder.mkdir()
    copy = folder / path.name
    shutil.copyfile(path, copy)
    copy.chmod(0o644)
    return copy


def scratch(name: str) -> Path:
    """Path for a file the test, or a program it runs, makes; gone when the test ends."""
    return stage() / "scratch" / name


def tshark(args: Iterable, capture, *prefs: str, two_pass: bool = False,
           check: bool = True) -> list[str]:
    """Output lines of tshark -r capture."""
    return run("tshark", [*_reading(capture, prefs, two_pass), *args], check).stdout.splitlines()


def fields(capture, names: list[str], *prefs: str, filter: str = "", two_pass: bool = False,
           multiple: bool = False) -> list[tuple]:
    """One tuple per frame (that passes the filter), one string per field.

    A field that is not there is "". Of a field that is there several times the values are joined
    with a comma, or come as a list with multiple=True. Booleans are "1" and "0" in every Wireshark
    version.
    """
    # Control characters as separators, and the frame number last: values may hold anything else,
    # also line ends, and the end of a row must be certain. A field asked for twice is shown once.
    columns = [_column(name) for name in names]
    asked = [*dict.fromkeys(column for column in columns if column != "frame.number"),
             "frame.number"]
    args = ["-T", "fields", "-E", "separator=\x1f", "-E", "occurrence=a", "-E", "aggregator=\x1e"]
    if _escapes():
        args += ["-E", "escape=n"]
    for column in asked:
        args += ["-e", column]
    if filter:
        args += ["-Y", filter]
    output = run("tshark", [*_reading(capture, prefs, two_pass), *args]).stdout

    pattern = r"([^\x1f]*)\x1f" * (len(asked) - 1) + r"(\d+)\n"
    order = [asked.index(column) for column in columns]
    rows = []
    start = 0
    while start < len(output):
        row = re.compile(pattern).match(output, start)
        assert row, f"not a row of {len(asked)} fields: {output[start:start + 200]!r}"
        rows.append(tuple(_values(row[1 + index], multiple) for index in order))
        start = row.end()
    return rows


def _escapes() -> bool:
    """Whether -T fields doubles backslashes, which it then does even when told not to escape."""
    return version() >= (4, 4)


def _values(cell: str, multiple: bool):
    digits = {"True": "1", "False": "0"}
    if _escapes():
        cell = re.sub(r"\\(.)", r"\1", cell, flags=re.DOTALL)
    values = [digits.get(value, value) for value in cell.split("\x1e") if value]
    return values if multiple else ",".join(values)


def packets(capture, *prefs: str, filter: str = "", two_pass: bool = False) -> list[dict]:
    """The layers of each frame as -T json gives them; the values of a repeated key are a list."""
    args = ["-T", "json", "--no-duplicate-keys"] + (["-Y", filter] if filter else [])
    output = run("tshark", [*_reading(capture, prefs, two_pass), *args]).stdout
    return [packet["_source"]["layers"] for packet in json.loads(output or "[]")]


def problems(capture, *prefs: str, two_pass: bool = False) -> list[tuple]:
    """(frame number, Info) of each frame that is malformed or met a dissector bug."""
    return fields(capture, ["frame.number", INFO], *prefs, filter="_ws.malformed",
                  two_pass=two_pass)


def _reading(capture, prefs, two_pass: bool) -> list:
    # -n: names of hosts must not depend on the machine.
    args = ["-n", "-r", staged(capture)] + (["-2"] if two_pass else [])
    for pref in prefs:
        args += ["-o", pref]
    return args


@lru_cache(maxsize=None)
def _column(name: str) -> str:
    """The version's name of a column: Wireshark 4.0 has _ws.col.Info, 4.4 has _ws.col.info.

    The wrong one is not an error for tshark, only an empty value.
    """
    if not name.startswith("_ws.col."):
        return name
    lower = name.lower()
    return lower if f"\t{lower}\t" in run("tshark", ["-G", "fields"]).stdout else name


# --- sharkd


class Sharkd:
    """One sharkd session on one capture; a context manager.

        with kdtest.Sharkd(capture, "kdnet.key:8.8.8.8") as session:
            trees = [session.visit(number) for number in shuffled]
    """

    def __init__(self, capture, *prefs: str):
        self._next = 0
        self._log = open(scratch(f"sharkd-{id(self)}.log"), "w+b")
        self._process = subprocess.Popen([RUNNER, "run", stage(), "sharkd", "-"],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=self._log)
        try:
            for pref in prefs:  # before the file: a preference set later would re-read it
                name, _, value = pref.partition(":")
                self.request("setconf", name=name, value=value)
            self.request("load", file=str(staged(capture)))
            self.count = self.request("status")["frames"]
        except BaseException:
            self.close()
            raise

    def request(self, method: str, **params):
        """One JSON-RPC call; its result. An error of sharkd's fails the test."""
        self._next += 1
        call = {"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}
        self._process.stdin.write(json.dumps(call).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"sharkd ended in {method} {params}:\n{self._said()}")
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError(f"sharkd: {method} {params}: {answer['error']}")
        assert answer["id"] == self._next, f"sharkd answered call {answer['id']}, not {self._next}"
        return answer["result"]

    def frame(self, number: int) -> dict:
        """All sharkd knows of a frame: "tree", "bytes", "col", "ds" (data sources)."""
        return self.request("frame", frame=number, proto=True, bytes=True, columns=True)

    def visit(self, number: int) -> str:
        """The same as one string, to compare visits with."""
        return json.dumps(self.frame(number), sort_keys=True)

    def info(self, number: int) -> str:
        """The Info column of a frame."""
        return self.frame(number)["col"][-1]

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)
        self._log.close()

    def _said(self) -> str:
        self._process.wait(timeout=30)
        self._log.seek(0)
        return self._log.read().decode(errors="backslashreplace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- real captures


def captures(name: str = "") -> Path:
    """A real capture, or the folder of all; skips the test, and says so, when it is not there."""
    folder = Path(os.environ.get("KDLENS_CAPTURES") or REPOSITORY.parent / "shared/captures")
    path = folder / name
    if not path.exists():
        reason = f"no {path} (KDLENS_CAPTURES names the folder of the real captures)"
        print(f"skipped: {reason}", file=sys.stderr)
        raise unittest.SkipTest(reason)
    return path


# --- recordings and the captures made from them


class Chunk(NamedTuple):
    """Bytes as they were read from a line, at once."""

    nanoseconds: int  # since the start
    direction: str    # HOST_TO_TARGET or TARGET_TO_HOST
    data: bytes


def read_recording(path) -> list[Chunk]:
    """The chunks of a {t,dir,hex} recording (JSON lines)."""
    with open(path, encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines if line.strip()]
    return [Chunk(round(record["t"] * 1e9), record["dir"], bytes.fromhex(record["hex"]))
            for record in records]


def rechunk(chunks: Iterable[Chunk], cut: int) -> list[Chunk]:
    """The same bytes in the same order, in pieces of at most cut bytes."""
    return [chunk._replace(data=chunk.data[start:start + cut])
            for chunk in chunks for start in range(0, len(chunk.data), cut)]


def recording(path, cut: int | None = None) -> Path:
    """A {t,dir,hex} recording as a capture; with cut, in pieces of at most that many bytes."""
    path = Path(path)
    made = scratch(f"{path.stem}-{cut or 'as-read'}.pcapng")
    if not made.exists():
        chunks = read_recording(path)
        write_stream(made, rechunk(chunks, cut) if cut else chunks)
    return made


def write_stream(path, chunks: Iterable[Chunk], name: str = "kd0") -> None:
    """A capture of one KD byte stream: one record per chunk."""
    flags = {TARGET_TO_HOST: capturefile.INBOUND, HOST_TO_TARGET: capturefile.OUTBOUND}
    records = []
    for chunk in chunks:
        data = capturefile.upper_pdu(chunk.data, chunk.direction == TARGET_TO_HOST)
        records.append(capturefile.Record(chunk.nanoseconds, data, flags=flags[chunk.direction]))
    interfaces = [capturefile.Interface(name, "")]
    Path(path).write_bytes(capturefile.pcapng(interfaces, records, "kdlens tests"))


# --- the test program


class _Result(unittest.TextTestResult):
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main() -> None:
    """Run the test file. Exit status: 0 passed, 1 failed or no test, 77 everything skipped."""
    try:
        stage()
    except AssertionError as error:
        sys.exit(str(error))
    runner = unittest.TextTestRunner(verbosity=2, resultclass=_Result)
    result = unittest.main(module="__main__", testRunner=runner, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    if not result.passed:
        sys.exit(ALL_SKIPPED if result.skipped else 1)
    sys.exit(0)
