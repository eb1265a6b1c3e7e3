"""The part of the composition root that references need: a change of an object wakes all who depend on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from vso.app.feeds import Feeds
from vso.controllers.relations import Relations
from vso.controllers.triggers import DepartureTrigger, ReferredTrigger, ReferrerTrigger
from vso.core.keys import Kind, ObjectKey
from vso.runtime.workqueue import WorkQueue
from vso.vault.standing import SETTLED_AFTER

Queues = Mapping[Kind, WorkQueue[ObjectKey]]


def join_references(feeds: Feeds, queues: Queues, relations: Relations, secrets: Iterable[Kind]) -> None:
    """Join the feeds of what is referred to with the queues of the referrers, and of the kinds of `secrets` behind."""
    auths, defaults = queues[Kind.VAULT_AUTH], queues[Kind.VAULT_AUTH_GLOBAL]
    for feed in feeds.of(Kind.VAULT_CONNECTION):
        feed.add_handler(ReferrerTrigger(auths, relations.auths_by_connection))
        for kind in secrets:
            feed.add_handler(ReferrerTrigger(queues[kind], partial(relations.by_connection, kind)))
    for feed in feeds.of(Kind.VAULT_AUTH_GLOBAL):
        feed.add_handler(ReferrerTrigger(auths, relations.auths_by_global))
        feed.add_handler(ReferrerTrigger(defaults, relations.rivals))
        for kind in secrets:
            feed.add_handler(ReferrerTrigger(queues[kind], partial(relations.by_global, kind)))
    departed = DepartureTrigger(auths, relations.operator_namespace, SETTLED_AFTER)
    for kind in secrets:
        for feed in feeds.of(kind):
            feed.add_handler(departed)
    for feed in feeds.of(Kind.VAULT_AUTH):
        feed.add_handler(ReferredTrigger(defaults, relations.named_globals))
        for kind in secrets:
            feed.add_handler(ReferrerTrigger(queues[kind], partial(relations.by_auth, kind)))
