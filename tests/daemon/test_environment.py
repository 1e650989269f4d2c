"""Which variables of a submission are let through."""

from expd.prepare.environment import allowed


def test_what_matches_a_pattern_is_removed() -> None:
    """Patterns are matched against whole names, case counts, and names that are no text are let through as they are."""
    environment = ((b"AWS_KEY", b"1"), (b"aws_key", b"2"), (b"MY_AWS_KEY", b"3"), (b"TOKEN", b"4"), (b"\xff", b"5"))

    assert allowed(environment, ["AWS_*", "TOKEN"]) == ((b"aws_key", b"2"), (b"MY_AWS_KEY", b"3"), (b"\xff", b"5"))
    assert allowed(environment, []) == environment
