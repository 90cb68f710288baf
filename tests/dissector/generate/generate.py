#!/usr/bin/env python3
# generate.py - writes the stored captures and their goldens from the stories.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Usage: generate.py [folder for captures [folder for goldens]]

By default it writes pcaps/*.pcapng and tests/dissector/golden/*.json. The same stories make the
same bytes on every machine. It prints the hashes that pcaps/README.md lists.
"""

import hashlib
import sys
from pathlib import Path

import stories_link
import stories_network
import stories_session
import stories_targets
import stories_vmbus

REPOSITORY = Path(__file__).resolve().parents[3]
MODULES = (stories_session, stories_link, stories_targets, stories_network, stories_vmbus)


def stories() -> list:
    """All stories, told."""
    return [tell() for module in MODULES for tell in module.STORIES]


def write(captures: Path, goldens: Path) -> list[str]:
    """Write everything; the names of the captures."""
    names = []
    for story in stories():
        (captures / f"{story.name}.pcapng").write_bytes(story.capture())
        (goldens / f"{story.name}.json").write_text(story.golden(), encoding="utf-8")
        names.append(story.name)
    return names


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:]]
    captures = folders[0] if folders else REPOSITORY / "pcaps"
    goldens = folders[1] if len(folders) > 1 else REPOSITORY / "tests/dissector/golden"
    for name in write(captures, goldens):
        path = captures / f"{name}.pcapng"
        print(f"{digest(path)}  {path.name}")


if __name__ == "__main__":
    main()
