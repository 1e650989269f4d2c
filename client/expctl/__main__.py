"""The program `expctl`."""


def main() -> int:
    """Run one command."""
    return 0
