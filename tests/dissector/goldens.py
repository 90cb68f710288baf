# goldens.py - stored captures and their goldens, compared with what tshark and sharkd decode.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How the goldens of generate/ are compared with tshark and sharkd.

A decoded frame is a dict: field name -> list of values as text. generate/kdscript.py says what the
values of a golden mean.
"""

import json
import re
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import kdtest

PCAPS = kdtest.REPOSITORY / "pcaps"
GOLDEN = kdtest.HERE / "golden"

# An expert item of these, and of all of VMBus, that a golden does not state must not be there.
EXPERTS = (
    *(f"kd.expert.{name}" for name in (
        "checksum", "trailer", "resend", "reset", "duplicate", "desync", "unanswered",
        "unacknowledged", "noise", "status", "short_read", "unknown_api", "length", "stray_ack",
        "lost_bytes")),
    *(f"kdnet.expert.{name}" for name in (
        "hmac", "wrong_key", "no_session_key", "replay", "version", "bad_datagram", "direction",
        "old_key", "restart")))

# Known only when later packets were seen: absent in one pass.
HINDSIGHT = ("kd.response_in", "kd.ack_in", "kd.fragment.in", "kdnet.response_in",
             "vmbus.response_in", "vmbus.gpadl.complete_in")
HINDSIGHT_EXPERTS = ("kd.expert.unanswered", "kd.expert.unacknowledged",
                     "kdnet.expert.unanswered", "vmbus.expert.unanswered")
OURS = r"(kd|kdnet|vmbus)\."


class Golden:
    """One golden file."""

    def __init__(self, path: Path):
        content = json.loads(path.read_text(encoding="utf-8"))
        self.name = path.stem
        self.capture = PCAPS / content["capture"]
        self.frames = content["frames"]
        self.same_packets_as = content.get("same_packets_as")
        self.port = content.get("port", "")  # the preference that names the port
        self._keys = content.get("keys", [])
        self._preferences = content.get("preferences", [])

    def preferences(self) -> list[str]:
        """For -o; keys are given as a user would, one as the key and several in a key-log file."""
        preferences = list(self._preferences)
        if len(self._keys) == 1:
            preferences.append(f"kdnet.key:{self._keys[0]}")
        elif self._keys:
            log = kdtest.scratch(f"{self.name}.keys")
            log.write_text("".join(f"{line}\n" for line in self._keys), encoding="ascii")
            preferences.append(f"kdnet.keylog_file:{log}")
        return preferences

    def names(self) -> set[str]:
        """Every field that some record states."""
        stated = (set(frame["facts"]) | set(frame.get("later", [])) for frame in self.frames)
        return set(experts()).union(*stated)


def load() -> list[Golden]:
    return [Golden(path) for path in sorted(GOLDEN.glob("*.json"))]


@lru_cache(maxsize=None)
def own_fields() -> tuple[str, ...]:
    """Every field of the plugin."""
    lines = kdtest.run("tshark", ["-G", "fields"]).stdout.splitlines()
    names = (line.split("\t")[2] for line in lines if line.startswith("F\t"))
    return tuple(sorted({name for name in names if re.match(OURS, name)}))


@lru_cache(maxsize=None)
def experts() -> tuple[str, ...]:
    """Every expert item that must be stated where it is."""
    return (*EXPERTS, *(name for name in own_fields() if name.startswith("vmbus.expert.")))


@lru_cache(maxsize=None)
def decoded(golden: Golden, two_pass: bool = False) -> list[dict]:
    """All that tshark shows of the plugin's fields, and the Info column: a dict for each frame."""
    # Hundreds of fields of VMBus need not be asked for where there is none.
    ours = [name for name in own_fields()
            if golden.name.startswith("vmbus") or not name.startswith("vmbus.")]
    names = [*ours, "_ws.malformed", kdtest.INFO]
    none = dict.fromkeys(own_fields(), [])
    rows = kdtest.fields(golden.capture, names, *golden.preferences(), two_pass=two_pass,
                         multiple=True)
    return [none | dict(zip(names, row)) for row in rows]


def visited(session: kdtest.Sharkd, number: int) -> dict:
    """sharkd's fields of one frame, from the display filter each item of the tree offers."""
    fields: dict = {}

    def walk(nodes: list) -> None:
        for node in nodes:
            name, _, value = node.get("f", "").partition(" == ")
            if re.match(OURS, name):
                if value.startswith('"'):
                    value = value[1:-1]
                fields.setdefault(name, []).append({"True": "1", "False": "0"}.get(value, value))
            walk(node.get("n", []))

    walk(session.frame(number)["tree"])
    return fields


# --- comparison


CONTROLS = {"\r": "\\r", "\n": "\\n", "\t": "\\t"}
QUOTES = {"\\": "\\\\", '"': '\\"'}


def _escaped(text: str, escapes: dict) -> str:
    return "".join(escapes.get(character, character) for character in text)


def _same_text(expected: str, actual: str) -> bool:
    """As it is, or with the escapes that some versions and programs put into text."""
    return actual in (expected, _escaped(expected, CONTROLS), _escaped(expected, QUOTES),
                      _escaped(expected, CONTROLS | QUOTES))


def _same(expected, actual: str) -> bool:
    if isinstance(expected, dict) and "bytes" in expected:
        return bytes.fromhex(expected["bytes"]) == bytes.fromhex(actual.replace(":", ""))
    if isinstance(expected, dict):
        return Decimal(expected["seconds"]) == Decimal(actual)
    if isinstance(expected, int) or re.fullmatch(r"0x[0-9a-f]+", expected):
        number = expected if isinstance(expected, int) else int(expected, 16)
        return bool(re.fullmatch(r"0x[0-9a-fA-F]+|\d+", actual)) and int(actual, 0) == number
    return _same_text(expected, actual)


def _holds(expected, values: list[str]) -> bool:
    if expected is None:
        return not values
    if expected is True:
        return bool(values) and values != ["0"]
    if expected is False:
        return values == ["0"]
    expected = expected if isinstance(expected, list) else [expected]
    return len(expected) == len(values) and all(map(_same, expected, values))


def differences(frame: dict, values: dict, one_pass: bool) -> list[str]:
    """What a decoded frame lacks or has wrong; empty when it is as the golden says."""
    expected = dict.fromkeys(experts()) | frame["facts"]
    expected |= {name: True for name in frame.get("later", [])}
    for name in frame.get("open", []):
        expected.pop(name, None)
    if one_pass:
        for name in (*HINDSIGHT, *frame.get("later", [])):
            expected.pop(name, None)
    return [f"frame {frame['frame']} ({frame['what']}): {name} should be {fact!r},"
            f" is {values.get(name, [])!r}"
            for name, fact in expected.items() if not _holds(fact, values.get(name, []))]
