"""The program on the path is the binary: its arguments, its exit codes, its end by Ctrl-C."""

import importlib.metadata
import signal
import subprocess
import sys
import time

import pytest

import tfquant
from conftest import hear_ctrl_c


def test_it_says_its_version(run):
    version = importlib.metadata.version("tfquant")
    assert tfquant.__version__ == version
    assert run("--version").stdout.decode().strip() == f"tfquant {version}"


def test_exit_codes(run, testdata):
    model = testdata / "mobilenet_v1.meta"
    assert run("summary", model).returncode == 0
    assert run("diff", model, testdata / "mobilenet_v1_eval.meta").returncode == 1
    missing = run("summary", "none.pb")
    assert missing.returncode == 1 and b"error: cannot read 'none.pb'" in missing.stderr
    wrong = run("rewrite", model)
    assert wrong.returncode == 2 and b"Usage: tfquant rewrite" in wrong.stderr
    assert run("rewrite", "--help").stdout.startswith(b"Example: tfquant rewrite")


def test_it_reads_and_writes_streams(run, mobilenet):
    done = run("rewrite", "-q", "-", "-o", "-", input=mobilenet)
    assert done.returncode == 0 and done.stdout == tfquant.rewrite(mobilenet).model


def test_it_runs_as_a_module(testdata):
    command = [sys.executable, "-m", "tfquant", "summary", str(testdata / "mobilenet_v1.meta")]
    assert b"MetaGraphDef" in subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_ends_it_and_leaves_nothing_behind(program, tmp_path):
    command = [program, "rewrite", "/dev/stdin", "-o", "out.pb"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path, preexec_fn=hear_ctrl_c
    )
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert list(tmp_path.iterdir()) == []
