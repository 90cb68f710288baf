# cpio.py - writes the archive that Linux starts from ("newc", Linux: driver-api/early-userspace).
# SPDX-License-Identifier: BSD-2-Clause-Patent


def archive(files: dict) -> bytes:
    """{"bin/sh": (0o100755, bytes), "dev": (0o40755, b""), "dev/console": (0o20600, (5, 1))}"""
    out = b""
    for number, (name, (mode, content)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))], 1):
        device = content if isinstance(content, tuple) else (0, 0)
        data = b"" if isinstance(content, tuple) else content
        text = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(text), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + text
        out += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    return out
