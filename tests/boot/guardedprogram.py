# guardedprogram.py - builds guarded.c, with the frames of stacks/ and uefi-agent/rt.
# SPDX-License-Identifier: BSD-2-Clause-Patent
import sys
from pathlib import Path

import agentsession
from agentsession import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests/rt"))
import ehprogram

HERE = Path(__file__).resolve().parent
# Half of those called have names in the image itself.
EXPORTS = ["GuardedCall", "DeepLeaf", "DeepAlloca", "DeepHuge", "DeepChained", "DeepPlain10",
           "DeepPlain12", "DeepPlain20", "DeepSwitch", "ThrowMiddle", "StrayFault"]
# Functions on the stack of the word "deep", and of "throw", innermost first.
DEEP = ["DeepLeaf", "DeepXmm", "DeepAlloca", "DeepPage", "DeepHuge", "DeepSaved", "DeepChained",
        "DeepPushes", *(f"DeepPlain{number}" for number in range(10, 21)), "DeepSwitch",
        "DeepFault"]
THROW = ["rt_stop", "rt_terminate", "rt_raised_at", "rt_raise", "_CxxThrowException", "ThrowInner",
         "ThrowMiddle", "ThrowInt"]


def missing() -> str:
    return agentsession.missing() or ehprogram.missing()


def compile_efi(source: Path, folder: Path) -> Path:
    """With the EFI headers."""
    include = [f"-I{REPOSITORY}/uefi-agent/{part}" for part in ("efi", "include")]
    out = folder / f"{source.name}.obj"
    ehprogram.run("clang", *ehprogram.FLAGS, *include, f"-I{HERE}/stacks", "-std=c11",
                  "-fms-extensions", "-c", source, "-o", out)
    return out


def build(folder: Path) -> Path:
    """The image, guarded.pdb beside it; what it needs beside its own sources is the exception
    library."""
    program = [compile_efi(HERE / name, folder) for name in ("guarded.c", "stacks/guards.c")]
    sources = [*(HERE / "stacks" / name for name in ("deep.c", "frames.S", "throws.cpp")),
               REPOSITORY / "tests/rt/eh/keeps.S",
               *(REPOSITORY / name for name in (*ehprogram.LIBRARY, "uefi-agent/efi/libc.c"))]
    objects = [ehprogram.compile_one(source, folder) for source in sources]
    image = folder / "guarded.efi"
    ehprogram.run("lld-link", "/nologo", "/nodefaultlib", "/subsystem:efi_application",
                  "/entry:EfiMain", *(f"/export:{name}" for name in EXPORTS), "/debug",
                  f"/pdb:{folder}/guarded.pdb", "/pdbaltpath:guarded.pdb", f"/out:{image}",
                  *program, *objects)
    return image
