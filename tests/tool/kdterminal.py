# kdterminal.py - a terminal for tests: a program on a pty, and the screen that a person would see.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Fixture for what a program draws on a terminal.

  with Terminal([program, ...]) as terminal:
      terminal.wait(lambda screen: "kd> " in screen.lines)
      terminal.type("text", LEFT, ENTER)
The screen knows the control sequences of the kind of terminal named by KIND that the tests meet;
any other one is an error, so that nothing passes unseen.
"""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import kdtap

KIND, COLUMNS, ROWS = "xterm", 80, 24
LEFT, RIGHT, UP, DOWN, HOME = "\033[D", "\033[C", "\033[A", "\033[B", "\001"
ENTER, TAB, INTERRUPT, END, SUSPEND = "\r", "\t", "\003", "\004", "\032"
SEQUENCE = re.compile(rb"\033(?:\[([?0-9;]*)([@-~])|[()]B|[=>])")


class Screen:
    """Rows of text and a cursor; rows that scroll out at the top stay in `lines`."""

    def __init__(self, columns: int = COLUMNS):
        self.columns = columns
        self.rows = [[]]
        self.row = self.column = 0
        self.insert = False
        self.rest = b""

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.rows]

    @property
    def before_cursor(self) -> str:
        return "".join(self.rows[self.row][:self.column])

    @property
    def last(self) -> str:
        """The last line, with its blanks, when nothing is below the cursor's row."""
        return "".join(self.rows[-1])

    def feed(self, data: bytes):
        data, self.rest = self.rest + data, b""
        while data:
            if data[0] == 0x1b:
                match = SEQUENCE.match(data)
                if not match:
                    if len(data) > 16:
                        raise AssertionError(f"unknown control sequence {data[:16]}")
                    self.rest = data
                    return
                if match[2]:
                    self.control(match[1].decode(), match[2].decode())
                data = data[match.end():]
            else:
                self.put(chr(data[0]))
                data = data[1:]

    def line_feed(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def put(self, character: str):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.line_feed()
        elif character == "\b":
            self.column = max(0, min(self.column, self.columns - 1) - 1)
        elif character == "\a":
            pass
        elif character < " ":
            raise AssertionError(f"unknown control character {character!r}")
        else:
            if self.column == self.columns:
                self.column = 0
                self.line_feed()
            row = self.rows[self.row]
            row += " " * (self.column - len(row))
            row[self.column:self.column + (not self.insert)] = [character]
            self.column += 1

    def control(self, numbers: str, what: str):
        row = self.rows[self.row]
        count = int(numbers) if numbers.isdigit() else 0
        if what == "A":
            self.row = max(0, self.row - max(count, 1))
        elif what == "B":
            self.row = min(len(self.rows) - 1, self.row + max(count, 1))
        elif what == "C":
            self.column = min(self.columns - 1, self.column + max(count, 1))
        elif what == "D":
            self.column = max(0, self.column - max(count, 1))
        elif what == "G":
            self.column = max(count, 1) - 1
        elif what == "J" and count == 0:
            del row[self.column:], self.rows[self.row + 1:]
        elif what == "K" and count == 0:
            del row[self.column:]
        elif what == "P":
            del row[self.column:self.column + max(count, 1)]
        elif what == "@":
            row[self.column:self.column] = " " * max(count, 1)
        elif what in "hl" and numbers == "4":
            self.insert = what == "h"
        elif what not in "mhl":
            raise AssertionError(f"unknown control sequence CSI {numbers} {what}")


class Terminal:
    """A program whose controlling terminal this is."""

    def __init__(self, command: list, environment: dict, stdout=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("<4H", ROWS, COLUMNS, 0, 0))
        self.settings = termios.tcgetattr(slave)
        self.slave = slave
        self.screen = Screen()
        self.seen = b""
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave if stdout is None else stdout, stderr=slave,
            start_new_session=True, env={**os.environ, "TERM": KIND, **environment},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)

    def read(self, seconds: float) -> bool:
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        data = os.read(self.master, 4096)
        self.seen += data
        self.screen.feed(data)
        return True

    def wait(self, condition, what: str = ""):
        """Until the screen is so; shows it when that does not happen."""
        limit = time.monotonic() + kdtap.PATIENCE
        while not condition(self.screen):
            if time.monotonic() > limit:
                lines = "\n".join(self.screen.lines)
                raise AssertionError(f"waited in vain for {what or 'the screen'}; it is:\n{lines}")
            self.read(0.1)

    def type(self, *keys: str):
        os.write(self.master, "".join(keys).encode())

    def end(self) -> int:
        """Waits for the program; its exit status."""
        limit = time.monotonic() + kdtap.PATIENCE
        while self.process.poll() is None:
            if time.monotonic() > limit:
                raise AssertionError(f"it does not end: {self.screen.lines}")
            self.read(0.1)
        while self.read(0):
            pass
        return self.process.returncode
