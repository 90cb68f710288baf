# windbg.py - WinDbg's engine as a peer: start it, give it commands, read what it says, stop it.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""
    with Engine(tcp(5555), initial_break=True) as engine:
        engine.wait_stopped()
        print(engine.command("r"))
        engine.command("g")              # the target runs
        engine.break_in()                # and is stopped again
        engine.stop()

setup.sh says whether the engine can be had here: missing() is None, or the reason. Paths that the
engine is given are those of Windows: windows_path().

The engine reads its connection only while it waits for the target or runs a command. What the
target does meanwhile (a machine that is reset, for one) it sees at the next of these.
"""

import atexit
import functools
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

SETUP = Path(__file__).resolve().parent / "setup.sh"
PATIENCE = 60.0      # seconds until something must have happened
SETUP_PATIENCE = 1800.0
BREAK_IN_PERIOD = 2.0
READ_TIMEOUT = 300   # ms; with the engine's own 4 s every break-in waits that long under Wine
_MARK = re.compile("\x1e([^\x1f]*)\x1f")


@functools.cache
def _setup() -> tuple[Path | None, str | None]:
    done = subprocess.run([SETUP], capture_output=True, text=True, timeout=SETUP_PATIENCE)
    if done.returncode == 0:
        return Path(done.stdout.strip()), None
    reason = done.stderr.strip() or f"setup.sh ended with {done.returncode}"
    if done.returncode != 77:
        raise RuntimeError(reason)
    return None, reason


def missing() -> str | None:
    """Why the engine cannot be had here."""
    return _setup()[1]


def host() -> Path:
    program, reason = _setup()
    if not program:
        raise RuntimeError(reason)
    return program


def prefix() -> Path:
    """The Wine prefix. Programs that are to meet on a named pipe run in the same one."""
    return host().parent / "prefix"


def wine() -> str:
    return shutil.which("wine64") or "/usr/lib/wine/wine64"


def environment(**more: str) -> dict:
    """For a program under Wine in the prefix; the engine's own DLLs, not Wine's of that name."""
    kept = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    overrides = "dbgeng,dbghelp,dbgmodel,dbgcore,msdia140=n;winedbg.exe=d;mscoree,mshtml="
    return kept | {"WINEPREFIX": str(prefix()), "WINEDEBUG": "-all", "LC_ALL": "C.UTF-8",
                   "WINEDLLOVERRIDES": overrides} | more


def windows_path(path) -> str:
    return "Z:" + str(Path(path).resolve()).replace("/", "\\")


# --- connections, as windbg -k has them


def tcp(port: int, host: str = "127.0.0.1") -> str:
    """To a target, or a tap, that listens there already: the engine does not try again."""
    return f"com:ipport={port},port={host},timeout={READ_TIMEOUT}"


def pipe(name: str) -> str:
    """To a named pipe that a program in the same prefix has made."""
    name = name if name.startswith("\\") else f"\\\\.\\pipe\\{name}"
    return f"com:pipe,port={name},resets=0,reconnect,timeout={READ_TIMEOUT}"


def net(port: int, key: str) -> str:
    """KDNET: the engine waits on this UDP port."""
    return f"net:port={port},key={key}"


class Late(AssertionError):
    """What was awaited did not come in time."""


class Ended(AssertionError):
    """The engine has ended before what was awaited came."""


class Engine:
    """A running engine; a context manager that ends it.

    text         all that it has printed so far
    state        "starting", "attached" (waits for the target), "stopped", "running", "ended"
    connection   as windbg -k has it, or with dump the file to open
    symbols      symbol path of Windows, several folders with ; between them; the engine searches
                 through all that is in them
    initial_break  break in as soon as the target is there
    total        seconds after which it ends by itself, whatever happens
    """

    def __init__(self, connection: str = "", *, dump=None, symbols: str | None = None,
                 initial_break: bool = False, total: float = 600, show_protocol: bool = False):
        target = ["--dump", windows_path(dump)] if dump else [connection]
        self._command = [wine(), host(), "--limit", str(max(1, round(total))),
                         *(["--initial-break"] if initial_break else []),
                         *(["--symbols", symbols] if symbols else []),
                         *(["--show-protocol"] if show_protocol else []), *target]
        self._total = total
        self._process: subprocess.Popen | None = None
        self.start()

    # --- life

    def start(self):
        assert not self.alive, "it runs already"
        self.text = ""
        self.state = "starting"
        self.marks: list[tuple[str, int]] = []  # each with the length of text before it
        self._changed = threading.Condition()
        self._ended = False
        self._sent = 0
        self._process = subprocess.Popen(
            self._command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        atexit.register(self.kill)
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self):
        """At once, as a debugger that crashes; the target is left as it is."""
        if not self._process:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(PATIENCE)
        for end in self._process.stdin, self._process.stdout:
            try:
                end.close()
            except OSError:
                pass
        atexit.unregister(self.kill)

    def stop(self, patience: float = PATIENCE) -> int | None:
        """Leaves a stopped target running and ends; whatever does not is killed. The exit status,
        None when it was killed."""
        status = None
        if self.alive and self.state == "stopped":
            self.send("q")
            try:
                status = self._process.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        self.kill()
        return status

    def restart(self):
        """Kills it and starts a new one for the same connection."""
        self.kill()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    # --- what it says

    def _read(self, process: subprocess.Popen):
        pending = ""
        while data := os.read(process.stdout.fileno(), 1 << 16):
            pending = self._take(pending + data.decode("latin-1").replace("\r", ""))
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, data: str) -> str:
        """What is complete of data; the mark that is not is returned."""
        begun = data.rfind("\x1e")
        cut = begun if begun > data.rfind("\x1f") else len(data)
        pieces = _MARK.split(data[:cut])
        with self._changed:
            for number, piece in enumerate(pieces):
                if number % 2 == 0:
                    self.text += piece
                else:
                    self.marks.append((piece, len(self.text)))
                    word = piece.split()[-1] if piece else ""
                    if word in ("attached", "stopped", "running", "ended"):
                        self.state = word
            self._changed.notify_all()
        return data[cut:]

    def _wait(self, condition, what: str, patience: float):
        """The first true value of condition(), which is asked whenever something was said."""
        limit = time.monotonic() + patience
        with self._changed:
            while not (result := condition()):
                if self._ended:
                    raise Ended(f"WinDbg ended before {what}; it said:\n{self.report()}")
                left = limit - time.monotonic()
                if left <= 0:
                    raise Late(f"WinDbg: waited in vain for {what}; it said:\n"
                                         f"{self.report()}")
                self._changed.wait(left)
        return result

    def report(self) -> str:
        """The end of the text and of the marks, for messages."""
        return f"{self.text[-4000:]}\n(state {self.state}, marks {self.marks[-8:]})"

    def wait_text(self, pattern: str, *, after: int = 0, patience: float = PATIENCE) -> re.Match:
        """A match of this regular expression in text[after:]."""
        expression = re.compile(pattern)
        return self._wait(lambda: expression.search(self.text, after), repr(pattern), patience)

    def wait_state(self, state: str, patience: float = PATIENCE):
        self._wait(lambda: self.state == state, f"state {state}", patience)

    def wait_stopped(self, patience: float = PATIENCE):
        self.wait_state("stopped", patience)

    @property
    def stops(self) -> int:
        """How often the target has stopped since the engine was started."""
        return sum(mark == "stopped" for mark, _ in list(self.marks))

    def wait_stops(self, count: int, patience: float = PATIENCE):
        """Until it has stopped so often: a target that was reset stops once more."""
        self._wait(lambda: self.stops >= count, f"stop {count}", patience)

    def _position(self, mark: str) -> int | None:
        """The length of the text when a mark with this beginning came; 0 is possible."""
        return next((at for text, at in self.marks if f"{text} ".startswith(f"{mark} ")), None)

    # --- what it is told

    def _write(self, line: str):
        assert "\n" not in line
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Ended(f"WinDbg has ended; it said:\n{self.report()}") from error

    def send(self, command: str) -> int:
        """Has a command run as soon as the target is stopped; its number, for wait_done. Several
        may be sent; they are run in order."""
        assert command.strip() and not command.startswith(">")
        self._sent += 1
        self._write(command)
        return self._sent

    def wait_done(self, number: int, patience: float = PATIENCE) -> str:
        """The text of the command with this number."""
        self._wait(lambda: self._position(f"done {number}") is not None, f"command {number}",
                   patience)
        return self.text[self._position(f"begin {number}"):self._position(f"done {number}")]

    def command(self, command: str, patience: float = PATIENCE) -> str:
        """Runs a command; its text. After one that lets the target run, the state is "running" or,
        when the target has stopped again already, "stopped"."""
        return self.wait_done(self.send(command), patience)

    def step(self, command: str = "t", patience: float = PATIENCE) -> str:
        """The same until the target is stopped again, with all that is said by then."""
        start = len(self.text)
        self.command(command, patience)
        self.wait_stopped(patience)
        return self.text[start:]

    def break_in(self, patience: float = PATIENCE):
        """Until the target is stopped. It is asked for again and again: the engine may lose one
        that comes while it resumes the target."""
        limit = time.monotonic() + patience
        while self.state != "stopped":
            self._write(">break")
            try:
                self.wait_stopped(BREAK_IN_PERIOD)
            except Late:
                if time.monotonic() >= limit:
                    raise

    def answer(self, text: str):
        """What the target is given from now on when it asks for input."""
        self._write(f">answer {text}")
