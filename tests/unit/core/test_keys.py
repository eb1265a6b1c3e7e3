from __future__ import annotations

import pytest

from vso.core.keys import API_VERSION, Kind, KindKey, ObjectKey, OwnerRef


@pytest.mark.parametrize(
    ("kind", "plural"),
    [
        (Kind.VAULT_STATIC_SECRET, "vaultstaticsecrets"),
        (Kind.VAULT_PKI_SECRET, "vaultpkisecrets"),
        (Kind.VAULT_AUTH_GLOBAL, "vaultauthglobals"),
        (Kind.HCP_AUTH, "hcpauths"),
        (Kind.CSI_SECRETS, "csisecrets"),
    ],
)
def test_the_plural_of_a_kind(kind: Kind, plural: str) -> None:
    assert kind.plural == plural


def test_the_plurals_are_all_different() -> None:
    assert len({kind.plural for kind in Kind}) == len(Kind) == 10


def test_keys_compare_by_namespace_and_name() -> None:
    one, two = ObjectKey("a", "z"), ObjectKey("b", "a")
    assert sorted([two, one]) == [one, two]
    assert {one, ObjectKey("a", "z")} == {one}


def test_keys_read_as_people_write_them() -> None:
    key = ObjectKey("app", "db")
    assert str(key) == "app/db"
    assert str(KindKey(Kind.VAULT_STATIC_SECRET, key)) == "VaultStaticSecret app/db"


def test_an_owner_is_of_our_group() -> None:
    assert OwnerRef("VaultStaticSecret", "db", "uid-1").api_version == API_VERSION == "secrets.hashicorp.com/v1beta1"
