# test_help.py - help, man page and completions of kdlens say the same, and work.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""All are written from the same tables; here they are read as their users do."""

import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PROGRAM = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()


def kdlens(*arguments, status: int = 0) -> str:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == status, f"{arguments}: {done}"
    return done.stdout + (done.stderr if status else "")


def verbs() -> list[str]:
    section = kdlens("--help").split("Verbs:\n")[1].split("\n\n")[0]
    return re.findall(r"^  (\w[\w-]*)", section, re.MULTILINE)


def options(verb: str) -> list[str]:
    section = kdlens(verb, "--help").split("Options:\n")[1].split("\n\n")[0]
    return re.findall(r"^ {2,6}(?:-\w, )?--([\w-]+)", section, re.MULTILINE)


class Help(unittest.TestCase):
    def test_verbs_have_help(self):
        self.assertIn("tap", verbs())
        for verb in verbs():
            text = kdlens(verb, "--help")
            self.assertTrue(text.startswith(f"Usage: kdlens {verb}"), verb)
            self.assertEqual(kdlens("help", verb), text)
            self.assertIn("help", options(verb))
            for line in text.split("\nExamples:")[0].splitlines():
                self.assertLessEqual(len(line), 140, f"{verb}: {line}")

    def test_general_help(self):
        self.assertEqual(kdlens("--help"), kdlens("help"))
        self.assertEqual(kdlens("--help"), kdlens("-h"))
        self.assertRegex(kdlens("--version"), r"^kdlens \d+\.\d+\.\d+\n$")
        self.assertIn("Usage:", kdlens(status=2))
        self.assertIn("did you mean tap?", kdlens("tip", status=2))

    def test_man_page(self):
        page = kdlens("help", "--man")
        plain = page.replace("\\-", "-")
        for verb in verbs():
            self.assertIn(f".SS kdlens {verb}", plain)
            for option in options(verb):
                if option != "help":
                    self.assertIn(f"--{option}", plain.split(f".SS kdlens {verb}")[1])
        if not shutil.which("groff"):
            self.skipTest("no groff to read it with")
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page,
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class Completions(unittest.TestCase):
    def complete_bash(self, *words: str) -> list[str]:
        """What bash offers for the last word."""
        script = (kdlens("help", "--bash") + f"\nCOMP_WORDS=({' '.join(words)!s})\n"
                  if words[-1] else
                  kdlens("help", "--bash") + f"\nCOMP_WORDS=({' '.join(words[:-1])} '')\n")
        script += (f"COMP_CWORD={len(words) - 1}\ncompopt() {{ :; }}\n_kdlens\n"
                   "printf '%s\\n' \"${COMPREPLY[@]}\"\n")
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=HERE)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    @unittest.skipUnless(shutil.which("bash"), "no bash")
    def test_bash(self):
        self.assertEqual(set(self.complete_bash("kdlens", "")) - {"--help", "--version"},
                         set(verbs()))
        for verb in verbs():
            offered = self.complete_bash("kdlens", verb, "--")
            self.assertEqual({word.removeprefix("--") for word in offered}, set(options(verb)))
        self.assertEqual(self.complete_bash("kdlens", "tap", "--on-disconnect", "w"), ["wait"])
        self.assertEqual(self.complete_bash("kdlens", "tap", "unix-"), ["unix-listen:"])
        self.assertIn("test_help.py", self.complete_bash("kdlens", "tap", "-w", "test_h"))

    @unittest.skipUnless(shutil.which("zsh"), "no zsh")
    def test_zsh(self):
        done = subprocess.run(["zsh", "-n"], input=kdlens("help", "--zsh"), capture_output=True,
                              text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    @unittest.skipUnless(shutil.which("fish"), "no fish")
    def test_fish(self):
        done = subprocess.run(["fish", "--no-execute"], input=kdlens("help", "--fish"),
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_all_name_every_option(self):
        for shell in ("bash", "zsh", "fish"):
            text = kdlens("help", f"--{shell}")
            for verb in verbs():
                self.assertIn(verb, text)
                for option in options(verb):
                    named = f"-l {option}" if shell == "fish" else f"--{option}"
                    self.assertIn(named, text, f"{shell}, {verb}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
