"""The functions may be called from many threads, and let others run meanwhile."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import tfquant
from conftest import hear_ctrl_c


def test_many_threads_get_the_same(mobilenet):
    expected = tfquant.rewrite(mobilenet).model
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda _: tfquant.rewrite(mobilenet).model, range(64))
        assert all(result == expected for result in results)


def test_other_threads_run_meanwhile(mobilenet):
    counted, stop = 0, threading.Event()

    def count():
        nonlocal counted
        while not stop.is_set():
            counted += 1
            time.sleep(0)

    other = threading.Thread(target=count)
    other.start()
    try:
        before = counted
        tfquant.rewrite(mobilenet)
        assert counted > before
    finally:
        stop.set()
        other.join()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_interrupts_a_calibration():
    pytest.importorskip("numpy")
    script = """
import numpy, tfquant
from test_functions import frozen_layer
samples = numpy.random.default_rng(1).random((5_000_000, 4), "float32")
print("begins", flush=True)
try:
    tfquant.calibrate(frozen_layer(), data=samples, threads=1)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=__file__.rpartition("/")[0],
        preexec_fn=hear_ctrl_c,
    )
    assert process.stdout.readline() == "begins\n"
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10)[0] == "interrupted\n"
