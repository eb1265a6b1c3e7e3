"""Queues in virtual time, and what is taken from them."""

from __future__ import annotations

from vso.core.backoff import Backoff
from vso.runtime.workqueue import WorkQueue

PLAIN = Backoff(initial=1.0, maximum=60.0, multiplier=2.0, randomization=0.0)


def take_all(queue: WorkQueue[str]) -> list[str]:
    """Take keys until there is none, and be done with each at once."""
    taken: list[str] = []
    while (key := queue.get_nowait()) is not None:
        taken.append(key)
        queue.done(key)
    return taken


def take(queue: WorkQueue[str]) -> list[str]:
    """Take keys until there is none, and keep them in hand."""
    taken: list[str] = []
    while (key := queue.get_nowait()) is not None:
        taken.append(key)
    return taken
