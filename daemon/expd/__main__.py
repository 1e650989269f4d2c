"""The program `expd`."""


def main() -> int:
    """Start the daemon."""
    return 0
