from __future__ import annotations

import pytest

from vso.vault.proxies import proxy_for

PROXY = "http://proxy:3128"
VAULT = "https://vault.example.com:8200"


@pytest.mark.parametrize(
    ("address", "env", "expected"),
    [
        pytest.param(VAULT, {}, None, id="no-variable"),
        pytest.param(VAULT, {"HTTPS_PROXY": PROXY}, PROXY, id="https"),
        pytest.param(VAULT, {"https_proxy": PROXY}, PROXY, id="lower-case"),
        pytest.param(VAULT, {"HTTP_PROXY": PROXY}, None, id="the-other-scheme"),
        pytest.param("http://vault:8200", {"HTTP_PROXY": PROXY, "HTTPS_PROXY": "http://no"}, PROXY, id="http"),
        pytest.param(VAULT, {"HTTPS_PROXY": "proxy:3128"}, PROXY, id="without-a-scheme"),
        pytest.param(VAULT, {"HTTPS_PROXY": "  "}, None, id="blank"),
    ],
)
def test_the_proxy_is_that_of_the_scheme(address: str, env: dict[str, str], expected: str | None) -> None:
    assert proxy_for(address, env) == expected


@pytest.mark.parametrize(
    ("address", "rule", "direct"),
    [
        pytest.param(VAULT, "*", True, id="everything"),
        pytest.param(VAULT, "vault.example.com", True, id="the-name"),
        pytest.param(VAULT, "VAULT.example.com", True, id="in-capitals"),
        pytest.param(VAULT, "example.com", True, id="its-domain"),
        pytest.param(VAULT, ".example.com", True, id="its-domain-with-a-dot"),
        pytest.param(VAULT, "*.example.com", True, id="its-domain-with-a-star"),
        pytest.param("https://example.com", ".example.com", False, id="a-dot-means-subdomains-alone"),
        pytest.param(VAULT, "ample.com", False, id="half-a-name"),
        pytest.param(VAULT, "other.com, vault.example.com ,x", True, id="one-of-a-list"),
        pytest.param(VAULT, "vault.example.com:8200", True, id="with-the-port"),
        pytest.param(VAULT, "vault.example.com:443", False, id="with-another-port"),
        pytest.param("https://vault", "vault:443", True, id="the-usual-port"),
        pytest.param(VAULT, "", False, id="nothing"),
        pytest.param(VAULT, ",", False, id="a-comma"),
        pytest.param("https://10.1.2.3:8200", "10.1.2.3", True, id="the-address"),
        pytest.param("https://10.1.2.3:8200", "10.0.0.0/8", True, id="its-block"),
        pytest.param("https://10.1.2.3:8200", "10.0.0.0/8:443", False, id="its-block-at-another-port"),
        pytest.param("https://10.1.2.3:8200", "192.168.0.0/16", False, id="another-block"),
        pytest.param("https://10.1.2.3:8200", "10", False, id="half-an-address"),
        pytest.param("https://10.1.2.3:8200", "2.3", False, id="the-end-of-an-address"),
        pytest.param("https://[fd00::1]:8200", "fd00::/8", True, id="an-ipv6-block"),
        pytest.param("https://[fd00::1]:8200", "[fd00::1]:8200", True, id="an-ipv6-address-and-port"),
        pytest.param("https://[fd00::1]:8200", "fd00::1", True, id="an-ipv6-address"),
        pytest.param("https://[fd00::1]:8200", "10.0.0.0/8", False, id="an-ipv4-block"),
        pytest.param(VAULT, "10.0.0.0/8", False, id="a-block-and-a-name"),
    ],
)
def test_no_proxy_spares_what_it_names(address: str, rule: str, direct: bool) -> None:
    assert (proxy_for(address, {"HTTPS_PROXY": PROXY, "NO_PROXY": rule}) is None) is direct
