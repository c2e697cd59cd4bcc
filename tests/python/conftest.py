"""What the tests of the installed package share: graphs, and the program that the package brings."""

import pathlib
import signal
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]


def hear_ctrl_c():
    """Run in a new process: what runs in the background of a shell is told to overhear it, and so are its children."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


@pytest.fixture(scope="session")
def testdata():
    """The repository's graphs."""
    return REPOSITORY / "testdata"


@pytest.fixture(scope="session")
def mobilenet(testdata):
    """MobileNet v1, a MetaGraphDef that trains."""
    return (testdata / "mobilenet_v1.meta").read_bytes()


@pytest.fixture(scope="session")
def program():
    """The command that the package puts on the path."""
    folder = pathlib.Path(sys.executable).parent
    found = [path for path in (folder / "tfquant", folder / "tfquant.exe") if path.exists()]
    assert found, f"there is no tfquant in {folder}: install the package"
    return found[0]


@pytest.fixture
def run(program, tmp_path):
    """Runs the program in a folder of the test's own."""

    def run(*arguments, **options):
        words = [str(argument) for argument in arguments]
        return subprocess.run([program, *words], cwd=tmp_path, capture_output=True, timeout=120, **options)

    return run
