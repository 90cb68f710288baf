# test_aot_fixtures.py - objects of three compiler generations run on our runtime, and are read.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_FIXTURES has the objects and lists of what must come out. AOT_HOST_ONLY=1 leaves QEMU out.
"""

import os
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import aotbuild
import machine

AOT_DUMP = os.environ.get("AOT_DUMP") or str(HERE.parent.parent / "build/tests/rt/aot_dump")
FIXTURES = aotbuild.FIXTURES
MERGE = ("/merge:.modules=.rdata", "/merge:.managedcode=.text", "/merge:hydrated=.bss")
# Per object: version of the header, list of names, list of maps.
OBJECTS = {
    "8.0.29": ("9.1", "dispatch-names.txt", "dispatch-maps-8.txt"),
    "9.0.18": ("10.1", "dispatch-names.txt", "dispatch-maps-9-10.txt"),
    "10.0.14": ("16.0", "dispatch-names.txt", "dispatch-maps-9-10.txt"),
    "8.0.29-opt": ("9.1", "dispatch-opt-names-8.txt", None),
    "9.0.18-opt": ("10.1", "dispatch-opt-names-9.txt", None),
    "10.0.14-opt": ("16.0", "dispatch-opt-names-10.txt", None),
    "8.0.29-nonames": ("9.1", None, "dispatch-maps-8.txt"),
    "10.0.14-nonames": ("16.0", None, "dispatch-maps-9-10.txt"),
    "8.0.29-dehydrated": ("9.1", "dispatch-names.txt", "dispatch-maps-8.txt"),
    "10.0.14-dehydrated": ("16.0", "dispatch-names.txt", "dispatch-maps-9-10.txt"),
}
INNER = "Fix.Names.Outer+Inner."
COMMON = [INNER + "Bounce2<T,U>", INNER + "Bounce<T>", "Fix.Names.Outer.get_Which",
          "Fix.Names.Outer.Start", "Fix.Tests.Trace"]
TRACES = {
    "0": [INNER + "AMethodWithANameThatIsLongerThanOneHundredAndTwentySevenBytesSoThatItsLength"
          "NeedsTwoBytesInTheMetadataBlobAndAReaderThatAssumesOneByteFails",
          INNER + "op_Addition", INNER + "Fix.Names.ITrace.Step", *COMMON],
    "1": ["Fix.Names.Holder`1+Größe<T>.Überlauf", "Fix.Names.Holder`1+Größe<T>.Step", *COMMON],
}


def setUpModule():
    reason = aotbuild.missing() or aotbuild.missing_fixtures()
    if reason:
        raise unittest.SkipTest(reason)
    global builder
    builder = aotbuild.Builder()
    unittest.addModuleCleanup(builder.close)


def image(which: str, *options: str, cached: bool = True) -> aotbuild.Image:
    app = builder.object("tests/rt/aot/fixture.c", f"-DCACHED={'true' if cached else 'false'}")
    return builder.link(f"{which}-{len(options)}-{cached}",
                        [*builder.base(), app, FIXTURES / f"dispatch-ilc{which}.obj"], *options)


def dump(path, *words) -> list[str]:
    done = subprocess.run([AOT_DUMP, path, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.splitlines()


def calls() -> int:
    text = (FIXTURES / "dispatch-expected.h").read_text()
    return sum(line.startswith("FIX(") for line in text.splitlines())


class Run(unittest.TestCase):
    def check(self, which: str, lines: list[str], cached: bool = True) -> dict:
        version, names, _ = OBJECTS[which]
        self.assertEqual(lines[0], f"version {version}", which)
        self.assertEqual([line for line in lines if line.startswith("wrong")], [], which)
        self.assertIn(f"passed {calls()} failed 0", lines, which)
        if "opt" not in which:
            self.check_traces(which, lines, names)
        words = lines[-1].split()
        counters = dict(zip(words[1::2], map(int, words[2::2])))
        self.assertEqual(counters["cached"], counters["resolved"] if cached else 0)
        return counters

    def check_traces(self, which: str, lines: list[str], names):
        for number, expected in TRACES.items():
            at = lines.index(f"trace {number}") + 1
            frames = []
            while at < len(lines) and lines[at].startswith("frame "):
                frames.append(lines[at].split(" ", 1)[1].rsplit("+", 1)[0])
                at += 1
            # Around managed code are our own functions, which have no names here.
            managed = [frame for frame in frames if frame != "image"]
            self.assertEqual(managed, expected if names else [], which)
            self.assertGreater(len(frames), len(expected), which)

    def test_on_the_host(self):
        for which in OBJECTS:
            self.check(which, image(which).on_host())

    def test_linked_otherwise(self):
        for which in ("8.0.29-dehydrated", "9.0.18", "10.0.14-dehydrated", "10.0.14-opt"):
            self.check(which, image(which, *MERGE).on_host())

    def test_without_cache(self):
        for which in ("8.0.29", "9.0.18", "10.0.14"):
            with_cache = self.check(which, image(which).on_host())
            counters = self.check(which, image(which, cached=False).on_host(), cached=False)
            self.assertLess(with_cache["resolved"], 200)
            self.assertGreater(counters["resolved"], 11000)  # FixMany alone makes so many calls

    def test_in_firmware(self):
        if machine.missing():
            self.skipTest(machine.missing())
        if os.environ.get("AOT_HOST_ONLY"):
            self.skipTest("AOT_HOST_ONLY is set")
        for which in OBJECTS:
            self.check(which, image(which).in_firmware())
        self.check("10.0.14", image("10.0.14", cached=False).in_firmware(), cached=False)


class Lists(unittest.TestCase):
    """Symbols are the linker's, so the lists say which address each line is about."""

    def linked(self, which: str):
        linked = image(which, "/opt:noref", "/opt:noicf")
        return linked.path, linked.symbols()

    def test_names(self):
        for which, (_, file, _) in OBJECTS.items():
            path, symbols = self.linked(which)
            rows = [line.split("\t")[:2] for line in dump(path, "names", "parameters")]
            expected = []
            if file:
                expected = [line.split("\t") for line in
                            (FIXTURES / file).read_text(encoding="utf-8").splitlines()]
            self.assertEqual(sorted((int(rva, 16), name) for rva, name in rows),
                             sorted((symbols[symbol], name) for name, symbol in expected), which)

    def test_hidden_methods_are_marked(self):
        for which, hidden in (("8.0.29", []), ("9.0.18", ["Fix.Names.Outer.Start"]),
                              ("10.0.14", ["Fix.Names.Outer.Start"])):
            path, _ = self.linked(which)
            found = [line.split("\t")[1] for line in dump(path, "names")
                     if line.endswith("\thidden")]
            self.assertEqual(found, hidden, which)

    def types(self, file: str) -> list[tuple[str, list[str]]]:
        """(header line, entry lines) for each type."""
        found = []
        for line in (FIXTURES / file).read_text(encoding="utf-8").splitlines():
            if line.startswith("\t"):
                found[-1][1].append(line.strip())
            else:
                found.append((line, []))
        return found

    def table(self, symbols: dict, name: str) -> int:
        return symbols.get(f"??_7{name}@@6B@") or symbols[name]

    def test_maps(self):
        for which, (_, _, file) in OBJECTS.items():
            if not file:
                continue
            path, symbols = self.linked(which)
            for head, entries in self.types(file):
                name, rest = head.split(" ", 1)
                rva = self.table(symbols, name)
                expected = [f"type {rva:x} {rest}"]
                for entry in entries:
                    kind, interface, slot, _, implementation, where, target = entry.split(" ")
                    expected.append(f"{kind} {self.table(symbols, interface):x} {slot} -> "
                                    f"{implementation} {where} {symbols[target]:x}")
                self.assertEqual(dump(path, "types", f"{rva:x}"), expected, f"{which} {name}")

    def test_static_members(self):
        """What Dispatch.cs says of IMaker's: the compiler has resolved each call of them, so
        nothing else looks into these entries. A class without its own has its parent's."""
        expected = {"MakerOne": ("MakerOne__Fix_IMaker_Make", "IMaker__Also"),
                    "MakerTwo": ("MakerTwo__Fix_IMaker_Make", "MakerTwo__Fix_IMaker_Also"),
                    "MakerThree": ("MakerTwo__Fix_IMaker_Make", "MakerTwo__Fix_IMaker_Also")}
        for which in ("8.0.29", "9.0.18", "10.0.14"):
            path, symbols = self.linked(which)
            interface = f"{self.table(symbols, 'Dispatch_Fix_IMaker'):x}"
            for name, targets in expected.items():
                rva = f"{self.table(symbols, 'Dispatch_Fix_' + name):x}"
                for slot, target in enumerate(targets):
                    code = f"{symbols['Dispatch_Fix_' + target]:x}"
                    self.assertEqual(dump(path, "static", rva, interface, slot), [f"{code} 0"],
                                     f"{which} {name}")
                with self.assertRaisesRegex(RuntimeError, "not found"):
                    dump(path, "static", rva, interface, 2)  # Inst is no static member
                with self.assertRaisesRegex(RuntimeError, "not found"):
                    dump(path, "resolve", rva, interface, 0)


if __name__ == "__main__":
    aotbuild.main()
