# test_vm.py - kdlens vm --dry-run: the PowerShell it would run, and that names in it stay names.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS names the program under test; default build/capture-tool/kdlens.

The scripts need Hyper-V to run; here they are read. test_wine.py runs the verb with a test double
of PowerShell.
"""

import os
import random
import re
import subprocess
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PROGRAM = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()
QUOTES = "'\u2018\u2019\u201a\u201b"  # each of them ends a string of PowerShell
ID = "12345678-9abc-def0-1234-56789abcdef0"
ACTIONS = (("show",), ("show", "target"), ("show", "target", "--json"),
           ("set-com", "target", "kd"), ("set-com", ID, "kd", "--port", "2"),
           ("boot", "target", "a.iso"), ("boot", "target", "A.VHDX", "--keep-secure-boot"),
           ("deploy", "target", "kdagent.efi"),
           ("deploy", "target", "a.efi", "--disk", "c.vhdx", "--to", "\\EFI\\a.efi"))


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([PROGRAM, "vm", *arguments], capture_output=True, timeout=20)


def script(*arguments: str) -> str:
    done = run("--dry-run", *arguments)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


def literals(text: str) -> list[str]:
    """The strings in single quotes, as PowerShell reads them; those in double ones are left out."""
    found, at = [], 0
    while at < len(text):
        if text[at] == '"':
            at = text.index('"', at + 1) + 1
            continue
        if text[at] not in QUOTES:
            at += 1
            continue
        value, at = "", at + 1
        while text[at] not in QUOTES or text[at + 1] in QUOTES:
            at += text[at] in QUOTES
            value += text[at]
            at += 1
        found.append(value)
        at += 1
    return found


class Scripts(unittest.TestCase):
    def test_names_stay_names(self):
        names = ["target", "Windows 11 (debug)", "Bob's", "it''s", "'", "''", "a\u2019b\u201b",
                 "$(Stop-Computer)", "$env:PATH", "`n", 'say "hi"', "a;b|c&d>e#f", "web*", "@{}",
                 "--%", "-Name", "\u00fc\u4e2d\U0001f41e", "%q%s%n", "a\\", " "]
        generator = random.Random(10)
        names += ["".join(generator.choice(QUOTES + "\"$`;{}() ab") for _ in range(12))
                  for _ in range(50)]
        for name in names:
            with self.subTest(name):
                if not name.startswith("-"):
                    self.assertIn(name, literals(script("set-com", name, "kd")))
                self.assertIn(name, literals(script("set-com", "--", name, "kd")))
                self.assertIn(name, literals(script("set-com", "target", "--", name)))
                self.assertIn(name, literals(script("deploy", "target", "f", "--disk=" + name)))

    def test_only_the_machine_that_is_named(self):
        for arguments in ACTIONS:
            with self.subTest(arguments):
                text = script(*arguments)
                for verb in re.findall(r"\b(?:Set|Add|Start|Stop|Remove|New)-VM.*", text):
                    self.assertRegex(verb, r"^\S+ (-VM \$vm|-VMDvdDrive \$drive)( |$)")
                self.assertNotRegex(text, r"(?i)process|taskkill|-like|Get-VM -")
                if len(arguments) > 1:
                    name = "Id" if arguments[1] == ID else "Name"
                    self.assertIn(f"$name = '{arguments[1]}'\n", text)
                    self.assertIn(f"$_.{name} -eq $name", text)

    def test_the_disk_is_let_go_in_any_case(self):
        text = script("deploy", "target", "kdagent.efi")
        mounted, freed = text.index("Mount-VHD"), text.index("Dismount-VHD")
        self.assertLess(text.index("Stop-VM"), mounted)
        self.assertRegex(text[mounted:], r"^Mount-VHD .*\ntry \{\n")
        self.assertLess(text.index("} finally {"), freed)
        self.assertLess(freed, text.index("Start-VM"))

    def test_pipes(self):
        self.assertIn("$pipe = '\\\\.\\pipe\\' + 'kd'\n", script("set-com", "target", "kd"))
        self.assertIn("$pipe = '\\\\.\\pipe\\kd'\n", script("set-com", "target", "\\\\.\\pipe\\kd"))
        self.assertIn("$number = 2\n", script("set-com", "target", "kd", "--port", "2"))

    def test_secure_boot(self):
        self.assertIn("-EnableSecureBoot Off", script("boot", "target", "a.iso"))
        self.assertNotIn("SecureBoot", script("boot", "target", "a.iso", "--keep-secure-boot"))

    def test_what_is_wrong(self):
        for arguments in ((), ("reboot",), ("set-com", "target"), ("deploy", "target"),
                          ("boot", "target", "a.txt"), ("show", "a", "b"), ("set-com", "", "kd"),
                          ("set-com", "target", "kd", "--port", "3"), ("show", "a\nb"),
                          ("deploy", "target", "f", "--to", "..\\..\\x"),
                          ("show", "x" * 20000)):
            with self.subTest(arguments):
                done = run(*arguments, "--dry-run")
                self.assertEqual((done.returncode, done.stdout), (2, b""))
                self.assertTrue(done.stderr)

    def test_without_hyper_v(self):
        done = run("show")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"needs Windows", done.stderr)
        self.assertIn(b"--dry-run", done.stderr)


if __name__ == "__main__":
    unittest.main()
