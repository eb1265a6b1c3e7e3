from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vso.core.sensitive import Sensitive
from vso.decide.mac import secret_mac

KEY = b"0123456789abcdef"


# Computed by Go's crypto/hmac over encoding/json of a map[string][]byte.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({}, "+R4+nwXMLfZKwcJvitzN/9qNHkp6jFChoI7q2sbd/sU=", id="no-keys"),
        pytest.param({"a": b"1"}, "TZp6sIKM0SPAXVVQbPxzFgaNG81kfd+MN2V6t1DHQrw=", id="one-key"),
        pytest.param(
            {"b": b"x<>&", "a": b"", "A": b"\x00\xff", "_raw": b'{"a":1}'},
            "S85wcp8KECt5dpakrAD8v785ClfqZFzwaoYEacofAng=",
            id="sorted-by-bytes-and-an-empty-value-is-an-empty-string",
        ),
    ],
)
def test_is_the_reference_operator_s(data: dict[str, bytes], expected: str) -> None:
    assert secret_mac(KEY, {name: Sensitive(value) for name, value in data.items()}) == expected


@settings(deadline=None)
@given(st.dictionaries(st.from_regex(r"[-._a-zA-Z0-9]{1,8}", fullmatch=True), st.binary(max_size=8)))
def test_the_order_of_the_keys_does_not_matter(data: dict[str, bytes]) -> None:
    forwards = {name: Sensitive(value) for name, value in data.items()}
    backwards = dict(reversed(forwards.items()))
    assert secret_mac(KEY, forwards) == secret_mac(KEY, backwards)


def test_another_key_gives_another_text() -> None:
    data = {"a": Sensitive(b"1")}
    assert secret_mac(KEY, data) != secret_mac(b"another", data)
