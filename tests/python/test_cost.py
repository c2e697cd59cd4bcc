"""What importing and calling cost, in time of the processor: others may be at work, too."""

import statistics
import subprocess
import sys
import time

import tfquant


def test_importing_takes_no_time_and_loads_nothing_big():
    script = """
import sys, time
started = time.process_time()
import tfquant
print(time.process_time() - started)
assert not {"numpy", "tensorflow", "google"} & set(sys.modules)
"""
    run = [sys.executable, "-c", script]
    seconds = [float(subprocess.run(run, capture_output=True, check=True, text=True).stdout) for _ in range(9)]
    assert min(seconds) < 0.05, seconds


def test_mobilenet_from_bytes_to_bytes(mobilenet):
    seconds = []
    for _ in range(50):
        started = time.process_time()
        tfquant.rewrite(mobilenet).model
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.015, statistics.median(seconds)
