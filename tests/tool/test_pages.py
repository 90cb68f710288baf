# test_pages.py - the man page and completions in the tree are those of the program.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether they work is test_help.py's; here, whether they are there and up to date."""

import os
import re
import subprocess
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PROGRAM = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()
TOOL = REPOSITORY / "capture-tool"
PAGES = {"man": TOOL / "man/kdlens.1",
         "bash": TOOL / "completions/kdlens.bash",
         "zsh": TOOL / "completions/_kdlens",
         "fish": TOOL / "completions/kdlens.fish"}
WRITE = "write them again: cmake --build build --target kdlens_pages"


def kdlens(*arguments: str) -> str:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and not done.stderr, f"{arguments}: {done}"
    return done.stdout


class Pages(unittest.TestCase):
    maxDiff = None

    def test_they_are_what_the_program_writes(self):
        for kind, path in PAGES.items():
            with self.subTest(page=path.name):
                self.assertEqual(path.read_text(encoding="utf-8"), kdlens("help", f"--{kind}"),
                                 WRITE)

    def test_they_name_what_the_help_names(self):
        section = kdlens("--help").split("Verbs:\n")[1].split("\n\n")[0]
        verbs = re.findall(r"^  (\w[\w-]*)", section, re.MULTILINE)
        self.assertGreater(len(verbs), 5)
        texts = {path.name: path.read_text(encoding="utf-8").replace("\\-", "-")
                 for path in PAGES.values()}
        for verb in verbs:
            section = kdlens(verb, "--help").split("Options:\n")[1].split("\n\n")[0]
            options = re.findall(r"^ {2,6}(?:-\w, )?--([\w-]+)", section, re.MULTILINE)
            for name, text in texts.items():
                with self.subTest(verb=verb, page=name):
                    self.assertRegex(text, rf"\b{verb}\b", WRITE)
                    for option in set(options) - {"help"}:
                        form = f"-l {option}" if name.endswith(".fish") else f"--{option}"
                        self.assertIn(form, text, WRITE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
