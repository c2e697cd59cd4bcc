"""Hostile files of sizes that hurt: what the verbs take of time and memory for them.

    python3 tests/bounds/bounds.py TFQUANT

Prints a row for each file and verb; seconds are the processor's. Exit code 1 if one took more than its bound, so many
seconds and bytes for each byte of the file and a fixed share, or ended otherwise than with a result or an error that has a
hint.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

MEGABYTE = 1 << 20
# For each megabyte of the file, and whatever the file. Names and ops of tiny nodes are most of their file.
SECONDS, FIXED_SECONDS = 0.06, 1.0
MEMORY, FIXED_MEMORY = 6, 64 * MEGABYTE

FLOAT = b"\x30\x01"
FLOATS = b"\x0a\x03\x32\x01\x01"
VERBS = [
    ["summary"],
    ["check"],
    ["explain"],
    ["rewrite", "--dry-run", "--allow-nothing"],
    ["freeze", "--outputs", "out", "-o", "frozen.pb"],
]


def varint(number):
    """A number as protobuf writes it."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def field(number, contents):
    """A field that holds bytes."""
    contents = contents.encode() if isinstance(contents, str) else contents
    return varint(number << 3 | 2) + varint(len(contents)) + contents


def node(name, op, inputs=(), **attrs):
    """A NodeDef."""
    entries = (field(5, field(1, key) + field(2, value)) for key, value in attrs.items())
    return field(1, name) + field(2, op) + b"".join(field(3, name) for name in inputs) + b"".join(entries)


def function_attribute(name, **attrs):
    """An attribute that names a function, with attributes of its own."""
    return field(10, field(1, name) + b"".join(field(2, field(1, key) + field(2, value)) for key, value in attrs.items()))


def nested_attributes(out):
    """A gigabyte of attributes, eighty deep inside of one another."""
    value = b"\x12" + varint(8 * MEGABYTE) + bytes(8 * MEGABYTE)  # s
    for _ in range(80):
        value = function_attribute("f", a=value)
    for index in range(128):
        out.write(field(1, node(f"n{index}", "NoOp", f=value)))
    out.write(field(1, node("out", "NoOp")))


def tiny_nodes(out):
    """Ten million nodes with a name and an op."""
    for start in range(0, 10_000_000, 10_000):
        out.write(b"".join(field(1, node(f"n{index}", "Relu")) for index in range(start, start + 10_000)))
    out.write(field(1, node("out", "Relu")))


def long_names(out):
    """Forty nodes with names of ten megabytes, which read one another."""
    names = [f"{index:02}" + "n" * 10 * MEGABYTE for index in range(40)]
    out.write(field(1, node(names[0], "Placeholder", dtype=FLOAT)))
    for before, name in zip(names, names[1:]):
        out.write(field(1, node(name, "Relu", [before], T=FLOAT)))
    out.write(field(1, node("out", "Relu", [names[-1]], T=FLOAT)))


def doubled_calls(out):
    """Twenty-one functions each of which calls the next one twice: 2^20 calls of the last one."""
    library = b""
    for level in range(21):
        called, last = function_attribute(f"f{level + 1}"), "x"
        body = b""
        for name in ("a", "b"):
            call = node(name, "PartitionedCall", [last], f=called, Tin=FLOATS, Tout=FLOATS)
            body += field(3, call if level < 20 else node(name, "Relu", [last], T=FLOAT))
            last = f"{name}:output:0" if level < 20 else f"{name}:activations:0"
        argument = [field(number, field(1, name) + b"\x18\x01") for number, name in ((2, "x"), (3, "y"))]
        signature = field(1, f"f{level}") + b"".join(argument)
        library += field(1, field(1, signature) + body + field(4, field(1, "y") + field(2, last)))
    call = node("call", "PartitionedCall", ["in"], f=function_attribute("f0"), Tin=FLOATS, Tout=FLOATS)
    for one in (node("in", "Placeholder", dtype=FLOAT), call, node("out", "Identity", ["call"], T=FLOAT)):
        out.write(field(1, one))
    out.write(field(2, library))


FILES = {write.__name__: write for write in (nested_attributes, tiny_nodes, long_names, doubled_calls)}


def run(command, folder):
    """The exit code, what was said, the seconds of the processor, and the most memory that the process had."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        seconds = usage.ru_utime + usage.ru_stime
        return process.returncode, said.read().decode(errors="replace"), seconds, usage.ru_maxrss * 1024


def main(tfquant):
    tfquant = pathlib.Path(tfquant).resolve()
    wrong = 0
    print("| file | verb | seconds | memory | ends with |\n|---|---|---|---|---|")
    for kind in FILES:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, f"{kind}.pb")
            # By a process of its own: what this one had in memory would count as the most that its children had.
            subprocess.run([sys.executable, __file__, "--write", kind, path], check=True)
            size = path.stat().st_size
            for verb, *options in VERBS:
                code, said, seconds, memory = run([tfquant, verb, path.name, *options], folder)
                holds = (
                    seconds <= FIXED_SECONDS + SECONDS * size / MEGABYTE
                    and memory <= FIXED_MEMORY + MEMORY * size
                    and (code == 0 or code in (1, 2) and ("hint: " in said or verb == "check"))
                )
                ending = "a result" if code == 0 else said.split("\n")[0][:90] or f"exit code {code}"
                name = f"{kind.replace('_', ' ')}, {size / MEGABYTE:.0f} MB"
                mark = "" if holds else " !!"
                print(f"| {name} | `{verb}` | {seconds:.1f} | {memory / MEGABYTE:.0f} MB | {ending}{mark} |", flush=True)
                wrong += not holds
    return min(wrong, 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        with open(sys.argv[3], "wb") as file:
            FILES[sys.argv[2]](file)
    else:
        sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else __doc__)
