# test_aot_csharp.py - the C# example: compiled, run in firmware, its fault named without a PDB.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Needs the .NET SDK (dotnet) and, once, the network: NativeAOT's compiler is a NuGet package. It
goes into the folder KDLENS_DOWNLOADS, or kdlens/nuget below the user's cache folder. Else skipped.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import aotbuild
import machine
import npmpack

AOT_DUMP = os.environ.get("AOT_DUMP") or str(HERE.parent.parent / "build/tests/rt/aot_dump")
EXAMPLE = aotbuild.REPOSITORY / "uefi-agent/examples/csharp"
PACKAGE, VERSION = "runtime.linux-x64.Microsoft.DotNet.ILCompiler", "10.0.10"
PATIENCE = 180  # seconds; machines these tests run on may be loaded
PROJECT = f"""<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><TargetFramework>net10.0</TargetFramework></PropertyGroup>
  <ItemGroup><PackageDownload Include="{PACKAGE}" Version="[{VERSION}]" /></ItemGroup>
</Project>
"""
PRINTED = ["Hello from C#", "square 16 32", "cube 54 108", "strip 7 14", "sum of squares 285"]


def compiler() -> Path:
    """Where ilc is; fetched when it is not there yet."""
    folder = npmpack.cache().parent / "nuget"
    tools = folder / PACKAGE.lower() / VERSION / "tools"
    if (tools / "ilc").exists():
        return tools
    if not shutil.which("dotnet"):
        raise unittest.SkipTest("no dotnet (the .NET SDK)")
    project = builder.folder / "fetch"
    project.mkdir()
    (project / "fetch.csproj").write_text(PROJECT)
    done = subprocess.run(["dotnet", "restore", project], capture_output=True, text=True,
                          timeout=PATIENCE, env={**os.environ, "NUGET_PACKAGES": str(folder),
                                                 "DOTNET_CLI_TELEMETRY_OPTOUT": "1"})
    if not (tools / "ilc").exists():
        raise unittest.SkipTest(f"{PACKAGE} {VERSION} cannot be had: {done.stdout.strip()[-200:]}")
    return tools


def csc() -> Path:
    if not shutil.which("dotnet"):
        raise unittest.SkipTest("no dotnet (the .NET SDK)")
    for line in reversed(aotbuild.run("dotnet", "--list-sdks").splitlines()):
        version, folder = line.split(" ", 1)
        path = Path(folder.strip("[]")) / version / "Roslyn/bincore/csc.dll"
        if path.exists():
            return path
    raise unittest.SkipTest("no .NET SDK with a C# compiler (dotnet --list-sdks)")


def setUpModule():
    reason = aotbuild.missing() or machine.missing()
    if reason:
        raise unittest.SkipTest(reason)
    global builder, image
    builder = aotbuild.Builder()
    unittest.addModuleCleanup(builder.close)
    image = build(csc(), compiler())


def build(csharp: Path, tools: Path) -> aotbuild.Image:
    library, managed = builder.folder / "Hello.dll", builder.folder / "Hello.obj"
    aotbuild.run("dotnet", csharp, "-nologo", "-noconfig", "-nostdlib", "-unsafe", "-optimize+",
                 "-langversion:latest", "-deterministic", "-debug-", "-target:library",
                 "-runtimemetadataversion:v4.0.30319", "-nowarn:169,414,465,649,8500",
                 f"-out:{library}", EXAMPLE / "Core.cs", EXAMPLE / "Hello.cs")
    aotbuild.run("env", f"LD_LIBRARY_PATH={tools}", tools / "ilc", library, "-o", managed,
                 "--systemmodule:Hello", "--nativelib", "--generateunmanagedentrypoints:Hello",
                 "--targetos:windows", "--targetarch:x64", "--reflectiondata:none",
                 "--stacktracedata", "--parallelism:1")
    own = [builder.object(source, aotbuild.GENERAL, f"-I{aotbuild.REPOSITORY / 'uefi-agent/efi'}")
           for source in aotbuild.LIBRARY + aotbuild.RUNTIME
           + ["uefi-agent/examples/csharp/start.c"]]
    own.append(builder.object("uefi-agent/efi/libc.c", aotbuild.GENERAL, "-fno-builtin"))
    return builder.link("hello", [*own, managed])


def console(until: str, *extra: str) -> str:
    """What the firmware's console shows, up to a line with this in it."""
    with machine.Machine(kernel=image.path, extra=extra) as guest, \
            socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(guest.uart))
        connection.settimeout(PATIENCE)
        text, end = "", time.monotonic() + PATIENCE
        while not re.search(until, text) and time.monotonic() < end:
            text += connection.recv(4096).decode("utf-8", "replace")
            text = re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", text)
    return text


class Example(unittest.TestCase):
    def test_prints(self):
        text = console(r"sum of squares \d+\r?\n")
        lines = [line.strip() for line in text.splitlines()]
        first = next(i for i, line in enumerate(lines) if line.endswith(PRINTED[0]))
        self.assertEqual(lines[first + 1:first + len(PRINTED)], PRINTED[1:])

    def test_the_fault_is_named_without_a_pdb(self):
        text = console(r"ImageBase=[0-9A-Fa-f]{16}", "-append", "fault")
        self.assertIn("culprit ", text)
        rip = int(re.search(r"RIP\s*-\s*([0-9A-Fa-f]+)", text)[1], 16)
        base = int(re.search(r"ImageBase=([0-9A-Fa-f]+)", text)[1], 16)
        shown = aotbuild.run(AOT_DUMP, image.path, "at", f"{rip - base:x}").strip()
        self.assertTrue(shown.startswith("Hello.Reader`1<T>.Fetch+"), shown)


if __name__ == "__main__":
    aotbuild.main()
