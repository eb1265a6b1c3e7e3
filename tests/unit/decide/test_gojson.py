from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vso.core.errors import ConfigError, Reason
from vso.core.numbers import JsonNumber
from vso.decide.gojson import JsonValue, go_json, go_text


def decoded(document: str) -> JsonValue:
    value: JsonValue = json.loads(document, parse_int=JsonNumber, parse_float=JsonNumber)
    return value


# Left: a document; right: what Go 1.26 makes of it by Decoder.UseNumber and json.Marshal.
GO = [
    ('{"b":1,"a":2}', b'{"a":2,"b":1}'),
    ('{"a":{"z":[1,{"y":1,"x":null}],"é":true}}', '{"a":{"z":[1,{"x":null,"y":1}],"é":true}}'.encode()),
    ('{"k":"<a href=\\"x\\">&amp;</a>"}', b'{"k":"\\u003ca href=\\"x\\"\\u003e\\u0026amp;\\u003c/a\\u003e"}'),
    ('{"<k>":"v"}', b'{"\\u003ck\\u003e":"v"}'),
    ('{"k":"a\u2028b\u2029c"}', b'{"k":"a\\u2028b\\u2029c"}'),
    ('{"k":"\\u2028\\u2029"}', b'{"k":"\\u2028\\u2029"}'),
    ('{"k":"\\b\\f\\n\\r\\t\\u0000\\u001f\\u007f\\u0080"}', b'{"k":"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\xc2\x80"}'),
    ('{"k":"\\\\ \\/ \\""}', b'{"k":"\\\\ / \\""}'),
    ('{"k":"\\ud800"}', b'{"k":"\xef\xbf\xbd"}'),
    ('{"k":"a\\ud800\\udc00b"}', b'{"k":"a\xf0\x90\x80\x80b"}'),
    ('{"k":"\\udc00\\ud800x"}', b'{"k":"\xef\xbf\xbd\xef\xbf\xbdx"}'),
    ('{"\\ud800":1,"\\udfff":2}', b'{"\xef\xbf\xbd":2}'),
    ('{"a":["\\ud800",1.0,true,null],"b":{"c":2}}', b'{"a":["\xef\xbf\xbd",1.0,true,null],"b":{"c":2}}'),
    (
        '{"n":1.0,"m":1e3,"o":1E+3,"p":-0,"q":12345678901234567890123,"r":0.1000}',
        b'{"m":1e3,"n":1.0,"o":1E+3,"p":-0,"q":12345678901234567890123,"r":0.1000}',
    ),
    # By UTF-8 bytes, in which U+FF5E sorts before an emoji; UTF-16 would have it the other way round.
    ('{"\\uff5e":1,"\\ud83d\\ude00":2,"z":3,"":4,"A":5}', '{"":4,"A":5,"z":3,"～":1,"😀":2}'.encode()),
    ("null", b"null"),
    ("true", b"true"),
    ("[]", b"[]"),
    ("{}", b"{}"),
    ('""', b'""'),
    ('[[],{},"",false]', b'[[],{},"",false]'),
    ('{"k":"\ufffd\\ufeffx"}', b'{"k":"\xef\xbf\xbd\xef\xbb\xbfx"}'),
]


@pytest.mark.parametrize(("document", "expected"), GO)
def test_writes_what_go_writes(document: str, expected: bytes) -> None:
    assert go_json(decoded(document)) == expected


def test_takes_any_mapping_and_sequence() -> None:
    value: JsonValue = MappingProxyType({"b": (1, MappingProxyType({})), "a": 2})
    assert go_json(value) == b'{"a":2,"b":[1,{}]}'


def nested(levels: int) -> JsonValue:
    value: JsonValue = "x"
    for _ in range(levels):
        value = [value]
    return value


def test_refuses_what_nests_too_deeply_and_never_quotes_it() -> None:
    assert go_json(nested(250)).startswith(b"[[")
    for levels in (300, 100_000):
        with pytest.raises(ConfigError, match=r"^SourceInvalid: the JSON value nests too deeply$") as caught:
            go_json(nested(levels))
        assert caught.value.reason is Reason.SOURCE_INVALID


@pytest.mark.parametrize(("text", "expected"), [("é", b"\xc3\xa9"), ("a\ud800b", b"a\xef\xbf\xbdb"), ("", b"")])
def test_text(text: str, expected: bytes) -> None:
    assert go_text(text) == expected


# The rules of Go's encoding/json once more, one character at a time.

ESCAPED = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def reference_char(char: str) -> str:
    if char in ESCAPED:
        return ESCAPED[char]
    if char < " " or char in "<>&\u2028\u2029":
        return f"\\u{ord(char):04x}"
    return "\ufffd" if "\ud800" <= char <= "\udfff" else char


def reference_string(text: str) -> str:
    return f'"{"".join(map(reference_char, text))}"'


def reference(value: JsonValue) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, JsonNumber)):
        return str(value)
    if isinstance(value, str):
        return reference_string(value)
    if isinstance(value, Mapping):
        written = {reference_string(name).encode(): reference(item) for name, item in value.items()}
        unescaped = {reference_string(name).encode(): go_text(name) for name in value}
        ordered = sorted(written, key=lambda name: unescaped[name])
        return "{" + ",".join(f"{name.decode()}:{written[name]}" for name in ordered) + "}"
    assert isinstance(value, Sequence)
    return "[" + ",".join(map(reference, value)) + "]"


TEXT = st.text(st.characters(codec=None)) | st.text('<>&\u2028\u2029\ud800\udfff\\"/\x00\x1f\x7fé😀')
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | TEXT | NUMBERS.map(JsonNumber),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON)
def test_agrees_with_the_rules_on_anything(value: JsonValue) -> None:
    assert go_json(value).decode() == reference(value)


@settings(deadline=None)
@given(JSON)
def test_what_is_written_reads_back_and_is_written_again_alike(value: JsonValue) -> None:
    written = go_json(value)
    assert go_json(decoded(written.decode())) == written
