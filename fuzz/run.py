"""Runs the fuzz targets with libFuzzer, keeps the smallest corpus that reaches as much, and prints a table.

    python3 fuzz/run.py SECONDS [TARGET ...]

Needs no nightly Rust: coverage is what rustc's LLVM has, without a sanitizer, as there is nothing unsafe to watch. Seeds are
the graphs of testdata/ and the corpus that was packed before (corpus.tar.zst); afterwards the corpus is packed again. An
input that makes a target panic, hang or pass its memory is kept in fuzz/artifacts, and the exit code is 1. The Python that
runs this must have zstandard.
"""

import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

import zstandard

FUZZ = pathlib.Path(__file__).resolve().parent
TESTDATA = FUZZ.parent / "testdata"
PACKED = FUZZ / "corpus.tar.zst"
TRIPLE = "x86_64-unknown-linux-gnu"
FLAGS = (
    "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 "
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table "
    "-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks"
)
# Bigger inputs are slower and show nothing else.
MOST_BYTES = 16 << 10
# All of the corpus, packed, must be smaller than 3 MB: this is one target's share before it is packed.
MOST_CORPUS = 1 << 20
OF_GRAPHS = {"graph", "model", "rewrite", "inspect", "freeze", "interpreter", "integer"}


def build():
    """The targets with coverage; returns where they are."""
    environment = {**os.environ, "RUSTFLAGS": FLAGS, "CARGO_PROFILE_RELEASE_LTO": "off"}
    subprocess.run(["cargo", "build", "--release", "--target", TRIPLE], cwd=FUZZ, env=environment, check=True)
    return FUZZ / "target" / TRIPLE / "release"


def archived(archive):
    """The files of a packed archive, by name."""
    with archive.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as plain:
        with tarfile.open(fileobj=plain, mode="r|") as tar:
            return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def seeds(target):
    """Files of testdata that a target reads."""
    if target in OF_GRAPHS:
        for archive in sorted(TESTDATA.rglob("*.tar.zst")):
            for name, contents in archived(archive).items():
                if name == "before.meta" or name.endswith(".pb"):
                    yield contents
        for path in [*TESTDATA.rglob("*.pb"), *TESTDATA.rglob("*.meta")]:
            yield path.read_bytes()
    suffixes = {"text": "*.pbtxt", "checkpoint": "*.index", "samples": "*.npy", "ranges": "*.json"}
    if target in suffixes:
        for path in TESTDATA.rglob(suffixes[target]):
            yield path.read_bytes()[:MOST_BYTES]
    if target == "ranges":
        yield b"name,min,max\na,-1,1\nb,0,6.5\n"


def fuzz(binary, target, seconds, corpus):
    """Runs a target; returns how many inputs it had, how much they reach, and whether something was found."""
    artifacts = FUZZ / "artifacts" / target
    artifacts.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", "-timeout=5", "-rss_limit_mb=3000"]
    command = [binary, corpus, *limits, "-print_final_stats=1", f"-artifact_prefix={artifacts}/"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    reached = re.findall(r"cov: (\d+) ft: (\d+)", done.stderr)
    if done.returncode:
        (artifacts / "log").write_text(done.stderr)
    return int(executed[1]) if executed else 0, reached[-1] if reached else (0, 0), done.returncode


def smallest(binary, corpus):
    """The smallest part of a corpus that reaches as much, the smaller files first, up to the target's share."""
    with tempfile.TemporaryDirectory() as kept:
        command = [binary, "-merge=1", f"-max_len={MOST_BYTES}", "-timeout=5", kept, corpus]
        subprocess.run(command, capture_output=True, check=False)
        files, total = {}, 0
        for path in sorted(pathlib.Path(kept).iterdir(), key=lambda path: (path.stat().st_size, path.name)):
            total += path.stat().st_size
            if total > MOST_CORPUS:
                break
            files[path.name[:16]] = path.read_bytes()
        return files


def pack(files):
    """Writes the corpus of all targets into one archive."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            tar.addfile(member, io.BytesIO(files[name]))
    PACKED.write_bytes(zstandard.ZstdCompressor(level=19).compress(plain.getvalue()))


def main(seconds, *targets):
    binaries = build()
    targets = targets or sorted(path.stem for path in (FUZZ / "fuzz_targets").glob("*.rs"))
    files = archived(PACKED) if PACKED.exists() else {}
    worst = 0
    print("| target | inputs | edges | features | kept |\n|---|---|---|---|---|")
    for target in targets:
        corpus = FUZZ / "corpus" / target
        corpus.mkdir(parents=True, exist_ok=True)
        known = [contents for name, contents in files.items() if name.startswith(f"{target}/")]
        for number, contents in enumerate([*known, *seeds(target)]):
            if len(contents) <= MOST_BYTES:
                (corpus / f"seed{number}").write_bytes(contents)
        executed, (edges, features), code = fuzz(binaries / target, target, seconds, corpus)
        kept = smallest(binaries / target, corpus)
        files = {name: contents for name, contents in files.items() if not name.startswith(f"{target}/")}
        files.update({f"{target}/{name}": contents for name, contents in kept.items()})
        pack(files)
        found = " (something was found)" if code else ""
        print(f"| {target} | {executed:,} | {edges} | {features} | {len(kept)}{found} |", flush=True)
        worst = max(worst, min(code, 1))
        shutil.rmtree(corpus)
    return worst


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
