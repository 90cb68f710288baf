# ehprogram.py - builds the exception test program, and says what its traces must be.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Traces of throw.cpp are those of the same source with this machine's own C++ runtime. The other
cases are not C++ as the language defines it; what they must write follows from the rules of
structured exceptions and is in EXPECTED.
"""

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = "--target=x86_64-unknown-windows-msvc"
FLAGS = [TARGET, "-ffreestanding", "-funwind-tables", "-fshort-wchar", "-mno-red-zone",
         "-mno-stack-arg-probe", "-fno-stack-protector", "-O2", "-g", "-gcodeview",
         f"-I{ROOT}/uefi-agent/rt/include", f"-I{ROOT}/lib/image/include", f"-I{HERE}",
         f"-I{HERE}/eh"]
LIBRARY = [*(f"lib/image/src/{name}.c" for name in
             ("image", "names", "unwind_table", "epilogue", "unwind", "walk", "eh_cxx3", "eh_cxx4",
              "eh_tables")),
           *(f"uefi-agent/rt/{name}" for name in
             ("images.c", "dispatch.c", "cxx.c", "throw.c", "seh.c", "fault.c", "eh_x64.S"))]
PROGRAM = ["main.c", "vectors.c", "vectors.S", "keeps.S", "compressed.S", "cookies.S",
           "cookies.c", "libc.c", "seh.c", "walk.c", "fault.cpp", "async.cpp", "throw.cpp"]
# Faults of the function with the try block itself: by compilers that get them right.
ASYNC_COMPILERS = [f"clang++-{version}" for version in range(22, 18, -1)]

# enum rt_reason
UNHANDLED, UNWINDING, NO_EXCEPTION, COOKIE, TERMINATE = 0, 1, 3, 7, 8
# The low 16 bits of the codes for access, division, instruction.
ACCESS, DIVIDE, ILLEGAL = 0x0005, 0x0094, 0x001D

EXPECTED = {
    "fault_read": "- 1 caught",
    "fault_write": "- 1 caught",
    "fault_divide": "- 1 caught",
    "fault_undefined": "- 1 caught",
    "fault_canonical": "- 1 caught",
    "fault_frames": "- 2 - 1 caught",
    "fault_mismatch": "- 2 - 1 outer",
    "fault_in_catch": "- 5 - 1 outer end",
    "fault_rethrow": "- 1 again",
    "fault_then_throw": "3",
    "fault_many": "100",
    "seh_filters": "filter 1 filter 2 outer end",
    "seh_codes": f"{ACCESS} 12 {DIVIDE} 12 {ILLEGAL} 12 {ACCESS} 12",
    "seh_continue": "repair goes on same try",
    "seh_parameters": f"1 {0x700000000F20 >> 24} handled",
    "seh_finally": "filter 0 inner finally 1 outer finally 1 handled body normal 0",
    "seh_inside": "handled finally 0",
    "seh_collided": f"finally once handled {DIVIDE}",
    "seh_in_except": f"first second {DIVIDE}",
    "seh_raise": "8 resumed handled",
    "seh_jump": "0 jump finally 5 jump finally 10",
    "seh_guard": f"harmless 1 reads finally 0 {ACCESS} {0x700000000F10 >> 24} 0 2 reads finally 0",
    "fh4_plain": f"plain {5 + 770}",
    "fh4_int": "cleanup destroy 2 destroy 1 7 107",
    "fh4_any": "cleanup destroy 2 destroy 1 any 200",
    "fh4_fault": "cleanup destroy 2 destroy 1 any 200",
    "fh4_separated": "separated 42",
    "walk_fault": "fails inner outer walk_case run EfiMain",
    "walk_catch": "in_catch catcher walk_case run EfiMain 0",
    "gs_sound": "separated 6 separated 6",
    "gs_damaged": f"{COOKIE} {COOKIE}",
    "gs_seh": "6 1001",
    "gs_finally": "finally outside",
    "gs_unwanted": "outside",
    "gs_eh": "catch 6 catch 6",
    "gs_aligned": "4",
    "gs_smashed": " ".join([str(COOKIE)] * 5),
    "faults_uncaught": f"outside catch 6 plain {5 + 770} - 1 outside",
    "faults_caught": "catch 6 - 1 caught",
    "registers": "outer 0",
    "policy": "2 2 1 2",
    "end_destructor": str(UNWINDING),
    "end_nobody": str(UNHANDLED),
    "end_rethrow": str(NO_EXCEPTION),
    "end_noexcept": str(TERMINATE),
    "end_works_on": "- 1 caught",
    "done": "",
}


EXPECTED_ASYNC = {
    "async_store": "- 1 caught",
    "async_nested": "- 2 - 1 outer",
    "async_value": "-1",
    "async_loop": "100",
    "async_asked": "- 1 caught",
}


def async_compiler() -> str:
    """"": there is none."""
    return next((name for name in ASYNC_COMPILERS if shutil.which(name)), "")


def missing() -> str:
    """What the program cannot be built without; "" when all is there."""
    for tool, package in (("clang", "clang"), ("clang++", "clang"), ("lld-link", "lld")):
        if not shutil.which(tool):
            return f"no {tool} (Debian package {package})"
    return ""


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr}")
    return done.stdout


def compile_one(source: Path, folder: Path) -> Path:
    out = folder / (source.name + ".obj")
    if source.suffix == ".S":
        run("clang", TARGET, "-c", source, "-o", out)
    elif source.name == "async.cpp" and async_compiler():
        run(async_compiler(), *FLAGS, "-std=c++17", "-fexceptions", "-fcxx-exceptions",
            "-fasync-exceptions", "-DASYNC", "-c", source, "-o", out)
    elif source.suffix == ".cpp":
        run("clang++", *FLAGS, "-std=c++17", "-fexceptions", "-fcxx-exceptions", "-c", source,
            "-o", out)
    else:
        run("clang", *FLAGS, "-std=c11", "-fms-extensions", "-fno-builtin", "-c", source, "-o",
            out)
    return out


def build(folder: Path) -> Path:
    """The UEFI application, in folder."""
    image = folder / "eh.efi"
    for part in ("library", "program"):
        (folder / part).mkdir(exist_ok=True)
    objects = [compile_one(ROOT / name, folder / "library") for name in LIBRARY]
    objects += [compile_one(HERE / "eh" / name, folder / "program") for name in PROGRAM]
    run("lld-link", "/nologo", "/nodefaultlib", "/subsystem:efi_application", "/entry:EfiMain",
        "/debug", "/Brepro", f"/pdb:{folder}/eh.pdb", "/pdbaltpath:eh.pdb", f"/out:{image}",
        *objects)
    return image


def traces(text: str) -> dict:
    """{case: trace} of what the program wrote."""
    pairs = [line.split(":", 1) for line in text.splitlines() if ":" in line]
    return {name: trace.strip() for name, trace in pairs}


def native_traces(folder: Path) -> dict:
    """What throw.cpp writes with this machine's C++ runtime; empty when there is no compiler."""
    if not shutil.which("c++") or not shutil.which("cc"):
        return {}
    program = folder / "native"
    run("cc", "-std=c11", "-c", HERE / "eh/native.c", "-o", folder / "native.o")
    run("c++", "-std=c++17", "-w", "-O1", HERE / "eh/throw.cpp", folder / "native.o", "-o",
        program)
    return traces(run(program))


def check(case, found: dict, folder: Path):
    """Compares all traces, in a unittest case."""
    native = native_traces(folder)
    if not native:
        print("skipped: traces of throw.cpp, there is no native C++ compiler")
    else:
        case.assertGreater(len(native), 15)
    if not async_compiler():
        print("skipped: async.cpp, no clang++ from version 19 on (Debian package clang-19)")
    asynchronous = EXPECTED_ASYNC if async_compiler() else {}
    for name, trace in {**native, **EXPECTED, **asynchronous}.items():
        with case.subTest(name):
            case.assertEqual(found.get(name), trace)
    strange = set(found) - set(native) - set(EXPECTED) - set(asynchronous)
    case.assertFalse(native and strange, f"cases nobody expects: {strange}")
