"""Whether a VaultConnection may be used at all, and where its CA and client certificate come from.

Invariant: Secrets and ConfigMaps are read from the VaultConnection's own namespace. Answers are kept for
`keep` seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vso.api.access import VaultConnection
from vso.controllers.materials import Materials, decoded
from vso.core.clock import Clock
from vso.core.errors import ConfigError, Reason
from vso.core.keys import ObjectKey
from vso.core.sensitive import Sensitive
from vso.decide.trust import ca_config_map, ca_secret, certificate_secret
from vso.vault.auth.entries import entry
from vso.vault.config import TlsConfig

_LOOKS = 3
"""So often at most two files are read until they are of one state."""


@dataclass(frozen=True)
class TrustPolicy:
    """What the operator's administrator allows."""

    forbid_insecure: bool = False
    allows_address: Callable[[str], bool] = lambda _: True
    keep: float = 60.0


class TrustStore:
    """Reads the TLS material of connections, a few seconds old at most."""

    def __init__(self, materials: Materials, clock: Clock, policy: TrustPolicy) -> None:
        self._materials = materials
        self._clock = clock
        self._policy = policy
        self._kept: dict[tuple[str, int], tuple[float, TlsConfig]] = {}
        self._certificates: dict[ObjectKey, tuple[float, tuple[bytes, Sensitive]]] = {}

    async def tls(self, connection: VaultConnection, *, renew: bool = False) -> TlsConfig:
        """Return the TLS settings of the connection; ConfigError says what is missing or forbidden."""
        if not self._policy.allows_address(connection.spec.address):
            raise ConfigError(
                Reason.INVALID_SPEC,
                "spec.address is none of those that the operator's flag --vault-address-allow admits",
            )
        which = (connection.metadata.uid, connection.metadata.generation)
        kept = self._kept.get(which)
        now = self._clock.monotonic()
        if kept is not None and not renew and now < kept[0] + self._policy.keep:
            return kept[1]
        found = await self._read(connection)
        self._kept = {key: value for key, value in self._kept.items() if key[0] != which[0]}
        self._kept[which] = (now, found)
        return found

    async def certificate(self, secret: ObjectKey, *, renew: bool = False) -> tuple[bytes, Sensitive]:
        """Return the client certificate and key of a TLS Secret."""
        kept, now = self._certificates.get(secret), self._clock.monotonic()
        if kept is None or renew or now >= kept[0] + self._policy.keep:
            found = await self._materials.secret(secret)
            kept = now, (entry(found, "tls.crt").reveal(), entry(found, "tls.key"))
            self._certificates[secret] = kept
        return kept[1]

    def forget(self, secret: ObjectKey) -> None:
        """Nobody shows the certificate of that Secret any more."""
        self._certificates.pop(secret, None)

    async def _read(self, connection: VaultConnection) -> TlsConfig:
        spec = connection.spec
        if spec.skip_tls_verify and self._policy.forbid_insecure:
            raise ConfigError(
                Reason.INVALID_SPEC, "spec.skipTLSVerify is forbidden by --forbid-insecure-tls; give a CA instead"
            )
        certificate, key = await self._client_certificate(connection)
        return TlsConfig(
            server_name=spec.tls_server_name or "",
            ca_pem=await self._ca(connection),
            skip_verify=spec.skip_tls_verify,
            client_cert_pem=certificate,
            client_key=key,
        )

    async def _ca(self, connection: VaultConnection) -> bytes | None:
        spec, namespace = connection.spec, connection.metadata.namespace
        pem: bytes | None = None
        if (secret := ca_secret(spec, namespace)) is not None:
            pem = await self._from_secret(secret, "ca.crt")
        elif spec.ca_bundle:
            pem = decoded(spec.ca_bundle, "spec.caBundle")
        elif spec.ca_cert_config_map_ref and (config_map := ca_config_map(spec, namespace)) is not None:
            pem = await self._from_config_map(config_map, spec.ca_cert_config_map_ref.key)
        elif spec.ca_cert_path:
            pem = self._from_file(spec.ca_cert_path, namespace, "spec.caCertPath")
        if pem is not None and b"-----BEGIN CERTIFICATE-----" not in pem and not spec.skip_tls_verify:
            raise ConfigError(Reason.INVALID_SPEC, "the CA bundle holds no certificate")
        return pem

    async def _client_certificate(self, connection: VaultConnection) -> tuple[bytes | None, Sensitive | None]:
        spec, namespace = connection.spec, connection.metadata.namespace
        if (ref := spec.client_cert_secret_ref) and (name := certificate_secret(spec, namespace)) is not None:
            found = await self._materials.secret(name)
            return entry(found, ref.cert_key).reveal(), entry(found, ref.key_key)
        if bool(spec.client_cert_path) != bool(spec.client_key_path):
            raise ConfigError(Reason.INVALID_SPEC, "spec.clientCertPath and spec.clientKeyPath go together")
        if spec.client_cert_path and spec.client_key_path:
            return self._pair(spec.client_cert_path, spec.client_key_path, namespace)
        return None, None

    def _pair(self, certificate: str, key: str, namespace: str) -> tuple[bytes, Sensitive]:
        """Read two files of one state: a volume that is swapped between the reads holds another certificate after."""
        found = b""
        for _ in range(_LOOKS):
            before = self._from_file(certificate, namespace, "spec.clientCertPath")
            secret = Sensitive(self._from_file(key, namespace, "spec.clientKeyPath"))
            found = self._from_file(certificate, namespace, "spec.clientCertPath")
            if found == before:
                break
        return found, secret

    async def _from_secret(self, name: ObjectKey, key: str) -> bytes:
        return entry(await self._materials.secret(name), key).reveal()

    async def _from_config_map(self, name: ObjectKey, key: str) -> bytes:
        data = await self._materials.config_map(name)
        if not data.get(key):
            raise ConfigError(
                Reason.REFERENCE_NOT_FOUND, f"ConfigMap {name} has no key {key!r}; its keys: {', '.join(sorted(data))}"
            )
        return data[key].encode()

    def _from_file(self, path: str, namespace: str, field: str) -> bytes:
        return self._materials.file(path, "VaultConnection", namespace, field)
