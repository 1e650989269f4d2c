"""The program `expctl`: arguments in, exit code out.

Ends by `os._exit`: taking the interpreter apart costs a fifth of a short command, and all output has been
written by then.
"""

import os
import sys


def main() -> int:
    """Run one command; does not return."""
    _open_closed_streams()
    try:
        from expctl.cli import run  # noqa: PLC0415 - Ctrl-C during the imports is no traceback either

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    os._exit(code)


def _open_closed_streams() -> None:
    """Give descriptors 0 to 2 to /dev/null where the caller closed them; else the daemon would get what we print."""
    while None in {sys.__stdin__, sys.__stdout__, sys.__stderr__}:
        descriptor = os.open("/dev/null", os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return


if __name__ == "__main__":
    main()
