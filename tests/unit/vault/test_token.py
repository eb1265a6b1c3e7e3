from __future__ import annotations

import pytest

from vso.core.sensitive import Sensitive
from vso.vault.auth.token import Token


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({}, (), id="as-usual"),
        pytest.param({"policies": ()}, (), id="policies-unknown"),
        pytest.param({"num_uses": 3}, ("3 requests (token_num_uses)",), id="few-uses"),
        pytest.param({"type": "batch"}, ("type batch",), id="batch"),
        pytest.param({"policies": ("app",)}, ("token_no_default_policy",), id="without-default"),
        pytest.param({"policies": ("app",), "num_uses": 1}, ("token_num_uses", "token_no_default_policy"), id="both"),
    ],
)
def test_what_a_tokens_role_should_be_told_of(changes: dict[str, object], words: tuple[str, ...]) -> None:
    usual: dict[str, object] = {"token": Sensitive.of("hvs.canary"), "policies": ("app", "default")}
    cautions = Token(**{**usual, **changes}).cautions  # type: ignore[arg-type]  # any field of it
    assert len(cautions) == len(words)
    assert all(word in caution for word, caution in zip(words, cautions, strict=True))
