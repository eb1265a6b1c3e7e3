"""What a login method is: what it shows to Vault, where, and what a refusal of it points at.

Invariant: a Way is a frozen value without secrets, so that equal ways share a session; the secrets of
a login exist only between `show` and the request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from vso.core.sensitive import Sensitive
from vso.vault.surroundings import Surroundings

if TYPE_CHECKING:
    from vso.core.clock import Clock
    from vso.vault.client import VaultClient
    from vso.vault.config import LoginConfig

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Identity:
    """The ServiceAccount that a login speaks for; always of the consumer's namespace."""

    namespace: str
    service_account: str
    audiences: tuple[str, ...] = ()
    expiration_seconds: int = 600


@dataclass(frozen=True, slots=True)
class Reads:
    """What a login reads in the consumer's namespace, by name: each takes a right of its own."""

    secrets: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    """ServiceAccounts whose annotations say whom they are in a cloud."""


@dataclass(frozen=True, slots=True)
class SecretData:
    """A Secret of the consumer's as it is now."""

    name: str
    """namespace/name, for messages."""
    uid: str
    version: str
    entries: Mapping[str, Sensitive] = field(repr=False)


class CredentialSource(Protocol):
    """Where the credentials of logins come from; each call looks anew."""

    @property
    def surroundings(self) -> Surroundings:
        """What stands around the operator."""
        ...

    async def jwt(self, identity: Identity) -> tuple[Sensitive, str]:
        """Return a fresh token of the ServiceAccount and the ServiceAccount's uid."""
        ...

    async def secret(self, namespace: str, name: str) -> SecretData:
        """Return a Secret of the consumer's namespace."""
        ...

    async def file(self, path: str, auth: str) -> Sensitive:
        """Return a file of the operator's that the VaultAuth `auth` (namespace/name) may have read, stripped."""
        ...

    async def annotations(self, namespace: str, service_account: str) -> Mapping[str, str]:
        """Return the annotations of a ServiceAccount of the consumer's namespace."""
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What one login shows."""

    body: Mapping[str, str | Sensitive] = field(repr=False)
    """Fields of the request."""
    source: str
    """Names the credential and changes with it: a refused one is not to use up the tries of the next."""
    uid: str = ""
    """uid of the Kubernetes object behind the credential; empty where there is none."""


@dataclass(frozen=True)
class Visit:
    """One login under way."""

    client: VaultClient
    config: LoginConfig
    sources: CredentialSource
    clock: Clock
    kept: dict[str, Sensitive] = field(default_factory=dict, repr=False)
    """What a credential that can be used once was exchanged for, by mount and source; an edit does not end it."""

    @property
    def surroundings(self) -> Surroundings:
        """What of the operator's own may be used."""
        return self.sources.surroundings


@dataclass(frozen=True)
class Way(ABC):
    """One method with its settings."""

    RESERVED: ClassVar[frozenset[str]] = frozenset()
    """Fields of the body that spec.params may not set."""
    OURS: ClassVar[bool] = True
    """Whether the tokens are of our making, and so ours to revoke."""
    LOOK_AGAIN: ClassVar[float] = FOREVER
    """Seconds after which the credential is looked at again though the token lives."""

    @property
    def who(self) -> str:
        """Whose policies the tokens have, for messages."""
        return "the login"

    @property
    def account(self) -> str:
        """Whom, of its mount, Vault locks out after refusals; empty where it locks nobody."""
        return ""

    @property
    def path(self) -> str:
        """Where to log in below auth/<mount>/ unless the VaultAuth says otherwise."""
        return "login"

    @property
    def personal(self) -> bool:
        """Whether the credential is of the consumer's namespace; else all namespaces share one login."""
        return True

    @property
    def speaks_for(self) -> Identity | None:
        """The ServiceAccount whose identity the tokens have; None where the credential is of another kind."""
        return None

    @property
    def reads(self) -> Reads:
        """What `show` reads, at most, beside a token of whom the login speaks for."""
        return Reads()

    @abstractmethod
    async def show(self, visit: Visit) -> Shown:
        """Fetch the credential; a ConfigError names what is missing."""

    def passes(self, refusal: str) -> bool:
        """Tell whether a refusal of Vault's (4xx), by its text, says only that Vault does not reach somebody else."""
        del refusal
        return False

    def refused_by(self, failure: str) -> bool:
        """Tell whether a failure of Vault's own (5xx), by its text, says that the credential is not accepted."""
        del failure
        return False

    def pointed_at(self, message: str) -> str:
        """Return what Vault's refusal points at, in the words of the VaultAuth; empty message: no reason given."""
        return message or f"permission denied to {self.who}; perhaps nothing is mounted there"
