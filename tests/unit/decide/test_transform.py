from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from vso.api.secrets import VaultStaticSecretSpec
from vso.core.errors import ConfigError, Reason, TerminalError
from vso.core.numbers import JsonNumber
from vso.core.sensitive import Sensitive
from vso.decide.gojson import JsonValue
from vso.decide.transform import KvAnswer, KvSource, build, sources

APP = KvSource("kv", "app", "kv-v2")
CANARY = "s3cr3t-canary"


def spec_of(**fields: Any) -> VaultStaticSecretSpec:
    whole = {"mount": "kv", "path": "app", "type": "kv-v2", "destination": {"name": "out"}, **fields}
    return VaultStaticSecretSpec.model_validate(whole)


def item(secret_key: str, key: str, **ref: Any) -> dict[str, Any]:
    return {"secretKey": secret_key, "remoteRef": {"key": key, **ref}}


def answer(data: Mapping[str, JsonValue], raw: Mapping[str, JsonValue] | None = None) -> KvAnswer:
    return KvAnswer(data, data if raw is None else raw)


def built(
    spec: VaultStaticSecretSpec, answers: Mapping[KvSource, KvAnswer], *, exclude_raw_default: bool = False
) -> dict[str, bytes]:
    made = build(spec, answers, exclude_raw_default=exclude_raw_default)
    return {name: value.reveal() for name, value in made.items()}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, [APP], id="the-path"),
        pytest.param({"version": 3}, [KvSource("kv", "app", "kv-v2", 3)], id="a-version"),
        pytest.param({"version": 0}, [APP], id="version-0-is-the-latest"),
        pytest.param({"type": "kv-v1", "version": 3}, [KvSource("kv", "app", "kv-v1")], id="kv-v1-has-no-versions"),
        pytest.param({"data": [item("a", "x"), item("b", "y")]}, [APP], id="several-fields-are-one-source"),
        pytest.param(
            {"data": [item("a", "x"), item("b", "other", property="y")]},
            [APP, KvSource("kv", "other", "kv-v2")],
            id="property-makes-key-a-path",
        ),
        pytest.param(
            {"data": [item("b", "other/deep", property="y")]},
            [KvSource("kv", "other/deep", "kv-v2")],
            id="spec-path-is-not-read-when-nothing-comes-from-it",
        ),
        pytest.param(
            {"data": [item("a", "x", version=2), item("b", "x")]},
            [KvSource("kv", "app", "kv-v2", 2), APP],
            id="two-versions-are-two-sources",
        ),
        pytest.param(
            {"version": 4, "data": [item("a", "x"), item("b", "other", property="y"), item("c", "app", property="z")]},
            [KvSource("kv", "app", "kv-v2", 4), KvSource("kv", "other", "kv-v2")],
            id="spec-version-speaks-of-spec-path-alone",
        ),
        pytest.param(
            {"version": 4, "data": [item("a", "x", version=2)]},
            [KvSource("kv", "app", "kv-v2", 2)],
            id="the-item-s-version-is-stronger",
        ),
    ],
)
def test_sources(fields: dict[str, Any], expected: list[KvSource]) -> None:
    assert list(sources(spec_of(**fields))) == expected


def test_a_version_needs_kv_v2() -> None:
    with pytest.raises(
        ConfigError, match=r"spec\.data of key 'a' names a version, which only type kv-v2 has"
    ) as caught:
        sources(spec_of(type="kv-v1", data=[item("a", "x", version=2)]))
    assert caught.value.reason is Reason.INVALID_SPEC


DATA: Mapping[str, JsonValue] = {
    "user": "scott",
    "unicode": "grüße",
    "port": JsonNumber("5432.0"),
    "on": True,
    "none": None,
    "tags": ["a", JsonNumber("2"), {"k": "<v>"}],
    "nested": {"deep": [{"x": "y"}], "dot.ted": "literal", "dot": {"ted": "descended"}},
    "a.b": "dotted",
    "a": {"b": "descended", "c": "only here"},
    "0": "digit",
    "": "nameless",
}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("user", b"scott", id="text"),
        pytest.param("unicode", "grüße".encode(), id="utf-8"),
        pytest.param("port", b"5432.0", id="a-number-keeps-its-literal"),
        pytest.param("on", b"true", id="boolean"),
        pytest.param("none", b"null", id="null-is-a-value"),
        pytest.param("tags", b'["a",2,{"k":"\\u003cv\\u003e"}]', id="go-json"),
        pytest.param("a.b", b"dotted", id="a-key-is-literal"),
        pytest.param("0", b"digit", id="a-digit"),
    ],
)
def test_key_alone_is_a_field_of_the_secret_at_the_path(key: str, expected: bytes) -> None:
    assert built(spec_of(data=[item("out", key)]), {APP: answer(DATA)}) == {"out": expected}


OTHER = KvSource("kv", "other", "kv-v2")


@pytest.mark.parametrize(
    ("property_", "expected"),
    [
        pytest.param("user", b"scott", id="a-field"),
        pytest.param("a.b", b"dotted", id="a-literal-name-wins-over-descending"),
        pytest.param("a.c", b"only here", id="descends"),
        pytest.param("nested.deep.0.x", b"y", id="through-an-index"),
        pytest.param("nested.dot.ted", b"literal", id="a-literal-name-wins-further-down-too"),
        pytest.param("nested.deep", b'[{"x":"y"}]', id="ends-at-a-list"),
        pytest.param("tags.1", b"2", id="ends-at-an-element"),
        pytest.param("tags.2.k", b"<v>", id="element-then-field"),
        pytest.param("0", b"digit", id="a-digit-is-a-name-in-an-object"),
        pytest.param("none", b"null", id="null-is-a-value"),
    ],
)
def test_property_is_a_field_of_the_secret_at_key(property_: str, expected: bytes) -> None:
    spec = spec_of(data=[item("out", "other", property=property_)])
    assert built(spec, {OTHER: answer(DATA)}) == {"out": expected}


@pytest.mark.parametrize(
    "property_",
    [
        "nobody",
        "user.x",
        "a.b.c",
        "tags.3",
        "tags.-1",
        "tags.x",
        "tags.1.x",
        "tags.",
        "a.",
        ".a",
        "nested..deep",
        "user.0",
    ],
)
def test_property_that_leads_nowhere(property_: str) -> None:
    spec = spec_of(data=[item("out", "other", property=property_)])
    with pytest.raises(ConfigError) as caught:
        build(spec, {OTHER: answer(DATA)}, exclude_raw_default=False)
    assert caught.value.reason is Reason.SOURCE_KEY_MISSING
    assert caught.value.message == f"kv/other has no field {property_!r}"


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([item("o", "x")], "kv/app has no field 'x'", id="one"),
        pytest.param([item("o", "a.c")], "kv/app has no field 'a.c'", id="key-alone-does-not-descend"),
        pytest.param(
            [item("o", "x"), item("p", "user"), item("q", "y"), item("r", "x")],
            "kv/app has no fields 'x', 'y'",
            id="all-at-once-each-once",
        ),
        pytest.param(
            [item("o", "x"), item("p", "other", property="z", version=2)],
            "kv/app has no field 'x'; kv/other version 2 has no field 'z'",
            id="from-several-paths",
        ),
    ],
)
def test_what_is_missing_is_named_by_path_and_field(items: list[dict[str, Any]], expected: str) -> None:
    versioned = KvSource("kv", "other", "kv-v2", 2)
    with pytest.raises(ConfigError) as caught:
        build(spec_of(data=items), {APP: answer(DATA), versioned: answer(DATA)}, exclude_raw_default=False)
    assert (caught.value.reason, caught.value.message) == (Reason.SOURCE_KEY_MISSING, expected)


@pytest.mark.parametrize(
    ("strategy", "value", "expected"),
    [
        pytest.param("None", "aGk=", b"aGk=", id="none-leaves-it"),
        pytest.param("Base64", "aGk=", b"hi", id="base64"),
        pytest.param("Base64", "aGk", b"hi", id="base64-without-padding"),
        pytest.param("Base64", "aG\nk=\r\n", b"hi", id="base64-with-line-breaks"),
        pytest.param("Base64", "+/+/", b"\xfb\xff\xbf", id="base64-alphabet"),
        pytest.param("Base64", "", b"", id="base64-empty"),
        pytest.param("Base64URL", "-_-_", b"\xfb\xff\xbf", id="url-alphabet"),
        pytest.param("Base64URL", "aGk", b"hi", id="url-without-padding"),
        pytest.param("Auto", "aGk=", b"hi", id="auto-standard"),
        pytest.param("Auto", "-_-_", b"\xfb\xff\xbf", id="auto-url"),
        pytest.param("Auto", "not base64!", b"not base64!", id="auto-leaves-the-rest"),
        pytest.param("Auto", "aGk", b"aGk", id="auto-wants-padding"),
        pytest.param("Auto", "grüße", "grüße".encode(), id="auto-leaves-what-is-not-ascii"),
        pytest.param("Auto", JsonNumber("1234"), b"1234", id="auto-leaves-numbers"),
        pytest.param("Auto", {"a": "b"}, b'{"a":"b"}', id="auto-leaves-objects"),
    ],
)
def test_decoding_strategy(strategy: str, value: JsonValue, expected: bytes) -> None:
    spec = spec_of(data=[item("out", "field", decodingStrategy=strategy)])
    assert built(spec, {APP: answer({"field": value})}) == {"out": expected}


@pytest.mark.parametrize(
    ("strategy", "value"),
    [
        ("Base64", "not base64!"),
        ("Base64", "-_-_"),
        ("Base64", "grüße"),
        ("Base64", "aGkaa"),
        ("Base64", "aG=k"),
        ("Base64", JsonNumber("1234")),
        ("Base64", None),
        ("Base64", ["aGk="]),
        ("Base64URL", "+/+/"),
    ],
)
def test_what_cannot_be_decoded_is_named_and_not_shown(strategy: str, value: JsonValue) -> None:
    spec = spec_of(data=[item("out", "field", decodingStrategy=strategy)])
    with pytest.raises(ConfigError) as caught:
        build(spec, {APP: answer({"field": value})}, exclude_raw_default=False)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.message == (
        f"kv/app field 'field' is not {strategy}, which decodingStrategy of spec.data key 'out' says it is"
    )


def test_data_from_several_paths_holds_exactly_the_listed_keys() -> None:
    spec = spec_of(
        data=[item("a", "user"), item("b", "other", property="x.0")],
        destination={"name": "out", "transformation": {"excludes": [".*"]}},
    )
    answers = {APP: answer({"user": "scott", "more": "m"}), OTHER: answer({"x": ["first"], "more": "m"})}
    assert built(spec, answers) == {"a": b"scott", "b": b"first"}


RAW: Mapping[str, JsonValue] = {
    "metadata": {"version": JsonNumber("1"), "x": "<"},
    "data": {"b": "1", "a": JsonNumber("1.0")},
}
RAW_TEXT = b'{"data":{"a":1.0,"b":"1"},"metadata":{"version":1,"x":"\\u003c"}}'


@pytest.mark.parametrize(
    ("transformation", "exclude_raw_default", "expected"),
    [
        pytest.param(None, False, {"a": b"1.0", "b": b"1", "_raw": RAW_TEXT}, id="everything-and-raw"),
        pytest.param({"excludeRaw": True}, False, {"a": b"1.0", "b": b"1"}, id="without-raw"),
        pytest.param(None, True, {"a": b"1.0", "b": b"1"}, id="without-raw-by-default"),
        pytest.param({"includes": ["a"]}, False, {"a": b"1.0", "_raw": RAW_TEXT}, id="filters-spare-raw"),
        pytest.param({"excludes": ["^_raw$", "b"]}, False, {"a": b"1.0", "_raw": RAW_TEXT}, id="excludes-spare-raw"),
        pytest.param({"excludes": [".*"], "excludeRaw": True}, False, {}, id="nothing-at-all-is-an-empty-secret"),
    ],
)
def test_the_whole_secret(
    transformation: dict[str, Any] | None, exclude_raw_default: bool, expected: dict[str, bytes]
) -> None:
    spec = spec_of(destination={"name": "out", "transformation": transformation})
    read = answer({"b": "1", "a": JsonNumber("1.0")}, RAW)
    assert built(spec, {APP: read}, exclude_raw_default=exclude_raw_default) == expected


def test_with_kv_v1_raw_is_the_fields() -> None:
    source = KvSource("kv", "app", "kv-v1")
    assert built(spec_of(type="kv-v1"), {source: answer({"a": "1"})}) == {"a": b"1", "_raw": b'{"a":"1"}'}


def test_a_field_named_raw_collides_unless_raw_is_excluded() -> None:
    read = {APP: answer({"_raw": CANARY})}
    with pytest.raises(ConfigError, match="kv/app has a field '_raw'") as caught:
        build(spec_of(), read, exclude_raw_default=False)
    assert caught.value.reason is Reason.SECRET_KEY_INVALID
    assert built(spec_of(), read, exclude_raw_default=True) == {"_raw": CANARY.encode()}


@pytest.mark.parametrize("key", ["a", "A-b_c.9", ".hidden", ".x", "-", "_", "a..b", "x" * 253])
def test_keys_that_kubernetes_takes(key: str) -> None:
    assert key in built(spec_of(), {APP: answer({key: "1"})})


@pytest.mark.parametrize("key", ["", ".", "..", "..a", "...", "a b", "a/b", "ü", "a\n", "x" * 254, "\ud800"])
def test_keys_that_kubernetes_refuses_reject_the_whole(key: str) -> None:
    with pytest.raises(ConfigError, match="Kubernetes refuses these keys of a Secret: ") as caught:
        build(spec_of(), {APP: answer({"good": CANARY, key: CANARY})}, exclude_raw_default=False)
    assert caught.value.reason is Reason.SECRET_KEY_INVALID
    assert repr(key[:80])[:-1] in caught.value.message


def test_all_refused_keys_are_named() -> None:
    with pytest.raises(ConfigError, match=r": '\.\.', 'a b'$"):
        build(spec_of(), {APP: answer({"a b": "1", "..": "1", "ok": "1"})}, exclude_raw_default=False)


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [
        pytest.param({"a": 1048576}, True, id="exactly-one-mebibyte"),
        pytest.param({"a" * 253: 1048576}, True, id="keys-do-not-count"),
        pytest.param({"a": 1048577}, False, id="one-byte-more"),
        pytest.param({"b": 600_000, "a": 500_000}, False, id="in-sum"),
    ],
)
def test_the_size_of_a_secret(sizes: dict[str, int], fits: bool) -> None:
    read = {APP: answer({name: "x" * size for name, size in sizes.items()})}
    if fits:
        assert built(spec_of(), read, exclude_raw_default=True).keys() == sizes.keys()
        return
    with pytest.raises(ConfigError) as caught:
        build(spec_of(), read, exclude_raw_default=True)
    largest = max(sizes, key=lambda name: sizes[name])
    assert caught.value.reason is Reason.SECRET_TOO_LARGE
    assert caught.value.message == f"the values are more than 1 MiB together, that of {largest!r} the largest"


@pytest.mark.parametrize(
    "transformation",
    [{"templates": {"k": {"text": "t"}}}, {"transformationRefs": [{"name": "st"}]}],
)
@pytest.mark.parametrize("data", [[], [item("a", "a")]])
def test_templates_wait_for_their_own_part(transformation: dict[str, Any], data: list[dict[str, Any]]) -> None:
    spec = spec_of(data=data, destination={"name": "out", "transformation": transformation})
    with pytest.raises(TerminalError) as caught:
        build(spec, {APP: answer({"a": "1"})}, exclude_raw_default=False)
    assert caught.value.reason is Reason.NOT_IMPLEMENTED


def test_neither_answer_nor_result_shows_a_value() -> None:
    read = answer({"a": CANARY})
    made = build(spec_of(), {APP: read}, exclude_raw_default=False)
    assert CANARY not in repr(read) + repr(made)
    assert made["a"] == Sensitive.of(CANARY)
