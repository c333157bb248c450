"""Tables of sizes, from images: .ci/sizes.py IMAGES FILE [--write]. For .ci/sizes."""

import collections
import os
import re
import struct
import subprocess
import sys

# Exceeding the file by less than this is no change.
TOLERANCE = 0.01
SLACK_BYTES = 24
SKIP_STATUS = 77

SMALLEST = "one answer for everything"
FULL = "every flow but deferral and upgrade, and a page of 4096 bytes"
LEAST = "; `Needs::LEAST`"
EVICTING = "; `Needs::LEAST` and eviction"
IMAGES = [
    ("parser", "smallest", "the parser of heads, and the decoder of chunked content", 14_000),
    ("solo", "smallest", f"`Solo`, {SMALLEST}", 24_000),
    ("solo", "smallest-least", f"`Solo`, {SMALLEST}{LEAST}", 24_000),
    ("solo", "full", f"`Solo`, {FULL}", 32_000),
    ("solo", "full-least", f"`Solo`, {FULL}{LEAST}", 32_000),
    ("engine", "smallest", f"`Engine` and `Readiness`, {SMALLEST}", 32_000),
    ("engine", "smallest-evicting", f"`Engine` and `Readiness`, {SMALLEST}{EVICTING}", 32_000),
    ("engine", "smallest-least", f"`Engine` and `Readiness`, {SMALLEST}{LEAST}", 32_000),
    ("engine", "full", f"`Engine` and `Readiness`, {FULL}", 40_000),
    ("engine", "full-evicting", f"`Engine` and `Readiness`, {FULL}{EVICTING}", 40_000),
    ("engine", "full-least", f"`Engine` and `Readiness`, {FULL}{LEAST}", 40_000),
]

# What the core is written to do without; it would come back unnoticed, and costs kilobytes.
BANNED = re.compile(r"core::fmt::|_*(?:aeabi_)?(?:uldivmod|ldivmod|memmove)\d*$|__u?(?:div|mod)[dt]i3$")

PEERS = [
    ("picoserve", "one answer for everything, one connection; with its timeouts"),
    ("edge-http", "one answer for everything, one connection; without timeouts"),
    ("edge-http-four", "one answer for everything, four connections; without timeouts"),
]


TRIED = """
The goals are not reached, except for the parser. Flash of the parser, and of `Solo` and the engine with the smallest handler and
with the other one, when each of these was done; `Solo` as far as it was measured, in the nearest commit:

| what was done | parser | `Solo` | `Solo`, every flow | engine | engine, every flow |
|---|---|---|---|---|---|
| nothing | 21 449 | | | | 94 592 |
| no panic, and a lexer of field lines in place of httparse's | 20 597 | | | 70 392 | 94 480 |
| functions of four lines and more are not `#[inline]` | 10 020 | | | 53 864 | 71 340 |
| calls of the handler share the code around them; reasons in one text; digits without a division | 10 020 | | | 52 122 | 67 186 |
| list nodes are zeros until the engine is made | 10 020 | 35 407 | 49 891 | 51 954 | 67 030 |
| (rules that were added since then) | 10 036 | 37 163 | 51 455 | 54 138 | 69 070 |
| bytes are moved one by one, and nothing divides numbers of 64 bits: neither `memmove` nor the division is left | 10 036 | | | 53 778 | 68 526 |
| events of a connection share the code that makes its context, and deadlines are not computed through iterators | 10 036 | | | 52 608 | 67 040 |
| vacant slots and idle handles are zeros; all tables in one `static` | 10 036 | 35 073 | 49 365 | 50 310 | 64 590 |
| what a program says it does not need is left out: deferral, upgrades, files, trailers, a stop | 10 036 | | | 46 474 | 58 730 |
| the same, and no connection is ended for another one (`Needs::LEAST`) | 10 036 | 33 293 | 45 557 | 41 582 | 53 958 |

When the goals were set, the same levers had brought another `Solo` to 31 656 and 42 600 bytes, with handlers and images of their
own. What was added since then, as far as it was measured: files and the queries of responses (1 584 and 1 394 bytes of `Solo`, 2 452 and 2 136 of the
engine), an empty buffer that is returned early (172 and 170 of `Solo`), a second for newcomers during a stop and faster deadlines
(824 and 868 of the engine, none of `Solo`). The page of 4 096 bytes is in every figure of the other handler.

What is left is the parser (10 KB with its constants), the state machine of a connection (13 to 20 KB), the writer of responses and
the server's own answers (6 KB), and in `Engine` its turn, its queues and its deadlines. These depend on what clients do, so the
optimiser cannot remove them, and each is a rule of docs/wire.md. The least that other servers take, further up, is without them.
`opt-level = \"z\"`, which is up to the program, takes a tenth less. Not done, because it would be felt: a shorter table of reason
phrases (0.6 KB), and names of fields that are not `str`, which would save the check for UTF-8 (0.6 KB).
"""


class Image:
    """Sections and symbols of an ELF file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        self.sections = {}
        self.section_list = []
        wide = self.bytes[4] == 2
        start, size, count, names = struct.unpack_from("<Q10xHHH" if wide else "<I10xHHH", self.bytes, 40 if wide else 32)
        rows = []
        for index in range(count):
            at = start + index * size
            if wide:
                name, _, _, address, offset, length = struct.unpack_from("<IIQQQQ", self.bytes, at)
            else:
                name, _, _, address, offset, length = struct.unpack_from("<IIIIII", self.bytes, at)
            rows.append((name, address, offset, length))
        strings = rows[names][2]
        for name, address, offset, length in rows:
            end = self.bytes.index(b"\0", strings + name)
            self.sections[self.bytes[strings + name:end].decode()] = (address, offset, length)
        self.symbols = []
        told = subprocess.run(["llvm-nm", "-S", "-C", path], capture_output=True, text=True, check=True).stdout
        for line in told.splitlines():
            row = re.match(r"([0-9a-f]+) ([0-9a-f]+) (\w) (.*)", line)
            if row:
                self.symbols.append((int(row[1], 16), int(row[2], 16), row[3].lower(), row[4]))

    def length(self, section):
        return self.sections.get(section, (0, 0, 0))[2]

    def flash(self):
        return self.length(".text") + self.length(".rodata") + self.length(".data")

    def symbol(self, name):
        """The bytes of a constant."""
        address, length = next((symbol[0], symbol[1]) for symbol in self.symbols if symbol[3] == name)
        for begin, offset, size in self.sections.values():
            if size and begin <= address < begin + size:
                at = offset + address - begin
                return self.bytes[at:at + length]
        raise KeyError(name)

    def compiler(self):
        return re.search(rb"rustc version ([\w.-]+)", self.bytes)[1].decode()


def part_of(name):
    """Which part of the program a symbol belongs to."""
    crate = re.search(r"(aurora_http_core|aurora_bare_metal_sizes|compiler_builtins|httparse|heapless|core|engine|solo)::(\w+)", name)
    if not crate:
        return "constants without a name" if name.startswith(".L") else "others"
    if crate[1] == "aurora_http_core":
        return f"`{crate[2]}`"
    if crate[1] in ("engine", "solo"):
        return "`main`, and what is inlined into it" if crate[2] == "main" else "others"
    if crate[1] == "aurora_bare_metal_sizes":
        return "the handler and the stand-in for a network"
    return f"the crate `{crate[1]}`"


def by_part(image, part_of, kinds):
    """How many bytes of an image are in each part."""
    parts = collections.Counter()
    for _, size, kind, name in image.symbols:
        if kind in kinds:
            parts[part_of(name)] += size
    return parts


DEMO_PARTS = {
    "Aurora": "aurora_http_core aurora_http_smoltcp",
    "httparse": "httparse",
    "smoltcp": "smoltcp managed heapless byteorder",
    "the program: its pages, its board and `main`": "aurora_bare_metal_device bare_metal_uart bare_metal_net",
    "the crates `core` and `compiler_builtins`": "core compiler_builtins",
}


def owner_of(name):
    """Whose a symbol of a demo is. Generic code of Aurora and smoltcp is theirs, whatever it is instantiated with."""
    # In `<A as B>::f`, the implementation is in the crate of A or of B; those of `core` are about types of others.
    crates = re.findall(r"(?<![\w:])(\w+)::", name)
    crates = [crate for crate in crates if crate not in ("core", "compiler_builtins")] or crates
    if name.startswith(".L"):
        return "constants without a name"
    if name.startswith(("bare_metal", "main")) or name.startswith("aurora_bare_metal_device"):
        return "the program: its pages, its board and `main`"
    for part, theirs in DEMO_PARTS.items():
        if crates and crates[0] in theirs.split():
            return part
    return "the table of interrupts, and others"


def demos(image):
    """The sections of two demos, and whose they are."""
    images = {program: image(f"bare-metal-{program}", "demo") for program in ("uart", "net")}
    sections = (".text", ".rodata", ".data", ".bss")
    yield "## Demos"
    yield ""
    yield "[`bare-metal-uart`](../examples/bare-metal-uart), with a `Solo`, and [`bare-metal-net`](../examples/bare-metal-net), with an"
    yield "`Engine` over smoltcp, for `lm3s6965evb` (`thumbv7m-none-eabi`), by section."
    yield ""
    rows = [(f"`bare-metal-{program}`", *map(one.length, sections)) for program, one in images.items()]
    yield from table(("image", *(f"`{section}`" for section in sections)), rows)
    yield ""
    yield "Whose that is, by symbol: flash, with the table of interrupts, and RAM, both with `.data`. What is inlined counts where it ends"
    yield "up: smoltcp is in the `main` of `bare-metal-net`, too. The servers, their buffers and the memory of the sockets are `static`s of the"
    yield "program. Nothing is left of httparse but a type."
    yield ""
    parts = [by_part(one, owner_of, kinds) for one in images.values() for kinds in ("trd", "bd")]
    names = [name for name, _ in sum(parts, collections.Counter()).most_common()]
    names += [part for part in DEMO_PARTS if part not in names]
    head = [f"`bare-metal-{program}`, {what}" for program in images for what in ("flash", "RAM")]
    yield from table(("part", *head), [(name, *(counted[name] for counted in parts)) for name in names])
    yield ""


def version_of(crate, path="examples/bare-metal-sizes-peers/Cargo.lock"):
    with open(path, encoding="utf-8") as file:
        return re.search(rf'name = "{crate}"\nversion = "([^"]+)"', file.read())[1]


def peers(image, base):
    """Other servers, measured alike."""
    yield "## Other servers for microcontrollers"
    yield ""
    yield "The same figures of [picoserve](https://crates.io/crates/picoserve) and [edge-http](https://crates.io/crates/edge-http),"
    yield "in the images of [`examples/bare-metal-sizes-peers`](../examples/bare-metal-sizes-peers): the same compiler and options, the"
    yield "same stand-in for a network, and a loop that polls the server's future in place of an executor. They check less of what"
    yield "arrives: picoserve's documentation advises to put a proxy such as nginx between it and the internet."
    yield ""
    rows = []
    for name, what in PEERS:
        crate = name.removesuffix("-four")
        one = image(name, "peer")
        sizes = [one.length(section) for section in (".text", ".rodata", ".data")]
        rows.append((f"{crate} {version_of(crate)}, {what}", *sizes, one.flash() - base.flash()))
    yield from table(("image", "`.text`", "`.rodata`", "`.data`", "flash"), rows)
    yield ""


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "|".join("---" if index == 0 else "--:" for index in range(len(head))) + "|"
    for row in rows:
        yield "| " + " | ".join(f"{cell:,}".replace(",", " ") if isinstance(cell, int) else cell for cell in row) + " |"


def types(image):
    names = image.symbol("TYPE_NAMES").decode().split("\n")[:-1]
    sizes = struct.unpack(f"<{len(names)}I", image.symbol("TYPE_SIZES"))
    names = [re.sub(r"\s+", " ", re.sub(r"'static(, )?", "", name)).replace("<>", "") for name in names]
    return dict(zip(names, sizes))


RAM = """
The goal of 2 500 is not reached. What each step left of it:

| what was done | bytes |
|---|--:|
| all tables in one `static`, zeros at first | 3 320 |
| what operations hold is in a table of its own: 24 bytes for each handle, where it was 96 | 3 200 |
| a head that arrives in pieces shares the place of the content's state | 3 136 |
| the pool's table holds memory instead of buffers: 8 bytes for each, where it was 16 | 3 072 |
| the program says how many listeners there are | 3 032 |
| times that may be absent are one number; the date is kept once; timeouts have 32 bits | 2 904 |

Of these, a connection takes 160 bytes in its slot, 40 in its list node, 24 in its handle and 56 while operations are in flight; the
engine has its counters (296), its limits, the ready-made head and the pool's lists (144 each), and nine lists of deadlines (144).
Limits that stay in flash would save 140 bytes, for an engine that borrows them, and counters of 32 bits, which wrap around within
weeks, 148.
"""

STACK = """## Stack

How deep the stack was when all requests of `.ci/demos` had been served, in QEMU, by painting it before the program starts: rounded up
to 64 bytes. `.ci/demos --write` writes a row. It has the handler in it and, of `bare-metal-net` and
`bare-metal-embassy`, the network stack smoltcp; and what `main` holds while the loop runs. The servers themselves are in a `static`.

The goals are 1 500 bytes below the loop and 500 held by `main`; `bare-metal-uart` holds less than that, and goes deeper. By the
frames of its functions, the deepest chain is the one that collects chunked content (144 bytes), reads the head again, with a table
of its fields (584, of which 256 are the table), and calls the handler with the writer of its response (352, of which 168 are the
writer); an interrupt may come on top of it. What was tried, on `lm3s6965evb`:

| what was done | held by `main` | deepest | kept |
|---|---|---|---|
| nothing | 576 | 2 816 | |
| reading a head and each way of reading content are functions of their own, not parts of `advance`, which was 512 bytes | 576 | 2 496 | yes |
| the same; the writer is not moved when it is done; what begins a connection, and its calls, are functions of their own | 328 | 2 176 | yes |
| the same, and 8 fields to a head in place of 16 | 328 | 2 048 | no: browsers send more |
| the same with 16 fields, and `opt-level = \"z\"` in the program | 328 | 2 176 | no: 5 100 bytes less flash, but not less stack |
| a collected request is borrowed, not moved, by what calls the handler | | | no: that frame stayed at 584 |

Operations and completions were not handed over by reference, because `Solo` has none. The first figures of such images (1 456 to
1 728 below the loop) were of other pages, without JSON, uploads and timed events, and of a core without files, times that a handler
sets, and content that comes too slowly: 888e264 had none of these. What each of them takes of the difference was not measured.

Engine and reactor of `bare-metal-net` are made by functions of their own, whose frames are free again when the loop runs: 5 120 bytes
before, 3 456 after. `bare-metal-embassy` is deepest while it
starts, when embassy-net makes the table of its twelve sockets on the stack; with five sockets it was 3 200 bytes deep.

| stack of | held by `main` | deepest | below `main` |
|---|--:|--:|--:|
"""


def stack(old):
    """The section that .ci/demos writes, as it is."""
    rows = re.search(r"^## Stack\n(?:[^#\n].*\n|\n)*", old, re.M)
    rows = [line for line in rows[0].splitlines() if line.startswith("| `")] if rows else []
    yield from STACK.splitlines()
    yield from rows
    yield ""


def page(folder, old):
    def image(name, tag):
        return Image(os.path.join(folder, f"{name}-{tag}"))

    base = image("base", "smallest")
    engine = image("engine", "full")
    yield "# Sizes"
    yield ""
    yield "Bytes, measured by `.ci/sizes` in the images of [`examples/bare-metal-sizes`](../examples/bare-metal-sizes). They are"
    yield "built for a Cortex-M3 (`thumbv7m-none-eabi`) with the feature `small`, `opt-level = \"s\"`, fat LTO and `panic = \"abort\"`,"
    yield f"by rustc {base.compiler()}. A change of more than 1 % fails the check, unless `.ci/sizes --write` has written this file."
    yield ""
    yield "## Flash"
    yield ""
    yield f"An image without Aurora has {base.flash()} bytes; they are subtracted."
    yield ""
    rows = []
    for name, tag, what, goal in IMAGES:
        one = image(name, tag)
        sizes = [one.length(section) for section in (".text", ".rodata", ".data")]
        rows.append((what, *sizes, one.flash() - base.flash(), goal))
    yield from table(("image", "`.text`", "`.rodata`", "`.data`", "flash", "goal"), rows)
    yield ""
    yield from peers(image, base)
    yield "## Flash by part"
    yield ""
    yield "`Engine` and `Solo` with every flow and everything that they can need, by the module that a function or constant is in. What is"
    yield "inlined counts where it ends up."
    yield ""
    parts, solo_parts = by_part(engine, part_of, "trd"), by_part(image("solo", "full"), part_of, "trd")
    names = [name for name, _ in (parts + solo_parts).most_common()]
    rows = sorted(((name, parts[name], solo_parts[name]) for name in names), key=lambda row: -row[1])
    yield from table(("part", "`Engine`", "`Solo`"), rows)
    yield ""
    yield from TRIED.strip().splitlines()
    yield ""
    yield from demos(image)
    yield "## RAM"
    yield ""
    yield "`Engine` and `Readiness` with every flow, four connections and nine buffers of 1 KiB, which are not counted."
    yield ""
    narrow, wide = types(image("types", "smallest")), types(image("types", "wide"))
    buffers = 9 * 1024
    rows = [(f"`{name.split('::')[-1]}`, without the buffers", size - buffers) for _, size, kind, name in engine.symbols if kind in "bd" and size > buffers]
    rows.append(("`Engine`", next(size for name, size in narrow.items() if "::Engine<" in name)))
    rows.append(("`Readiness`", next(size for name, size in narrow.items() if "::Readiness<" in name)))
    yield from table(("what", "bytes"), rows + [("all", sum(size for _, size in rows))])
    yield from RAM.splitlines()
    yield ""
    yield from stack(old)
    yield "## Types"
    yield ""
    yield from table(("`size_of`", "32 bit", "64 bit"), [(f"`{name}`", size, wide[name]) for name, size in narrow.items()])


def banned(folder):
    """The symbols of images that should not be there."""
    for name, tag, what, _ in IMAGES:
        image = Image(os.path.join(folder, f"{name}-{tag}"))
        yield from (f"{what}: {symbol[3]} is in it" for symbol in image.symbols if BANNED.search(symbol[3]))


def figures(text):
    """The rows of all tables: what they are about, and their numbers."""
    rows, section = {}, ""
    for line in text.splitlines():
        if line.startswith("#"):
            section = line
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        numbers = [int(cell.replace(" ", "")) for cell in cells[1:] if re.fullmatch(r"[\d ]+", cell)]
        if line.startswith("|") and numbers:
            rows[section, cells[0]] = numbers
    return rows


def main():
    folder, path = sys.argv[1:3]
    with open(path, encoding="utf-8") as file:
        old = file.read()
    new = "\n".join(page(folder, old)) + "\n"
    wrong = list(banned(folder))
    if wrong:
        print("\n".join(wrong))
        return 1
    if sys.argv[3:] == ["--write"]:
        with open(path, "w", encoding="utf-8") as file:
            file.write(new)
        return 0
    compilers = [re.search(r"by rustc ([\w.-]+?)\.? ", text)[1] for text in (old, new)]
    if compilers[0] != compilers[1]:
        print(f"SKIPPED: {path} was written with rustc {compilers[0]}, and this is {compilers[1]}")
        return SKIP_STATUS
    before, after = figures(old), figures(new)
    changed = 0
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key, []), after.get(key, [])
        exact = key[0] == "## Types"
        allowed = [0 if exact else max(SLACK_BYTES, size * TOLERANCE) for size in was]
        if len(was) != len(now) or any(abs(one - other) > most for one, other, most in zip(was, now, allowed)):
            print(f"{key[0].strip('# ')}, {key[1]}: {was} in {path}, {now} now")
            changed += 1
    print(f"{len(after)} rows, {changed} changed")
    return 1 if changed else 0


sys.exit(main())
