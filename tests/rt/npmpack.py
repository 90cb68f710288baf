# npmpack.py - files of npm packages, fetched once into a cache outside the tree.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""file("node-api-dotnet@0.2.33", "win-x64/X.node", sha256) is the file's path, or raises
unittest.SkipTest with the reason: no npm, no network. The cache is the folder KDLENS_DOWNLOADS, or
kdlens/npm below the user's cache folder."""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

# Arguments of file(): images with C++ tables, compressed ones (FuncInfo4) by Visual C++, and ones
# of fixed size (FuncInfo3) by Visual C++ 2017 and, for Rust, by LLVM.
VISUAL_CXX_4 = ("@parcel/watcher-win32-x64@2.4.1", "watcher.node",
                "70cd605051b41630acfac0ea7e322ef83508e0222936ba5a185edebf518befbf")
VISUAL_CXX_3 = ("leveldown@5.1.1", "prebuilds/win32-x64/node.napi.node",
                "bf272fee5c0d13cf86341bc2088d9bde29fa7c81497510d26bbb5053965b2847")
RUST_3 = ("@chainsafe/hashtree-win32-x64-msvc@1.0.2", "hashtree.win32-x64-msvc.node",
          "decbe8bc2e1f3cc10066477a87991d167cfc49d8e1624712678bc2a49812688e")
PATIENCE = 180  # seconds for a download


def cache() -> Path:
    named = os.environ.get("KDLENS_DOWNLOADS")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kdlens/npm"


def _fetch(package: str, member: str, to: Path) -> None:
    npm = shutil.which("npm")
    if not npm:
        raise unittest.SkipTest(f"{package}: no npm (Debian package npm)")
    with tempfile.TemporaryDirectory(prefix="kdlens-npm-") as folder:
        try:
            done = subprocess.run([npm, "pack", package, "--silent"], cwd=folder, text=True,
                                  capture_output=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise unittest.SkipTest(f"{package}: npm pack took over {PATIENCE} s") from None
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or not archives:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise unittest.SkipTest(f"{package}: npm pack failed: {words[0] if words else '?'}")
        with tarfile.open(archives[0]) as archive:
            data = archive.extractfile(f"package/{member}").read()
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_suffix(f".{os.getpid()}")
    part.write_bytes(data)
    part.rename(to)


def file(package: str, member: str, sha256: str) -> Path:
    path = cache() / package / member
    if not path.exists():
        _fetch(package, member, path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise AssertionError(f"{path}: SHA-256 is {found}, expected {sha256}; delete it")
    return path
