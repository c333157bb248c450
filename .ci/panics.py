#!/usr/bin/env python3
"""Where an image can panic: the calls that the optimiser left, by the lines of source that they come from.

    .ci/panics.py IMAGE        built with debug = 1, and without a trap
"""
import collections
import re
import subprocess
import sys

PANICS = re.compile(r"^core::(panicking|slice::index::slice_\w*_?fail|str::slice_error_fail|\w+::\w+::\w*_fail|\w+::\w+_failed)")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def sites(image):
    """Address and caller of each jump to a function that panics."""
    panics = {}
    for line in run("llvm-nm", "-C", image).splitlines():
        address, _, name = line.split(" ", 2)
        if PANICS.match(name):
            panics[int(address, 16) & ~1] = name  # the lowest bit says that it is Thumb
    caller, above = "", 0
    for line in run("llvm-objdump", "-d", "-C", "--no-show-raw-insn", image).splitlines():
        begin = re.match(r"^[0-9a-f]+ <(.*)>:$", line)
        if begin:
            caller = begin[1]
            continue
        parts = re.match(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$", line)
        if not parts:
            continue
        at, mnemonic, operands = int(parts[1], 16), parts[2], parts[3]
        target = re.search(r"0x([0-9a-f]+) <", operands)
        target = int(target[1], 16) if target else None
        # RISC-V: auipc ra, HIGH and jalr LOW(ra).
        if mnemonic == "auipc":
            above = at + (int(operands.split(", ")[1], 0) << 12)
        elif mnemonic in ("jalr", "jr") and "(" in operands:
            target = above + int(operands.split("(")[0].split(", ")[-1], 0) & 0xFFFF_FFFF
        if target in panics and not PANICS.match(caller):
            yield hex(at), caller


def place(frames):
    """The innermost line outside the standard library, and what called it."""
    own = [frame for frame in frames if "/library/" not in frame and frame != "??:0:0"]
    return " < ".join(re.sub(r".*/((?:core/)?src/)", r"\1", frame.rsplit(":", 1)[0]) for frame in own[:2])


def main():
    image = sys.argv[1]
    count = collections.Counter()
    for address, caller in sites(image):
        lines = run("llvm-symbolizer", "-C", "-i", f"--obj={image}", address).splitlines()
        count[place(lines[1::2]) or caller] += 1
    print(f"{image.rsplit('/', 1)[-1]}: {sum(count.values())} panics are left")
    for where, number in sorted(count.items()):
        print(f"{number:5} {where}")


main()
