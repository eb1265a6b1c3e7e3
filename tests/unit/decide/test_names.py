from __future__ import annotations

import pytest

from vso.core.errors import ConfigError, Reason
from vso.decide.names import is_object_name, object_name

GOOD = ["a", "app", "a.b", "0", "my-db.creds-1", "a" * 253]
BAD = [
    "", ".", "..", "../x", "a/b", "/", "a/", "a..b", ".a", "a.", "-a", "a-", "a.-b", "App", "a_b", "a b", "a%2fb",
    "a?dryRun=All", "a#b", "é", "a\n", "a\\b", "a" * 254,
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_name_is_handed_back(text: str) -> None:
    assert is_object_name(text)
    assert object_name(text, "spec.destination.name") == text


@pytest.mark.parametrize("text", BAD)
def test_what_can_be_no_name_is_refused_with_the_field(text: str) -> None:
    assert not is_object_name(text)
    with pytest.raises(ConfigError, match=r": spec\.destination\.name is ") as caught:
        object_name(text, "spec.destination.name")
    assert caught.value.reason is Reason.INVALID_SPEC
    assert len(caught.value.message) < 300
