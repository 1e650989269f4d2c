"""After a start: what the store says runs, against what is there. Decisions are pure; the pool carries them out.

One sentence for each crash point: a run whose worker lives is adopted; one whose outcome is on the disk is settled
with it; any other has vanished with its worker, and is lost.
"""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["adopt", "settle", "lose"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is known of one active run: does its worker live, and has it left an outcome?"""

    worker_lives: bool
    has_record: bool


def decide(facts: RunFacts) -> Verdict:
    """Decide what becomes of an active run."""
    if facts.has_record:
        return "settle"
    return "adopt" if facts.worker_lives else "lose"
