"""Makes every call that changes the disk fail in turn, and ends the program at each of them.

    python3 tests/faults/faults.py TFQUANT

Each scenario is run once to count the calls, then once for each call and each fault: an error of the disk, an interruption,
the end of the process at once (SIGKILL) or on request (SIGTERM). What must hold afterwards: every output is the old one or
the new one, whole, and the new ones if the exit code is 0; on an error nothing was replaced unless renaming had begun, the
message has a hint, and nothing is left lying about. A process that is killed at once cannot clean up after itself; what it
leaves has a name of its own. Needs strace, which makes the calls fail. Prints a line for each scenario; exit code 1 if
anything was not as it must be.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TESTDATA = PROJECT / "testdata"
CALLS = (
    "write,pwrite64,writev,copy_file_range,sendfile,ftruncate,fsync,fdatasync,"
    "rename,renameat,renameat2,mkdir,mkdirat,link,linkat,fchmod,chmod,fchmodat"
)
RENAMES = {"rename", "renameat", "renameat2"}
FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "EINTR": "error=EINTR", "killed": "signal=KILL", "ended": "signal=TERM"}
TEMPORARY = ".tfquant-"


def field(number, contents):
    """A field of a protobuf message that holds bytes."""
    length, header = len(contents), [number << 3 | 2]
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*header, length]) + contents


def saved_model(meta_graph):
    """A SavedModel of that MetaGraphDef, tagged as one to serve."""
    return b"\x08\x01" + field(2, meta_graph + field(1, field(4, b"serve")))


SCENARIOS = {
    "a file and its report": (["rewrite", TESTDATA / "mobilenet_v1.meta", "-o", "out.meta", "--report", "report.json"], {}),
    "a file over an older one": (["rewrite", TESTDATA / "mobilenet_v1.meta", "-o", "out.meta"], {"out.meta": b"older"}),
    "a SavedModel": (["freeze", TESTDATA / "freeze/network", "-o", "out", "--output-format", "saved-model"], {}),
    "a SavedModel over an older one": (
        ["freeze", TESTDATA / "freeze/network", "-o", "out", "--output-format", "saved-model"],
        {"out/saved_model.pb": b"older", "out/variables/variables.index": b"older"},
    ),
    "a SavedModel with its variables": (
        ["rewrite", "model", "-o", "out"],
        {
            "model/saved_model.pb": saved_model((TESTDATA / "mobilenet_v1.meta").read_bytes()),
            "model/variables/variables.index": b"index",
            "model/variables/variables.data-00000-of-00001": b"data",
            "out/saved_model.pb": b"older",
        },
    ),
}


def run_traced(tfquant, arguments, folder, calls):
    """Runs the program in a folder; returns what it called there, with the paths of what was open."""
    with tempfile.NamedTemporaryFile("r") as log:
        command = ["strace", "-f", "-y", "-qq", "-o", log.name, "-e", f"trace={calls}", tfquant, *arguments, "-q"]
        subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60)
        return log.read()


class Run:
    """One run in a folder of its own: the exit code, what was said, what is there."""

    def __init__(self, tfquant, scenario, fault=()):
        arguments, files = SCENARIOS[scenario]
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name, contents in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(contents)
            log = folder / "calls.log"
            command = ["strace", "-f", "-qq", "-o", log, "-e", f"trace={CALLS}", *fault, tfquant, *arguments, "-q"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
            self.code, self.said = done.returncode, done.stderr
            calls = re.findall(r"^\d+\s+(\w+)\(", log.read_text(), re.MULTILINE)
            log.unlink()
            self.files = {
                str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
            }
        self.calls = {call: calls.count(call) for call in dict.fromkeys(calls)}

    def outputs(self):
        """What is there under its own name."""
        return {name: contents for name, contents in self.files.items() if TEMPORARY not in name}


def by_output(files):
    """The files, those of a folder together."""
    outputs = {}
    for name, contents in files.items():
        outputs.setdefault(name.split("/")[0], {})[name] = contents
    return outputs


def without_times(files):
    """The files but for how long it took, which a report says."""

    def timeless(name, contents):
        return {**json.loads(contents), "seconds": None} if name.endswith(".json") and contents else contents

    return {name: timeless(name, contents) for name, contents in files.items()}


def problems(run, call, fault, before, after):
    """What is not as it must be."""
    there, old, new = (by_output(without_times(files)) for files in (run.outputs(), before, after))
    for output in old.keys() | new.keys() | there.keys():
        if there.get(output) not in (old.get(output), new.get(output)):
            yield f"'{output}' is neither the old nor the new one"
    left = [name for name in run.files if TEMPORARY in name]
    if left and fault != "killed":
        yield f"left lying about: {left}"
    if run.code == 0 and there != new:
        yield "exit code 0, and not everything is new"
    if fault in ("killed", "ended"):
        return
    if run.code not in (0, 1):
        yield f"exit code {run.code}"
    if run.code == 1 and not (run.said.startswith("error: ") and "\nhint: " in run.said):
        yield f"no error with a hint: {run.said!r}"
    if run.code == 1 and there != old and call not in RENAMES | {"fsync"}:
        yield "an error, and something was replaced"


def main(tfquant):
    tfquant = pathlib.Path(tfquant).resolve()
    found = 0
    for scenario, (_, before) in SCENARIOS.items():
        plain = Run(tfquant, scenario)
        if plain.code:
            sys.exit(f"{scenario}: {plain.said}")
        runs = 0
        for call, count in plain.calls.items():
            for number in range(1, count + 1):
                for fault, injected in FAULTS.items():
                    run = Run(tfquant, scenario, ["-e", f"inject={call}:{injected}:when={number}"])
                    runs += 1
                    for problem in problems(run, call, fault, before, plain.outputs()):
                        found += 1
                        print(f"!! {scenario}, {call} {number} of {count} {fault}: {problem}")
        print(f"{scenario}: {runs} runs, calls {plain.calls}")
    print(f"{found} wrong")
    return min(found, 1)


def start(main, usage):
    """Runs a script of one argument that needs strace."""
    if len(sys.argv) != 2 or not shutil.which("strace"):
        sys.exit(usage)
    sys.exit(main(sys.argv[1]))


if __name__ == "__main__":
    start(main, __doc__)
