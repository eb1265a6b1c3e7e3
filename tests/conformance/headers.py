"""What a recording proxy before Vault has seen in the headers of requests."""

from __future__ import annotations

from tests.testbed.proxy import Proxy

_NAMESPACE = "x-vault-namespace"


def namespaces_asked_in(proxy: Proxy, path: str) -> list[str | None]:
    """The Vault namespaces that requests to the path were made in."""
    told = zip(list(proxy.requests), list(proxy.headers), strict=False)
    return [
        next((value for name, value in headers.items() if name.lower() == _NAMESPACE), None)
        for (_, target), headers in told
        if target == path
    ]
