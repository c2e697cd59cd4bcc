"""What importing and calling cost."""

import statistics
import subprocess
import sys
import time

import tfquant


def test_importing_takes_no_time_and_loads_nothing_big():
    script = """
import sys, time
started = time.perf_counter()
import tfquant
print(time.perf_counter() - started)
assert not {"numpy", "tensorflow", "google"} & set(sys.modules)
"""
    run = [sys.executable, "-c", script]
    seconds = [float(subprocess.run(run, capture_output=True, check=True, text=True).stdout) for _ in range(9)]
    assert min(seconds) < 0.05, seconds


def test_mobilenet_from_bytes_to_bytes(mobilenet):
    seconds = []
    for _ in range(50):
        started = time.perf_counter()
        tfquant.rewrite(mobilenet).model
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.015, statistics.median(seconds)
