"""Requests in the clear to servers of this machine.

Invariant: none of them loads the certificates of the world, which takes longer than all the rest of a request.
"""

from __future__ import annotations

import ssl

import httpx

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody: these requests do not speak TLS."""


def client(base_url: str = "", *, timeout: float = 60, headers: dict[str, str] | None = None) -> httpx.Client:
    """Return a client that keeps its connections; the environment's proxies stay outside."""
    return httpx.Client(base_url=base_url, headers=headers, timeout=timeout, trust_env=False, verify=_NO_TLS)


def get(url: str, timeout: float = 5) -> httpx.Response:
    """Ask once; raises httpx.TransportError where nobody answers."""
    return httpx.get(url, timeout=timeout, trust_env=False, verify=_NO_TLS)
