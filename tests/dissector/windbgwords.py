# windbgwords.py - lines that WinDbg prints without a value of the wire in them.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A closed list: class, why there is nothing to find in a capture, and the lines themselves.

A line that is not here and gives windbgtext.py no value to look for is said, so that a new kind of
line is not silently passed over.
"""

import re

CLASSES = [
    ("heading", "names what follows", [
        r"", r"start +end +module name", r"(  Memory  )?Child-SP +RetAddr .*Call Site",
        r"ChildEBP RetAddr +", r"Module name +Error", r"FILE HEADER VALUES",
        r"OPTIONAL HEADER VALUES", r" +----- new -----", r"    Information from resource tables:",
        r"\*+ Symbol Loading Error Summary \*+"]),
    ("progress", "WinDbg's own work", [
        r"Loading (Kernel|User) Symbols", r"\.", r"Kernel Debugger connection established\. .*",
        r"You can get the target MAC address by running \.kdtargetmac command\."]),
    ("settings", "of WinDbg on its machine", [
        r"(Symbol|Executable) search path is: .*", r"Unable to add extension DLL: kext"]),
    ("symbols", "files on the debugger's machine, and advice about them", [
        r"\w+ +The system cannot find the file specified",
        r"You can troubleshoot most symbol related issues by .*",
        r"You should also verify that your symbol search path .*",
        r"WARNING: Stack unwind information not available\. .*"]),
    ("clock", "the debugger's; a boot debugger sends no time", [
        r"System Uptime: not available", r"  debugger time: .*"]),
    ("refused", "by WinDbg, which did not ask the target", [r" +\^ Syntax error in '.*'"]),
    ("recorder", "written by the program that drove WinDbg, or for it", [
        r"\[wdb: break-in\]", r"\[wdb: execute: [0-9a-f]{8}\]", r"done", r"quit:"]),
    ("no resources", "assumed for an image that has none", [
        r"    Translations:     0000\.04b0 0000\.04e4 0409\.04b0 0409\.04e4",
        r"    Mapping Form:     Loaded"]),
    ("cache", "how WinDbg keeps memory", [
        r"Max cache size is +: .*", r"Total memory in cache +: .*",
        r"Number of regions cached: \d+",
        r"\d+ full reads broken into \d+ partial reads", r"    counts: \d+ cached/\d+ uncached, .*",
        r"    bytes : \d+ cached/\d+ uncached, .*",
        r"\*\* (Transition|Prototype) PTEs are implicitly decoded"]),
    ("address", "KDNET's, of which the offer has another view (test_windbg_values.py)", [
        r"Connected to target [0-9.]+ on port \d+ on local IP [0-9.]+\."]),
]

_LINES = [(name, re.compile(line)) for name, _, lines in CLASSES for line in lines]


def class_of(line: str) -> str | None:
    """The class of a line, None if it is in none."""
    return next((name for name, pattern in _LINES if pattern.fullmatch(line)), None)
