# test_symbols.py - kdlens symbols: names of images, held against LLVM's reader and a linker's map.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS names the program under test; default build/capture-tool/kdlens. The images are built here
with clang and lld-link, but for some, which npm fetches."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PROGRAM = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()
sys.path.insert(0, str(REPOSITORY / "tests/rt"))
import aotbuild
import ehtables
import npmpack
import peimage

SOURCE = """
__declspec(dllexport) int twice(int x) { return 2 * x; }
__attribute__((noinline)) static int quiet(volatile int *x)
{ int y[40]; y[x[0]] = 1; return y[x[1]]; }
__declspec(dllexport) int around(volatile int *x) { return quiet(x) + quiet(x) + x[2]; }
int EfiMain(volatile int *x) { return quiet(x) + quiet(x); }
void RhpInitialDynamicInterfaceDispatch(void) {}
"""


def kdlens(*arguments, status: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([PROGRAM, "symbols", *map(str, arguments)], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == status, f"{arguments}: {done}"
    return done


def rows(*arguments) -> list[tuple[int, str, str]]:
    lines = kdlens(*arguments).stdout.splitlines()
    return [(int(line[:8], 16), line[10:18].strip(), line[20:]) for line in lines]


def functions(image) -> list[tuple[int, int]]:
    """The exception directory as LLVM reads it."""
    shown = subprocess.run(["llvm-readobj", "--unwind", image], check=True, capture_output=True,
                           text=True).stdout
    found = re.findall(r"StartAddress: .*?\(?0x([0-9A-Fa-f]+)\)?\n\s+EndAddress: .*?"
                       r"\(?0x([0-9A-Fa-f]+)\)?\n", shown)
    return [(int(begin, 16) & 0xFFFFFF, int(end, 16) & 0xFFFFFF) for begin, end in found]


def handlers_of(image) -> dict[int, int]:
    """{begin: handler or 0} of each row of the exception directory, as LLVM reads addresses."""
    shown = subprocess.run(["llvm-readobj", "--unwind", image], check=True, capture_output=True,
                           text=True).stdout
    found = {}
    for block in shown.split("  RuntimeFunction {\n")[1:]:
        begin = re.search(r"StartAddress: .*?\(?0x([0-9A-Fa-f]+)\)?\n", block).group(1)
        handler = re.search(r"Handler: .*?\(?0x([0-9A-Fa-f]+)\)?\n", block)
        found[int(begin, 16)] = int(handler.group(1), 16) if handler else 0
    return found


class Built(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if aotbuild.missing() or not shutil.which("llvm-readobj"):
            raise unittest.SkipTest(aotbuild.missing() or "no llvm-readobj (Debian package llvm)")
        cls.builder = aotbuild.Builder()
        cls.addClassCleanup(cls.builder.close)
        source = cls.builder.folder / "source.c"
        source.write_text(SOURCE)
        cls.plain = cls.link("plain", cls.builder.object(source))
        tables = cls.builder.object("tests/rt/aot/tables.S", "-DMAJOR=16", "-DMINOR=0")
        cls.managed = cls.link("managed", cls.builder.object(source), tables)
        strange = cls.builder.object("tests/rt/aot/tables.S", "-DMAJOR=17", "-DMINOR=1")
        cls.strange = cls.link("strange", cls.builder.object(source), strange)

    @classmethod
    def link(cls, name, *objects):
        # The map is the linker's list of symbols, the other opinion on where things are.
        return cls.builder.link(name, objects, "/base:0x140000000")

    def test_exports_and_functions(self):
        symbols, table = self.plain.symbols(), functions(self.plain.path)
        found = rows(self.plain.path)
        self.assertEqual([(rva, name) for rva, kind, name in found if kind == "export"],
                         sorted((symbols[name], name) for name in ("around", "twice")))
        nameless = {begin for begin, _ in table} - {symbols["around"], symbols["twice"]}
        self.assertEqual([(rva, name) for rva, kind, name in found if kind == "function"],
                         [(rva, f"plain.efi+0x{rva:x}") for rva in sorted(nameless)])
        self.assertEqual([rva for rva, _, _ in found], sorted(rva for rva, _, _ in found))

    def test_a_name_ends_with_its_function(self):
        begin = self.plain.symbols()["around"]
        end = dict(functions(self.plain.path))[begin]
        for rva, name in ((begin, "around+0x0"), (end - 1, f"around+0x{end - 1 - begin:x}"),
                          (end, f"plain.efi+0x{end:x}")):
            if rva != end or end not in self.plain.symbols().values():
                self.assertEqual(rows(self.plain.path, "--at", hex(rva))[0][2], name)
        quiet = [rva for rva, _, name in rows(self.plain.path) if name.startswith("plain.efi")]
        self.assertTrue(quiet)
        for rva in quiet:
            self.assertEqual(rows(self.plain.path, "--at", rva + 4)[0][1:],
                             ("function", f"plain.efi+0x{rva + 4:x}"))

    def test_leaf_functions_have_no_row(self):
        rva = self.plain.symbols()["twice"]
        self.assertEqual(rows(self.plain.path, "--at", rva)[0], (rva, "export", "twice+0x0"))
        self.assertEqual(rows(self.plain.path, "--at", rva + 1)[0][2], f"plain.efi+0x{rva + 1:x}")

    def test_methods(self):
        rva = self.managed.symbols()["Shape_Scale"]
        found = rows(self.managed.path)
        self.assertIn((rva, "method", "Own.Shape.Scale"), found)
        self.assertNotIn((rva, "function"), [row[:2] for row in found])
        self.assertIn((rva, "method", "Own.Shape.Scale(Own.Shape)"),
                      rows(self.managed.path, "--parameters"))
        self.assertEqual(rows(self.managed.path, "--at", hex(0x140000000 + rva + 3)),
                         [(rva, "method", "Own.Shape.Scale+0x3")])

    def test_json(self):
        lines = [json.loads(line) for line in
                 kdlens("--json", self.managed.path).stdout.splitlines()]
        texts = [(row["rva"], row["kind"], row["name"]) for row in lines]
        self.assertEqual(texts, rows(self.managed.path))
        sizes = {row["rva"]: row.get("size") for row in lines}
        for begin, end in functions(self.managed.path):
            self.assertEqual(sizes[begin], end - begin)
        rva = self.managed.symbols()["Shape_Scale"]
        (one,) = [json.loads(line) for line in kdlens(
            self.managed.path, "--json", "--at", rva + 2).stdout.splitlines()]
        self.assertEqual((one["rva"], one["name"], one["offset"]), (rva, "Own.Shape.Scale", 2))

    def test_an_unknown_version_is_named_and_the_rest_listed(self):
        done = kdlens(self.strange.path)
        self.assertIn("version 17.1, which is not known", done.stderr)
        self.assertIn("export    twice", done.stdout)
        self.assertNotIn("method", done.stdout)

    def test_what_is_wrong_is_said(self):
        self.assertIn("not a PE image", kdlens(PROGRAM, status=1).stderr)
        self.assertIn("cannot be opened", kdlens("/nonexistent", status=1).stderr)
        self.assertIn("is no RVA of it",
                      kdlens(self.plain.path, "--at", 1 << 40, status=1).stderr)
        self.assertIn("no function of the exception directory",
                      kdlens(self.plain.path, "--eh", 0, status=1).stderr)

    def test_cut_files_are_refused_or_listed_and_never_more(self):
        data = self.managed.path.read_bytes()
        with tempfile.TemporaryDirectory(prefix="kdlens-symbols-") as folder:
            path = Path(folder) / "cut"
            for size in range(0, len(data), max(1, len(data) // 60)):
                path.write_bytes(data[:size])
                done = subprocess.run([PROGRAM, "symbols", path], capture_output=True, timeout=60)
                self.assertIn(done.returncode, (0, 1), size)


class Fetched(unittest.TestCase):
    def image(self) -> Path:
        return npmpack.file("node-api-dotnet@0.2.33", "win-x64/Microsoft.JavaScript.NodeApi.node",
                            "2f39168690f587ba2e6c1082fcba26ec5761213b47f629f3ea70aa764819920c")

    def test_every_method_is_listed(self):
        found = rows(self.image())
        self.assertEqual(sum(kind == "method" for _, kind, _ in found), 5841)
        self.assertEqual([name for _, kind, name in found if kind == "export"],
                         ["napi_register_module_v1", "DotNetRuntimeDebugHeader"])

    def test_exception_tables(self):
        lines = kdlens(self.image(), "--eh", 0x61DEC).stdout.splitlines()
        self.assertEqual(lines[1], "except  begin 00061e21  end 00061f07  filter 00066fa4  "
                                   "target 00061f07")

    def objects(self, what: str, begin: int, end: int, handler: int, info: int, table) -> list:
        """What --eh --json is to print of a function with C++ tables."""
        found = [{"what": "function", "begin": begin, "end": end, "handler": handler},
                 {"what": what, "info": info, "flags": table.flags,
                  "states": len(table.actions), "try-blocks": len(table.tries)}]
        found += [{"what": "state", "from": at, "number": state} for at, state in table.ips]
        found += [{"what": ("nothing", "call", "destroy", "destroy-at")[kind], "state": number,
                   "next": following, "action": action, "object": thing}
                  for number, (following, kind, action, thing) in enumerate(table.actions)]
        for low, high, catch_high, catches in table.tries:
            found.append({"what": "try", "low": low, "high": high, "catch-high": catch_high})
            for place, adjectives, kind, thing, goes_on in catches:
                found.append({"what": "catch" if kind else "catch-all", "handler": place,
                              "type": kind, "adjectives": adjectives, "object": thing})
                found += [{"what": "continue", "at": at} for at in goes_on]
        return found

    def check_tables(self, package: tuple, what: str, independent) -> int:
        """Every function, as LLVM lists its handler and ehtables.py reads its tables. How many."""
        path = npmpack.file(*package)
        pe = peimage.Pe(path)
        tables = independent(pe)
        for begin, end, unwind in pe.rows():
            if begin not in tables:
                continue
            handler, data = pe.handler(unwind)
            lines = kdlens(path, "--json", "--eh", begin).stdout.splitlines()
            self.assertEqual([json.loads(line) for line in lines],
                             self.objects(what, begin, end, handler, pe.get("I", data),
                                          tables[begin]), f"{begin:x}")
        return len(tables)

    def test_tables_of_fixed_size(self):
        if not shutil.which("llvm-readobj"):
            self.skipTest("no llvm-readobj (Debian package llvm)")
        for package, count in ((npmpack.VISUAL_CXX_3, 359), (npmpack.RUST_3, 357)):
            self.assertEqual(self.check_tables(package, "FuncInfo3", ehtables.all_3), count)
            path = npmpack.file(*package)
            pe, handlers = peimage.Pe(path), handlers_of(path)
            self.assertEqual({begin: (pe.handler(unwind) or (0,))[0] for begin, _, unwind
                              in pe.rows()},
                             {begin - pe.base: handler and handler - pe.base
                              for begin, handler in handlers.items()})

    def test_compressed_tables(self):
        handlers = (0x31C34, 0x5A100)  # __CxxFrameHandler4, and with a stack cookie
        self.assertEqual(self.check_tables(npmpack.VISUAL_CXX_4, "FuncInfo4",
                                           lambda pe: ehtables.all_4(pe, handlers)), 231)

    def test_tables_of_fixed_size_as_text(self):
        lines = kdlens(npmpack.file(*npmpack.RUST_3), "--eh", 0x2B00).stdout.splitlines()
        self.assertEqual(lines[:3] + lines[-2:], [
            "function  begin 00002a80  end 00007edd  handler 00044c10",
            "FuncInfo3  info 00052690  flags 1  states 58  try-blocks 1",
            "state  from 00002a80  number -1",
            "try  low 0  high 21  catch-high 22",
            "catch-all  handler 00008db0  type 00000000  adjectives 64  object 0"])


if __name__ == "__main__":
    aotbuild.main()
