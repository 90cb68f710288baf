# test_diff.py - two sessions compared: real ones, and one that was changed in known places.
# SPDX-License-Identifier: BSD-2-Clause-Patent

import json
import struct
import unittest

import kdfiles
import kdoracle
import kdtest
from kdfiles import kdlens, scratch

NAME = "windows-bootmgr-serial"


def imported(lines: list[str], name: str):
    source, path = scratch(f"{name}.jsonl"), scratch(f"{name}.pcapng")
    source.write_text("\n".join(lines) + "\n")
    kdlens("import", source, "-w", path)
    return path


def rows(*arguments, status: int) -> list[dict]:
    done = kdlens("diff", *arguments, "--json", status=status)
    return [json.loads(line) for line in done.stdout.splitlines()]


def summary(found: list[dict]) -> dict:
    return {row["what"]: (row["a"], row["b"], row["only_a"], row["only_b"])
            for row in found if row["kind"] == "summary"}


class Diff(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Imported and exported again: a packet is a line.
        whole = scratch("whole.pcapng")
        kdlens("import", kdfiles.recording(NAME), "-w", whole)
        cls.lines = kdlens("export", whole, "--jsonl", "-", "--relative").stdout.splitlines()
        cls.capture = imported(cls.lines, "original")
        cls.oracle = kdoracle.Session(kdtest.read_recording(kdfiles.recording(NAME)))

    def changed(self, name: str, change):
        """The recording with change(to_target, payload) applied to each request and reply; it
        returns whether it changed it."""
        lines, count = [], 0
        for line in self.lines:
            chunk = json.loads(line)
            data = bytearray.fromhex(chunk["hex"])
            if (data[:6] == b"0000\2\0" and len(data) > 17
                    and len(data) == 17 + struct.unpack_from("<H", data, 6)[0]):
                payload = data[16:-1]
                if change(chunk["dir"] == "h2t", payload):
                    count += 1
                    data[16:-1] = payload
                    struct.pack_into("<I", data, 12, sum(payload))
            lines.append(json.dumps(chunk | {"hex": data.hex()}))
        return imported(lines, name), count

    def test_the_same(self):
        found = rows(self.capture, self.capture, status=0)
        requests = sum(self.oracle.requests.values())
        self.assertEqual(summary(found), {"stop": (8, 8, 0, 0), "module": (1, 1, 0, 0),
                                          "request": (requests, requests, 0, 0)})
        self.assertEqual(len(found), 3)

    def test_one_request_asks_for_less(self):
        changes = []

        def change(to_target, payload):
            api, = struct.unpack_from("<I", payload)
            address, count = struct.unpack_from("<QI", payload, 16)
            asked = to_target and address >> 20 == 0x101 and not changes
            answered = not to_target and changes == [(address - 0x10000000, count)]
            if api != 0x3130 or not (asked or answered):
                return False
            changes.append((address - 0x10000000, count))
            struct.pack_into("<I", payload, 24, count - 1)  # of the request, and of its reply
            return True

        other, count = self.changed("less", change)
        self.assertEqual(count, 2)
        (rva, size), _ = changes
        found = rows(self.capture, other, status=1)
        self.assertEqual([value[2:] for value in summary(found).values()], [(0, 0), (0, 0), (1, 1)])
        self.assertEqual([(row["only"], row["text"]) for row in found if row["kind"] == "request"],
                         [("a", f"ReadVirtualMemory BOOTX64+0x{rva:x} {size} bytes"),
                          ("b", f"ReadVirtualMemory BOOTX64+0x{rva:x} {size - 1} bytes")])

    def test_addresses_outside_of_modules(self):
        def change(to_target, payload):
            api, = struct.unpack_from("<I", payload)
            address, = struct.unpack_from("<Q", payload, 16)
            if api not in (0x3130, 0x3131) or address >> 24 != 0x3F:
                return False
            struct.pack_into("<Q", payload, 16, address - 0x1000)
            return True

        other, count = self.changed("moved", change)
        self.assertGreater(count, 20)
        rows(self.capture, other, status=0)
        found = rows(self.capture, other, "--addresses", status=1)
        self.assertEqual(summary(found)["request"][2], summary(found)["request"][3])
        self.assertGreater(summary(found)["request"][2], 10)

    def test_status(self):
        done = []

        def change(to_target, payload):
            api, = struct.unpack_from("<I", payload)
            if to_target or api != 0x3137 or done:
                return False
            done.append(api)
            struct.pack_into("<I", payload, 8, 0xC0000001)
            return True

        other, _ = self.changed("refused", change)
        found = [row for row in rows(self.capture, other, "--what", "requests", status=1)
                 if row["kind"] == "request"]
        self.assertEqual([row["only"] for row in found], ["a", "b"])
        self.assertRegex(found[1]["text"], r"^ReadControlSpace \d+ bytes, STATUS_UNSUCCESSFUL$")

    def test_cut_short(self):
        other = imported(self.lines[:len(self.lines) // 2], "half")
        found = rows(self.capture, other, status=1)
        for a, b, only_a, only_b in summary(found).values():
            self.assertLessEqual(only_b, 1)  # the last stop is not left, the last request waits
            self.assertEqual(a - only_a, b - only_b)

    def test_text(self):
        other = imported(self.lines[:len(self.lines) // 2], "half")
        text = kdlens("diff", self.capture, other, status=1).stdout
        self.assertRegex(text, r"(?m)^stops: 8 and \d, \d only in the first, 1 only in the second$")
        self.assertRegex(text, r"(?m)^- frame \d+ +exception STATUS_BREAKPOINT at "
                               r"BOOTX64\+0x935c1, processor 0, continue$")
        self.assertRegex(text, r"(?m)^\+ frame \d+ +exception STATUS_BREAKPOINT at "
                               r"BOOTX64\+0x935c1, processor 0, not left$")

    def test_trouble_is_2(self):
        broken = scratch("broken.pcapng")
        broken.write_bytes(self.capture.read_bytes()[:5000])
        kdlens("diff", self.capture, broken, status=2)
        kdlens("diff", self.capture, scratch("absent.pcapng"), status=2)
        kdlens("diff", self.capture, status=2)


if __name__ == "__main__":
    kdfiles.main()
