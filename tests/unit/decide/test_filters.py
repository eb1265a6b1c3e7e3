from __future__ import annotations

import pytest

from vso.core.errors import ConfigError, Reason
from vso.decide.filters import keep_names

NAMES = ("db-user", "db-password", "api_key", "notes", "Ünïcode")


@pytest.mark.parametrize(
    ("includes", "excludes", "expected"),
    [
        pytest.param((), (), NAMES, id="no-patterns-keep-everything"),
        pytest.param(("^db-",), (), ("db-user", "db-password"), id="includes-keep-what-matches"),
        pytest.param(("user", "key"), (), ("db-user", "api_key"), id="any-of-several-and-unanchored"),
        pytest.param((), ("^db-", "notes"), ("api_key", "Ünïcode"), id="excludes-drop-what-matches"),
        pytest.param(("^db-",), ("password",), ("db-user",), id="an-exclude-beats-an-include"),
        pytest.param((), (".*",), (), id="everything-can-be-excluded"),
        pytest.param(("nothing",), (), (), id="an-include-that-matches-nothing"),
        pytest.param((r"(?i)^DB-USER$",), (), ("db-user",), id="flags"),
        pytest.param((r"\p{Lu}",), (), ("Ünïcode",), id="unicode-classes"),
        pytest.param((r"(?P<first>notes)", r"\z"), (), NAMES, id="go-s-end-of-text"),
        pytest.param((r"\Qapi_\E",), (), ("api_key",), id="quoted"),
        pytest.param(("",), (), NAMES, id="empty-matches-everything"),
    ],
)
def test_keep_names(includes: tuple[str, ...], excludes: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert keep_names(NAMES, includes, excludes) == expected


# Patterns that Go's regexp refuses as well.
@pytest.mark.parametrize(
    "pattern", ["a(", r"\Z", "(?=a)", r"\1", "a{1001}", "a**", "a++", "*", "[z-a]", r"\K", "x{2}{3}", r"\x{110000}"]
)
@pytest.mark.parametrize("field", ["includes", "excludes"])
def test_refuses_what_is_no_re2_pattern(field: str, pattern: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keep_names(NAMES, **{"includes": (), "excludes": (), field: (pattern,)})
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.message == (
        f"spec.destination.transformation.{field} holds {pattern!r}, which is no RE2 pattern"
    )
