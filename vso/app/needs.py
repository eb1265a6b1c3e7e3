"""What the operator will ask of the API server for a set of objects, by namespace and name.

Invariant: pure, and the operator's own reading of the objects: references, defaults, logins and certificates are
followed by what a pass follows them by. Where the way ends, a remark says so and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vso.api.access import VaultAuth, VaultConnection
from vso.api.scheme import parse_as
from vso.app.manifest_files import Manifest
from vso.app.settings import Settings
from vso.controllers.cache import ALL_NAMESPACES, Caches, ObjectCache, Reference
from vso.controllers.defaults import Completed
from vso.controllers.paths import Paths
from vso.controllers.relations import AUTHENTICATED
from vso.controllers.token_cipher import LABEL
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.decide.trust import ca_config_map, ca_secret, certificate_secret
from vso.kube.list_watch import decode_record
from vso.runtime.store import StoreWriter


@dataclass
class Needs:
    """What is asked for in one namespace, beside what every object takes."""

    tokens: set[str] = field(default_factory=set)
    """ServiceAccounts whose tokens logins show."""
    secrets: set[str] = field(default_factory=set)
    config_maps: set[str] = field(default_factory=set)
    service_accounts: set[str] = field(default_factory=set)
    """ServiceAccounts whose annotations logins look at."""
    restarts: set[str] = field(default_factory=set)
    """Kinds of workloads that are restarted."""
    writes: bool = False
    """Whether an object is there that has a Secret written."""


@dataclass
class Survey:
    """What was found out."""

    needs: dict[str, Needs] = field(default_factory=dict)
    """By namespace; one that has objects is there, whatever they need."""
    remarks: dict[str, None] = field(default_factory=dict)
    """What could not be found out, each once, in order."""


class _Given(Caches):
    """The objects that are given, and no others."""

    def missing(self, kind: Kind, reference: Reference) -> ConfigError:
        """Say what is true here: whether there is such an object, nobody has looked."""
        foreign = self[kind].is_foreign(reference.key)
        why = "whose labels leave it to another operator" if foreign else "which is not among the manifests"
        told = f"{reference.field} of {reference.referrer} names {kind} {reference.key}, {why}"
        return ConfigError(Reason.REFERENCE_NOT_FOUND, told)


def survey(manifests: Sequence[Manifest], settings: Settings) -> Survey:
    """Return what the objects need of an operator with these settings."""
    caches = _caches(manifests, settings)
    paths = Paths(caches, settings.namespace, allow_default_globals=settings.allow_default_globals)
    mine = {key.namespace for kind in Kind for key in caches[kind] if caches[kind].get(key) is not None}
    found = Survey({namespace: Needs() for namespace in sorted(mine)})
    _Surveyor(caches, paths, settings.namespace, found).survey()
    return found


def _caches(manifests: Sequence[Manifest], settings: Settings) -> Caches:
    stores: Mapping[Kind, StoreWriter[ObjectKey, Record]] = {kind: StoreWriter() for kind in Kind}
    for manifest in manifests:
        stores[manifest.name.kind].apply(decode_record(manifest.body, mine=settings.is_mine))
    return _Given({kind: ObjectCache({ALL_NAMESPACES: writer.store}) for kind, writer in stores.items()}, None)


@dataclass(frozen=True)
class _Surveyor:
    """Goes over the objects, and over each way once."""

    caches: Caches
    paths: Paths
    operator_namespace: str
    found: Survey

    def survey(self) -> None:
        """Go over everything."""
        for record in self._records(Kind.VAULT_CONNECTION):
            self._connection(parse_as(VaultConnection, record.body))
        for record in self._records(Kind.VAULT_AUTH):
            self._auth(parse_as(VaultAuth, record.body))
        consumers = [record for kind in AUTHENTICATED for record in self._records(kind)]
        for namespace, reference in sorted({(record.key.namespace, record.reference) for record in consumers}):
            self._consumer(namespace, reference)
        for record in consumers:
            kinds = {target.partition("/")[0] for target in record.targets}
            needs = self.found.needs[record.key.namespace]
            needs.restarts.update(kinds)
            needs.writes = True

    def _records(self, kind: Kind) -> Iterator[Record]:
        found = (self.caches[kind].get(key) for key in sorted(self.caches[kind]))
        return (record for record in found if record is not None)

    def _connection(self, connection: VaultConnection) -> None:
        spec, meta = connection.spec, connection.metadata
        needs = self.found.needs[meta.namespace]
        try:
            secrets = (ca_secret(spec, meta.namespace), certificate_secret(spec, meta.namespace))
            config_map = ca_config_map(spec, meta.namespace)
        except ConfigError as error:
            self._remark(f"VaultConnection {meta.namespace}/{meta.name}: {error.message}")
            return
        needs.secrets.update(secret.name for secret in secrets if secret is not None)
        needs.config_maps.update({config_map.name} if config_map is not None else ())

    def _auth(self, auth: VaultAuth) -> None:
        """See whether the way leads on; who logs in by it is not its own business, but where it is the operator."""
        meta = auth.metadata
        try:
            completed = self.paths.completed(auth, meta.namespace)
            # By the one that is labelled so kept tokens are encrypted.
            if meta.namespace == self.operator_namespace and meta.labels.get(LABEL) == "true":
                self._login(completed, meta.namespace)
            self.paths.connection_of(completed.auth, meta.namespace)
        except ConfigError as error:
            self._remark(error.message)

    def _consumer(self, namespace: str, reference: str) -> None:
        try:
            # Not as far as the VaultConnection: where that one is somebody else's, the login is still this one's.
            self._login(self.paths.lent(reference, namespace), namespace)
        except ConfigError as error:
            self._remark(error.message)

    def _login(self, completed: Completed, consumer: str) -> None:
        way, needs = self.paths.login(completed, consumer).way, self.found.needs[consumer]
        needs.tokens.update({way.speaks_for.service_account} if way.speaks_for is not None else ())
        needs.secrets.update(way.reads.secrets)
        needs.service_accounts.update(way.reads.annotations)

    def _remark(self, message: str) -> None:
        self.found.remarks[f"{message}: what it needs is not in these rules"] = None
