from __future__ import annotations

import pytest

from vso.sandbox.policies import PolicyError, capabilities, parse

POLICY = """
# the team's own
path "kv/data/app/*" { capabilities = ["read", "list"] }
path "kv/data/app/secret" { capabilities = ["deny"] } // never
path "kv/data/+/config" {
  capabilities = ["create", "update"]
}
path "kv/data/exact" { capabilities = ["read"] }
path "kv/data/exact" { capabilities = ["update"] }
path "*" { capabilities = ["list"] }
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("kv/data/app/x", {"read", "list"}, id="glob"),
        pytest.param("kv/data/app/x/y", {"read", "list"}, id="glob-crosses-slashes"),
        pytest.param("kv/data/app/secret", {"deny"}, id="exact-before-glob"),
        pytest.param("kv/data/team/config", {"create", "update"}, id="plus-is-one-segment"),
        pytest.param("kv/data/a/b/config", {"list"}, id="plus-is-not-two"),
        pytest.param("kv/data/app/config", {"read", "list"}, id="the-later-wildcard-wins"),
        pytest.param("kv/data/exact", {"read", "update"}, id="equal-patterns-add-up"),
        pytest.param("other", {"list"}, id="catch-all"),
    ],
)
def test_capabilities(path: str, expected: set[str]) -> None:
    assert capabilities(parse(POLICY), path) == expected


@pytest.mark.parametrize("text", ['path "x" {', 'path "x" { }', 'path "x" { capabilities = ["fly"] }', "nonsense"])
def test_a_policy_that_does_not_parse(text: str) -> None:
    with pytest.raises(PolicyError):
        parse(text)
