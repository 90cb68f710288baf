# test_aot_images.py - names, dehydrated data and dispatch maps of real NativeAOT images.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The images are those of npm packages, fetched at test time. What lib/image says (AOT_DUMP) is
held against the counts that an independent decoder gave, and against .pdata and section headers as
they are read here."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import aotbuild
import npmpack
from peimage import Pe

AOT_DUMP = os.environ.get("AOT_DUMP") or str(HERE.parent.parent / "build/tests/rt/aot_dump")
MEMBER = "win-x64/Microsoft.JavaScript.NodeApi.node"
NET7 = ("node-api-dotnet@0.2.33",
        "2f39168690f587ba2e6c1082fcba26ec5761213b47f629f3ea70aa764819920c")
NET8 = ("node-api-dotnet@0.4.27",
        "160daeffadff64f1218a0330365686f75aa16d3d47f64127698871c2688e5cc3")
NET10 = ("node-api-dotnet@0.9.27",
         "7e67e37d1fbe3ede7e513cd3a730d1d6d6b609a108514f00c382db180e0c59e9")


def dump(path, *words) -> list[str]:
    done = subprocess.run([AOT_DUMP, path, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.splitlines()


class Names(unittest.TestCase):
    def check(self, package: tuple, version: str, count: int) -> tuple[Path, dict]:
        path = npmpack.file(package[0], MEMBER, package[1])
        self.assertTrue(dump(path, "header")[0].startswith(f"version {version} "))
        rows = [line.split("\t") for line in dump(path, "names", "parameters")]
        self.assertEqual(len(rows), count)
        self.assertEqual([row for row in rows if "cut" in row[2:] or "unknown" in row[2:]], [])
        starts = {begin for begin, _ in Pe(path).functions()}
        self.assertEqual([row for row in rows if int(row[0], 16) not in starts], [])
        return path, {int(row[0], 16): row[1] for row in rows}

    def test_net7(self):
        _, names = self.check(NET7, "8.0", 5841)
        texts = {name.split("(")[0] for name in names.values()}
        self.assertIn("System.Reflection.AssemblyName.set_Flags", texts)
        self.assertIn("Microsoft.JavaScript.NodeApi.JSErrorInfo.GetLastErrorInfo", texts)

    def test_net8(self):
        self.check(NET8, "9.1", 3954)

    def test_net10(self):
        _, names = self.check(NET10, "16.0", 3272)
        self.assertIn("<Module>..cctor()", names.values())

    def test_a_name_ends_with_its_function(self):
        path = npmpack.file(NET7[0], MEMBER, NET7[1])
        names = {int(row[0], 16): row[1]
                 for row in (line.split("\t") for line in dump(path, "names"))}
        managed, size = Pe(path).sections[".managed"]
        functions = [function for function in Pe(path).functions()
                     if managed <= function[0] < managed + size]
        self.assertEqual(len(functions), 6948)
        places = [place for begin, end in functions for place in (begin, end - 1)]
        found = dump(path, "at", *[f"{place:x}" for place in places])
        self.assertEqual(len(found), len(places))
        nameless = 0
        for (begin, end), first, last in zip(functions, found[::2], found[1::2]):
            name = names.get(begin)
            nameless += name is None
            if name is None and first != "not found":
                # A part of a function whose first row has the name; then both say the same.
                self.assertEqual(first.rsplit("+", 1)[0], last.rsplit("+", 1)[0])
            elif name is None:
                self.assertEqual(last, "not found")
            else:
                self.assertEqual((first, last), (f"{name}+0", f"{name}+{end - 1 - begin:x}"))
        self.assertEqual(nameless, 6948 - len(set(names) & {begin for begin, _ in functions}))
        self.assertGreater(nameless, 500)

    def test_nothing_outside_functions_has_a_name(self):
        path = npmpack.file(NET7[0], MEMBER, NET7[1])
        functions = sorted(Pe(path).functions())
        gaps = [end for (_, end), (begin, _) in zip(functions, functions[1:]) if end < begin]
        self.assertGreater(len(gaps), 1000)
        found = dump(path, "at", *[f"{place:x}" for place in gaps])
        self.assertEqual(set(found), {"not found"})


class Dehydrated(unittest.TestCase):
    def test_net8_fills_its_section_exactly(self):
        path = npmpack.file(NET8[0], MEMBER, NET8[1])
        at, size = Pe(path).sections["hydrated"]
        self.assertEqual(dump(path, "hydrate"), [f"{at:x} {size:x}"])
        self.assertEqual(size, 331576)

    def test_the_others_have_none(self):
        for package in (NET7, NET10):
            path = npmpack.file(package[0], MEMBER, package[1])
            self.assertEqual(dump(path, "hydrate"), ["0 0"])


class Dispatch(unittest.TestCase):
    @staticmethod
    def strings(image: Pe, manager: int) -> list[int]:
        """MethodTables of strings: elements of 2 bytes, 22 bytes when empty, and in the tail the
        distance to the type manager."""
        found = []
        for rva in range(0, len(image.memory) - 64, 8):
            size, base = struct.unpack_from("<H2xI", image.memory, rva)
            if (size, base) != (2, 22):
                continue
            virtuals, interfaces = struct.unpack_from("<HH", image.memory, rva + 16)
            tail = rva + 24 + 8 * (virtuals + interfaces)
            if tail + 4 <= len(image.memory) and tail + image.get("i", tail) == manager:
                found.append(rva)
        return found

    def test_string_of_net7(self):
        path = npmpack.file(NET7[0], MEMBER, NET7[1])
        image = Pe(path)
        sections = {words[1]: int(words[2], 16) for words in
                    (line.split() for line in dump(path, "header")) if words[0] == "section"}
        (string,) = self.strings(image, sections["204"])
        lines = dump(path, "types", f"{string:x}")
        self.assertTrue(lines[0].endswith("entries 17 0 0 0"), lines[0])
        self.assertEqual(len(lines), 18)
        names = dict(line.split("\t")[:2] for line in dump(path, "names"))
        starts = {begin for begin, _ in image.functions()}
        targets = []
        for line in lines[1:]:
            kind, interface, slot, _, _, where, target = line.split()
            self.assertEqual(kind, "std")
            self.assertIn(int(target, 16), starts)
            self.assertEqual(dump(path, "resolve", f"{string:x}", interface, f"{int(slot):x}"),
                             [target])
            targets.append((where, names.get(target)))
        self.assertEqual(targets[0], ("sealed", "System.String.CompareTo"))
        found = {name.rsplit(".", 1)[1] for _, name in targets if name}
        self.assertLessEqual({"GetEnumerator", "GetTypeCode", "ToBoolean", "ToChar"}, found)


class Refusals(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="kdlens-aot-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def patched(self, change) -> Path:
        source = npmpack.file(NET10[0], MEMBER, NET10[1])
        header = int(dump(source, "header")[0].split()[-1], 16)
        image = Pe(source)
        signature = bytes(image.memory[header:header + 16])
        data = bytearray(source.read_bytes())
        self.assertEqual(data.count(signature), 1)
        change(data, data.index(signature))
        path = self.folder / "image"
        path.write_bytes(data)
        return path

    def refusal(self, change) -> str:
        with self.assertRaises(RuntimeError) as raised:
            dump(self.patched(change), "names")
        return str(raised.exception)

    def test_another_version_is_refused_by_number(self):
        text = self.refusal(lambda data, at: struct.pack_into("<HH", data, at + 4, 17, 3))
        self.assertIn("version 17.3", text)
        self.assertIn("not known", text)

    def test_a_header_that_does_not_fit_is_none(self):
        text = self.refusal(lambda data, at: struct.pack_into("<B", data, at + 14, 12))
        self.assertIn("not made by NativeAOT", text)

    def test_rows_that_lead_out_are_refused(self):
        text = self.refusal(lambda data, at: struct.pack_into("<Q", data, at + 24, 1 << 40))
        self.assertIn("not made by NativeAOT", text)


if __name__ == "__main__":
    aotbuild.main()
