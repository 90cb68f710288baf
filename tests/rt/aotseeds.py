# aotseeds.py - writes the stored inputs of fuzz_aot: hand-written tables as they lie in memory.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""aotseeds.py [FOLDER]: one input for each version of the format; by default into
tests/fuzz/corpus/aot."""

import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import aotbuild

STUB = "void RhpInitialDynamicInterfaceDispatch(void) {} void EfiMain(void) {}\n"


def flat(path: Path) -> bytes:
    """The image's memory without the headers, which the target does not read."""
    data = path.read_bytes()
    header = struct.unpack_from("<I", data, 0x3C)[0]
    count, optional = struct.unpack_from("<H12xH", data, header + 6)
    memory = bytearray(struct.unpack_from("<I", data, header + 80)[0])
    for row in range(header + 24 + optional, header + 24 + optional + 40 * count, 40):
        virtual, rva, raw, offset = struct.unpack_from("<IIII", data, row + 8)
        part = data[offset:offset + min(raw, virtual)]
        memory[rva:rva + len(part)] = part
    # The target takes the last 48 bytes for the exception table.
    rva, size = struct.unpack_from("<II", data, header + 24 + 112 + 24)
    return bytes(memory) + bytes(-len(memory) % 8) + bytes(memory[rva:rva + size][:48]).rjust(48)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "fuzz/corpus/aot")
    folder.mkdir(parents=True, exist_ok=True)
    builder = aotbuild.Builder()
    try:
        stub = builder.folder / "stub.c"
        stub.write_text(STUB)
        for major, minor in ((8, 0), (9, 1), (10, 1), (16, 0)):
            objects = [builder.object(stub, aotbuild.GENERAL),
                       builder.object("tests/rt/aot/tables.S", f"-DMAJOR={major}",
                                      f"-DMINOR={minor}", "-DMANY=1")]
            linked = builder.link(f"seed{major}", objects, "/align:32", "/filealign:32",
                                  "/base:0x140000000", "/fixed", "/merge:.modules=.data",
                                  "/merge:.bss=.data")
            (folder / f"tables-{major}-{minor}").write_bytes(flat(linked.path))
    finally:
        builder.close()


if __name__ == "__main__":
    main()
