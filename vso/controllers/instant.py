"""Instant updates of static secrets: from the spec to Vault's events, and from a stream's standing to the status.

Invariant: an object follows the places that it polls, no others; how it stands with its stream never
makes it unhealthy, since it is polled all the same.
"""

from __future__ import annotations

from collections.abc import Collection

from vso.api.meta import Resource
from vso.api.secrets import VaultStaticSecret, VaultStaticSecretSpec, VaultStaticSecretStatus
from vso.controllers.looks import Look
from vso.controllers.sources import Source
from vso.core.errors import ConfigError, VsoError
from vso.core.keys import ObjectKey
from vso.decide import instant
from vso.decide.assess import News
from vso.runtime.poller import Poller
from vso.runtime.workqueue import Lane, WorkQueue
from vso.vault.events import Ears, EventStreams, Line, StreamObserver

AnyLook = Look[Resource, VaultStaticSecretStatus]


def wants(spec: VaultStaticSecretSpec) -> bool:
    """Tell whether the spec asks for instant updates."""
    return spec.sync_config is not None and spec.sync_config.instant_updates


class InstantUpdates:
    """The static secrets that follow Vault's events."""

    def __init__(self, streams: EventStreams[ObjectKey, Source]) -> None:
        self._streams = streams

    def follow(self, key: ObjectKey, spec: VaultStaticSecretSpec, sources: Collection[Source]) -> None:
        """Have the object hear of changes of its sources, if its spec asks for that."""
        if not sources or not wants(spec):
            self.leave(key)
            return
        first = next(iter(sources))
        places = {source: source.request.url_path() for source in sources}
        self._streams.follow(key, Line.of(first.session, first.namespace), places)

    def leave(self, key: ObjectKey) -> None:
        """The object wants to hear of nothing."""
        self._streams.unfollow(key)

    def on(self, look: AnyLook, status: VaultStaticSecretStatus) -> VaultStaticSecretStatus:
        """Return the status with how it stands with the stream; the same where there is nothing new to say."""
        conditions = instant.conditions_with(
            status.conditions, self._streams.standing(look.key), look.record.generation, look.now, asked=_asked(look)
        )
        return status if conditions == status.conditions else status.model_copy(update={"conditions": conditions})

    def after(self, look: AnyLook, status: VaultStaticSecretStatus, error: VsoError) -> VaultStaticSecretStatus:
        """Return the same for a pass that failed: where the way to Vault itself is barred, nothing is to be said."""
        if isinstance(error, ConfigError) and not self._streams.follows(look.key):
            return status.model_copy(update={"conditions": instant.without(status.conditions)})
        return self.on(look, status)

    def news(self, look: AnyLook) -> News | None:
        """Return the Event that the change since the last status deserves."""
        return instant.news(look.status.conditions, self._streams.standing(look.key), asked=_asked(look))


def _asked(look: AnyLook) -> bool:
    return isinstance(look.cr, VaultStaticSecret) and wants(look.cr.spec)


def ears_of(
    poller: Poller[Source, ObjectKey], queue: WorkQueue[ObjectKey], observer: StreamObserver
) -> Ears[ObjectKey, Source]:
    """Return who hears of the streams: the poller of changes, the controller of how they stand."""

    def stands(keys: frozenset[ObjectKey]) -> None:
        for key in keys:
            queue.add(key, Lane.REFRESH)

    return Ears(
        # Not every node of Vault has a change at the moment at which it is told.
        changed=lambda source: poller.look_now(source, again=True),
        missed=poller.look_now,
        standing=stands,
        observer=observer,
    )
