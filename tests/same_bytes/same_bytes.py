"""Two builds of the program on every graph there is: what each writes, says and ends with.

    python3 tests/same_bytes/same_bytes.py BEFORE AFTER [FOLDER ...]

Runs both on the graphs of testdata/, a hundred random ones, and those in the folders, each with many commands. Prints a line
for each run that differs, and a count; exit code 1 if any does. What is meant to differ has its entry in CHANGELOG.md.
"""

import filecmp
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor

import zstandard

PROJECT = pathlib.Path(__file__).resolve().parents[2]
SUFFIXES = {".pb", ".pbtxt", ".meta"}
COMMANDS = {
    "default": "rewrite {} -o {out} --report r.json",
    "names": "rewrite {} -o {out} --report r.json --match names --skip-unmatched --quant-delay 20",
    "topology": "rewrite {} -o {out} --report r.json --match topology --skip-unmatched",
    "reference": "rewrite {} -o {out} --report r.json --match topology --reference-only --allow-training-ops",
    "eval": "rewrite {} -o {out} --report r.json --mode eval --skip-unmatched --weight-bits 4 --symmetric",
    "text": "rewrite {} -o out.pbtxt --skip-unmatched --output-format text",
    "fold": "fold {} -o {out} --report r.json",
    "freeze": "freeze {} -o frozen.pb",
    "target": "rewrite {} -o q.pb --mode eval --target litert-int8 --default-range=-6,6 --input-range=-1,1",
    "summary": "summary {} --json",
    "check": "check {} --json",
    "explain": "explain {} --json",
    "ranges": "ranges {}",
}
# What differs from run to run.
TIMES = re.compile(rb'"(seconds|freeze|read|rewrite|write)": *[0-9.e-]+|in [0-9.]+ m?s\b')


def graphs(folders, scratch):
    """Files and SavedModel folders."""
    for folder in [PROJECT / "testdata", *folders]:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.name in ("saved_model.pb", "saved_model.pbtxt"):
                yield path.parent
            elif path.suffix in SUFFIXES:
                yield path
            elif path.name.endswith(".tar.zst"):
                yield from unpacked(path, scratch)


def unpacked(archive, scratch):
    """The graphs of an archive; of a case that TensorFlow rewrote, the one before."""
    folder = scratch / archive.parent.name / archive.name.partition(".")[0]
    folder.mkdir(parents=True)
    with archive.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as plain:
        with tarfile.open(fileobj=plain, mode="r|") as tar:
            for member in tar:
                if member.name == "before.meta" or member.name.endswith(".pb"):
                    path = folder / member.name
                    path.write_bytes(tar.extractfile(member).read())
                    yield path


def run(program, graph, command, folder):
    """The exit code and what was said, without what differs from run to run."""
    out = "out" if graph.is_dir() else f"out{graph.suffix}"
    words = [word.format(graph, out=out) for word in COMMANDS[command].split()]
    done = subprocess.run([program, *words, "-q"] if "-o" in words else [program, *words], cwd=folder, capture_output=True, check=False)
    return done.returncode, TIMES.sub(b"", done.stdout), TIMES.sub(b"", done.stderr)


def same_files(one, other):
    """Whether two folders hold the same files."""
    files = [{path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()} for folder in (one, other)]
    if files[0].keys() != files[1].keys():
        return False
    for name, path in files[0].items():
        if filecmp.cmp(path, files[1][name], shallow=False):
            continue
        if name.suffix != ".json" or TIMES.sub(b"", path.read_bytes()) != TIMES.sub(b"", files[1][name].read_bytes()):
            return False
    return True


def difference(programs, graph, command):
    """What differs between the two; None if nothing does."""
    with tempfile.TemporaryDirectory() as top:
        folders = [pathlib.Path(top, name) for name in ("before", "after")]
        results = []
        for program, folder in zip(programs, folders):
            folder.mkdir()
            results.append(run(program, graph, command, folder))
        if results[0] != results[1]:
            words = [result[2] or result[1] for result in results]
            return f"exit codes {results[0][0]} and {results[1][0]}: {words[0][:200]!r} and {words[1][:200]!r}"
        return None if same_files(*folders) else "other bytes"


def main(before, after, *folders):
    programs = [pathlib.Path(program).resolve() for program in (before, after)]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        generate = PROJECT / "target" / "release" / "examples" / "generate"
        if generate.exists():
            subprocess.run([generate, "random", "100", scratch / "random"], check=True)
            folders = [*folders, scratch / "random"]
        jobs = [(graph, command) for graph in graphs(folders, scratch) for command in COMMANDS]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(lambda job: difference(programs, *job), jobs))
    for (graph, command), what in zip(jobs, found):
        if what:
            print(f"{graph.name}, {command}: {what}")
    differ = sum(what is not None for what in found)
    print(f"{len(jobs)} runs, {differ} differ")
    return min(differ, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else __doc__)
