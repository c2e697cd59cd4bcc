"""The program ``tfquant``: ``python -m tfquant`` runs what the binary runs."""

import signal
import sys

from . import _tfquant


def main() -> int:
    """Runs the program on ``sys.argv``; returns its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Python would take note of Ctrl-C and tell nobody while the program runs, which has its own way to end.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _tfquant.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
