"""Where the API server is and how to speak to it: in the cluster by hand, outside by kubeconfig.

Invariant: a token is read again when its file changes or after a refusal, so that a rotated
ServiceAccount token never needs a restart; and kubernetes_asyncio, which costs most of a second and
tens of megabytes to import, is imported only when a kubeconfig is really used.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from vso.core.errors import ConfigError, Reason

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config.kube_config import KubeConfigLoader

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where kubelet mounts the pod's credentials."""


class TokenSource(Protocol):
    """Where the bearer token comes from."""

    async def token(self) -> str | None:
        """Return the token to send now, or None when a client certificate does."""
        ...

    def invalidate(self) -> None:
        """The token was refused: do not answer from memory again."""
        ...


class NoToken:
    """A client certificate, or nothing, speaks for the caller."""

    async def token(self) -> str | None:
        """Return None."""
        return None

    def invalidate(self) -> None:
        """There is nothing to forget."""


class FileToken:
    """A token in a file that somebody else renews, such as kubelet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = -1
        self._token = ""

    async def token(self) -> str | None:
        """Return the token, read again when the file's time stamp has moved."""
        try:
            self._read()
        except OSError as error:
            raise ConfigError(
                Reason.KUBERNETES_UNAVAILABLE, f"the token file {self._path} cannot be read: {error.strerror}"
            ) from None
        return self._token

    def invalidate(self) -> None:
        """Read the file again at the next request."""
        self._stamp = -1

    def _read(self) -> None:
        # One stat of a file in memory per request; kubelet swaps a symbolic link, which stat follows.
        stamp = self._path.stat().st_mtime_ns
        if stamp != self._stamp:
            self._token = self._path.read_text().strip()
            self._stamp = stamp


class Credentials:
    """The address of an API server with everything that a request to it needs."""

    def __init__(
        self,
        server: str,
        tokens: TokenSource,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        proxy: str | None = None,
    ) -> None:
        self.server = server.rstrip("/")
        self.tls = tls
        self.server_name = server_name
        self.proxy = proxy
        self._tokens = tokens

    async def token(self) -> str | None:
        """Return the bearer token to send now."""
        return await self._tokens.token()

    def invalidate(self) -> None:
        """The token was refused: get another for the next request."""
        self._tokens.invalidate()

    def __repr__(self) -> str:
        return f"Credentials({self.server})"


def in_cluster(env: Mapping[str, str] | None = None, account: Path = ACCOUNT) -> Credentials:
    """Return the credentials that kubelet mounts into the pod."""
    variables = os.environ if env is None else env
    host, port = variables.get("KUBERNETES_SERVICE_HOST", ""), variables.get("KUBERNETES_SERVICE_PORT", "443")
    authority = account / "ca.crt"
    if not host or not authority.is_file():
        raise ConfigError(
            Reason.KUBERNETES_UNAVAILABLE,
            "no cluster to speak to: run inside a pod, or give --kubeconfig or KUBECONFIG",
        )
    literal = f"[{host}]" if ":" in host else host
    return Credentials(
        f"https://{literal}:{port}", FileToken(account / "token"), tls=_tls_context(authority.read_text())
    )


async def from_kubeconfig(path: str | None = None, context: str | None = None) -> Credentials:
    """Return what a kubeconfig says: client certificate, token, token file or exec plugin."""
    from kubernetes_asyncio.client import Configuration  # noqa: PLC0415
    from kubernetes_asyncio.config import ConfigException, load_kube_config  # noqa: PLC0415

    settings = Configuration()
    try:
        loader = await load_kube_config(path, context, settings, persist_config=False)
    except (ConfigException, OSError, ValueError) as error:
        raise ConfigError(Reason.INVALID_SPEC, f"kubeconfig {path or 'of the environment'}: {error}") from None
    server = settings.host or ""
    return Credentials(
        server,
        _LoaderToken(loader, settings),
        tls=_kubeconfig_tls(settings) if server.startswith("https") else None,
        server_name=getattr(settings, "tls_server_name", None),
        proxy=getattr(settings, "proxy", None),
    )


async def load(
    kubeconfig: str | None = None, env: Mapping[str, str] | None = None, account: Path = ACCOUNT
) -> Credentials:
    """Return the credentials of the named kubeconfig, of KUBECONFIG, of the pod, or of the home directory."""
    variables = os.environ if env is None else env
    named = kubeconfig or variables.get("KUBECONFIG")
    if named:
        return await from_kubeconfig(named)
    home = Path(variables.get("HOME", "/nonexistent")) / ".kube" / "config"
    if not variables.get("KUBERNETES_SERVICE_HOST") and home.is_file():
        return await from_kubeconfig(str(home))
    return in_cluster(variables, account)


class _LoaderToken:
    """A token that a kubeconfig names; exec plugins and token files are asked again when it is due."""

    def __init__(self, loader: KubeConfigLoader, settings: Configuration) -> None:
        self._loader = loader
        self._settings = settings
        self._stale = False

    async def token(self) -> str | None:
        # The loader itself knows when an exec plugin's answer ends, and runs it only then.
        if self._stale or hasattr(self._loader, "exec_plugin_expiry"):
            await self._loader.load_and_set(self._settings)
            self._stale = False
        text: str = self._settings.api_key.get("BearerToken", "")
        return text.removeprefix("Bearer ").strip() or None

    def invalidate(self) -> None:
        self._stale = True


def _kubeconfig_tls(settings: Configuration) -> ssl.SSLContext:
    authority = Path(settings.ssl_ca_cert).read_text() if settings.ssl_ca_cert else None
    tls = _tls_context(authority)
    if not settings.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if settings.cert_file:
        tls.load_cert_chain(settings.cert_file, settings.key_file)
    return tls


def _tls_context(authority: str | None) -> ssl.SSLContext:
    tls = ssl.create_default_context(cadata=authority)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    return tls
