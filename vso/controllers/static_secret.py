"""VaultStaticSecret: gather, decide, act.

Invariant: the order of the acts is read, write, restart, say. Each step compares the world with
the status, never with memory, so that a crash in any gap is healed by the next pass; a failure
before the write leaves the Secret as it was, byte for byte.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

from vso.api.meta import Resource
from vso.api.secrets import VaultStaticSecret, VaultStaticSecretSpec, VaultStaticSecretStatus
from vso.controllers import debts
from vso.controllers.destinations import Destinations, StaticLook
from vso.controllers.instant import InstantUpdates, wants
from vso.controllers.looks import Look
from vso.controllers.memory import Unsettled
from vso.controllers.passes import ObjectReconciler, PassParts
from vso.controllers.paths import Path
from vso.controllers.report import Telling
from vso.controllers.resolver import Resolver
from vso.controllers.restarts import Restarts
from vso.controllers.sources import Source, SourceReader, failed_fingerprint
from vso.controllers.static_status import Synced, is_rotation, news_of, outcome_of, source_mark, status_of
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.core.keys import Kind, ObjectKey
from vso.core.sensitive import Sensitive
from vso.decide import sync
from vso.decide.conditions import in_order
from vso.decide.destination import check_destination
from vso.decide.mac import secret_mac
from vso.decide.references import vault_namespace
from vso.decide.schedule import duration_of, refresh_period, stale_after
from vso.decide.transform import KvAnswer, KvSource, build, sources
from vso.runtime.poller import Poller
from vso.runtime.reconcile import Result
from vso.runtime.workqueue import Lane
from vso.vault.engines import KvRequest, KvSecret
from vso.vault.errors import HeldError
from vso.vault.session import Session

RESYNC_ANNOTATIONS = ("vso.hashicorp.com/resync", "reconcile.fluxcd.io/requestedAt")
_SHORTEST_PERIOD = 1.0


@dataclass(frozen=True)
class StaticSecretConfig:
    """What the operator's settings say about static secrets."""

    mac_key: Sensitive
    exclude_raw: bool = False


@dataclass(frozen=True)
class Rooms:
    """The collaborators of a pass, besides those that every kind's have."""

    resolver: Resolver
    reader: SourceReader
    poller: Poller[Source, ObjectKey]
    instant: InstantUpdates
    destinations: Destinations
    restarts: Restarts


class StaticSecretReconciler(ObjectReconciler[VaultStaticSecret, VaultStaticSecretStatus]):
    """Makes one Secret what its VaultStaticSecret says."""

    model = VaultStaticSecret

    def __init__(self, parts: PassParts[VaultStaticSecretStatus], rooms: Rooms, config: StaticSecretConfig) -> None:
        super().__init__(parts)
        self._rooms = rooms
        self._config = config

    async def look_over(self, look: StaticLook) -> Result | VsoError:
        """Bring the Secret in order, unless the object rests or goes."""
        if look.record.deleting:
            self.forget(look.key)
            return Result()
        if look.cr.spec.suspend:
            self.rest(look.key)
            self._rooms.restarts.leave(Kind.VAULT_STATIC_SECRET, look.key)
            await self._parts.reporter.suspended(look)
            return Result()
        wait = await self._synchronise(look)
        if look.notes.unsettled is not None:
            return debts.come_back(look.notes.unsettled)
        if look.notes.restart_failed:
            return TransientError(Reason.ROLLOUT_RESTART_FAILED, "a rollout target was not restarted")
        return Result(requeue_after=wait)

    def telling(
        self, look: Look[Resource, VaultStaticSecretStatus], error: VsoError
    ) -> Telling[VaultStaticSecretStatus]:
        """What is there counts as good for a while; what was taken away is forgotten."""
        stale_after = staleness(look.cr.spec) if isinstance(look.cr, VaultStaticSecret) else None
        emptied, instant = look.notes.emptied, self._rooms.instant

        def change(status: VaultStaticSecretStatus) -> VaultStaticSecretStatus:
            return instant.after(look, _emptied(status) if emptied else status, error)

        return Telling(stale_after, change, instant.news(look))

    def rest(self, key: ObjectKey) -> None:
        """Nothing is polled for the object, and no event is heard."""
        self._rooms.poller.unsubscribe(key)
        self._rooms.instant.leave(key)

    def forget(self, key: ObjectKey) -> None:
        """Drop everything that is kept about an object."""
        super().forget(key)
        self._rooms.restarts.leave(Kind.VAULT_STATIC_SECRET, key)

    async def _synchronise(self, look: StaticLook) -> float | None:
        path, wanted = await self._open(look)
        facts = self._facts(look)
        why, work = sync.plan_look(facts), debts.take_up(look)
        if why is None:
            await self._as_it_stands(look)
            return self._rooms.destinations.next_check(look)
        look.notes.failing_on = path.connection_name
        look.notes.unsaid = True
        if work is None or facts.source_changed or facts.secret_missing or facts.secret_drifted:
            answers = await self._read(look, wanted, fresh=why in sync.FRESH)
            found = {place: KvAnswer(data=secret.data, raw=secret.raw) for place, secret in answers.items()}
            data = build(look.cr.spec, found, exclude_raw_default=self._config.exclude_raw)
            work = await self._act(look, why, data, version=next(iter(answers.values())).version)
            look.notes.look = look.record.look
        return await self._settle(look, work, next(iter(wanted.values())))

    async def _settle(self, look: StaticLook, work: Unsettled, source: Source) -> float | None:
        """Restart the consumers and say what was done; neither as long as the former waits for company."""
        restarted = await debts.pay(self._rooms.restarts, Kind.VAULT_STATIC_SECRET, look, work)
        if look.notes.unsettled is not None:
            return None
        synced = replace(cast("Synced", work.done), restarted=restarted)
        meta = source.session.client_meta(source.namespace)
        resync = look.resync_wanted(RESYNC_ANNOTATIONS)
        await self._parts.reporter.in_order(
            look,
            lambda status: self._rooms.instant.on(look, status_of(look, status, synced, meta, resync)),
            outcome_of(synced),
            news_of(look, synced),
            self._rooms.instant.news(look),
        )
        look.notes.unsaid = look.notes.emptied = False
        look.notes.restart_failed = synced.restarted is not None and bool(synced.restarted.failed)
        overtaken = synced.landed is not None and synced.landed.overtaken
        return 0.0 if overtaken else self._rooms.destinations.next_check(look)

    async def _as_it_stands(self, look: StaticLook) -> None:
        status = self._rooms.instant.on(look, look.status)
        if status is look.status:
            self._parts.reporter.as_it_stands(look)
        else:
            await self._parts.reporter.remark(look, status, self._rooms.instant.news(look))

    async def _open(self, look: StaticLook) -> tuple[Path, Mapping[KvSource, Source]]:
        """Follow the references and subscribe to what the spec wants; costs no request."""
        spec, namespace = look.cr.spec, look.key.namespace
        try:
            check_destination(spec.destination)
            path = self._rooms.resolver.path(spec.vault_auth_ref, namespace)
            session = await self._rooms.resolver.session(path, namespace)
            inner = vault_namespace(spec.namespace, path.auth.spec.namespace, path.connection.spec.namespace)
            wanted = {place: _source(session, place, inner) for place in sources(spec)}
        except ConfigError:
            self.rest(look.key)
            raise
        period = poll_period(spec)
        self._rooms.poller.subscribe(look.key, dict.fromkeys(wanted.values(), period) if period else {})
        self._rooms.instant.follow(look.key, spec, wanted.values())
        return path, wanted

    def _facts(self, look: StaticLook) -> sync.Facts:
        status, spec = look.status, look.cr.spec
        drift = self._rooms.destinations.drift(look)
        wanted_resync = look.resync_wanted(RESYNC_ANNOTATIONS)
        return sync.Facts(
            synced_uid=status.destination.uid if status.destination else "",
            generation=look.record.generation,
            last_generation=status.last_generation,
            in_order=in_order(status, look.record.generation) and not look.notes.unsaid,
            resync_asked=bool(wanted_resync) and wanted_resync != status.last_handled_resync,
            touched=look.notes.look != look.record.look,
            secret_missing=drift.missing,
            secret_drifted=drift.drifted,
            drift_check_due=self._rooms.destinations.check_due(look),
            source_changed=look.notes.source_changed,
            restart_due=debts.unacknowledged(look)
            or (bool(spec.rollout_restart_targets) and sync.restart_owed(status.rolled_out_digest, status.secret_mac)),
        )

    async def _read(
        self,
        look: StaticLook,
        wanted: Mapping[KvSource, Source],
        *,
        fresh: bool,
    ) -> Mapping[KvSource, KvSecret]:
        """Read every source; one that fails fails the pass, and nothing is written."""
        look.notes.source_changed = False
        # What a human asks for is not put off by the spacing of refused logins either.
        lane = Lane.REFRESH if look.status.destination and not fresh else Lane.URGENT
        answers: dict[KvSource, KvSecret] = {}
        for place, source in wanted.items():
            try:
                secret = await self._rooms.reader.read(source, lane, fresh=fresh)
            except VsoError as error:
                if not isinstance(error, HeldError):  # which tells nothing of the source
                    self._rooms.poller.observed(source, failed_fingerprint(error), by=look.key)
                raise await self._source_error(look, error) from None
            self._rooms.poller.observed(source, self._rooms.reader.fingerprint(secret), by=look.key)
            answers[place] = secret
        return answers

    async def _source_error(self, look: StaticLook, error: VsoError) -> VsoError:
        """What this very spec was synced from and is not there any more has been deleted; Vault does not say so.

        A path that was edited is another matter: a slip of the pen deletes no Secret.
        """
        synced = look.status.destination is not None and look.status.last_generation == look.record.generation
        if error.reason == Reason.SOURCE_NOT_FOUND and synced:
            error = ConfigError(Reason.SOURCE_DELETED, error.message)
        if error.reason == Reason.SOURCE_DELETED and look.cr.spec.on_source_deleted == "Delete":
            await self._rooms.destinations.remove(look)
            look.notes.emptied, look.notes.digest = True, ""
        return error

    async def _act(
        self,
        look: StaticLook,
        why: sync.Why,
        data: Mapping[str, Sensitive],
        *,
        version: str,
    ) -> Unsettled:
        """Write the destination, as far as the plan asks for it."""
        status, spec = look.status, look.cr.spec
        digest = secret_mac(self._config.mac_key.reveal(), data)
        recorded = status.destination
        compared = sync.Compared(
            name=spec.destination.name,
            recorded_name=recorded.name if recorded else "",
            digest=digest,
            recorded_digest="" if look.notes.emptied else _known_digest(look),
        )
        plan = sync.plan_sync(why, compared)
        mark = source_mark(look, version if plan.data_changed else "")
        landed = await self._rooms.destinations.apply(look, plan, data, mark) if plan.write else None
        look.notes.digest = digest
        rotated = None
        if landed is not None and is_rotation(landed, plan, known=bool(compared.recorded_digest)):
            # As the server has recorded it: a pass that is repeated after a crash says the same.
            rotated = landed.written.set_at or look.now.replace(microsecond=0)
        # Other digests of the same data come of a MAC key that was made anew: adopted, unless a restart was owed.
        untouched = landed is not None and landed.untouched
        adopted = untouched and not sync.restart_owed(status.rolled_out_digest, status.secret_mac)
        since = rotated or status.last_sync_time or look.now
        fresh = "" if adopted or not spec.hmac_secret_data else digest
        return debts.unsettled(look, fresh, since, Synced(why, digest, version, landed, rotated, None))


def _known_digest(look: StaticLook) -> str:
    """Return the digest of the data that the destination is known to hold; empty when unknown."""
    return look.status.secret_mac if look.cr.spec.hmac_secret_data else look.notes.digest


def _emptied(status: VaultStaticSecretStatus) -> VaultStaticSecretStatus:
    """Forget what the Secret held, so that the same data is written again when its source returns."""
    return status.model_copy(update={"secret_mac": ""})


def staleness(spec: VaultStaticSecretSpec) -> timedelta | None:
    """Return the age from which on the data is not Ready; None where the spec cannot be understood."""
    try:
        return stale_after(
            duration_of(spec.refresh_after, "spec.refreshAfter"), duration_of(spec.stale_after, "spec.staleAfter")
        )
    except ConfigError:
        return None


def poll_period(spec: VaultStaticSecretSpec) -> float | None:
    """Return the seconds between polls of the spec's sources; None for no looks, infinity for those asked for alone."""
    asked = duration_of(spec.refresh_after, "spec.refreshAfter")
    period = refresh_period(asked, compared=spec.hmac_secret_data)
    if period is None:
        return math.inf if wants(spec) else None
    return max(period.total_seconds(), _SHORTEST_PERIOD)


def _source(session: Session, place: KvSource, vault_namespace: str) -> Source:
    request = KvRequest(mount=place.mount, path=place.path, type=place.type, version=place.version)
    return Source(session.key, vault_namespace, request, session)
