"""What the volumes of a pod hold, and how it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.testbed.pod_fields import NotThere, Unsupported
from tests.testbed.pod_volumes import PodVolumes, check_volumes, files_of

Json = dict[str, Any]
SECRET = {"kind": "Secret", "data": {"tls.crt": "YQ==", "tls.key": "Yg=="}}
CONFIG = {"kind": "ConfigMap", "data": {"ca.crt": "c"}, "binaryData": {"raw": "ZA=="}}
META = {"name": "p", "namespace": "n", "labels": {"a": "1", "b": "2"}, "annotations": {"note": 'say "x"'}}


def pod(*volumes: Json) -> Json:
    return {"metadata": META, "spec": {"volumes": [{"name": f"v{n}", **volume} for n, volume in enumerate(volumes)]}}


def look(kind: str, name: str) -> Json | None:
    return {("Secret", "tls"): SECRET, ("ConfigMap", "ca"): CONFIG}.get((kind, name))


def token(audience: str, seconds: int) -> str:
    return f"{audience or 'api'}/{seconds}"


@pytest.mark.parametrize(
    ("volume", "files"),
    [
        ({"secret": {"secretName": "tls"}}, {"tls.crt": b"a", "tls.key": b"b"}),
        ({"secret": {"secretName": "tls", "items": [{"key": "tls.crt", "path": "x/y.pem"}]}}, {"x/y.pem": b"a"}),
        ({"configMap": {"name": "ca"}}, {"ca.crt": b"c", "raw": b"d"}),
        ({"secret": {"secretName": "none", "optional": True}}, {}),
        ({"configMap": {"name": "ca", "optional": True, "items": [{"key": "x", "path": "x"}]}}, {}),
        (
            {
                "projected": {
                    "sources": [
                        {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                        {"secret": {"name": "tls"}},
                        {"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 600}},
                        {"serviceAccountToken": {"path": "api"}},
                    ]
                }
            },
            {"ca.crt": b"c", "tls.crt": b"a", "tls.key": b"b", "vault": b"vault/600", "api": b"api/3600"},
        ),
        (
            {
                "downwardAPI": {
                    "items": [
                        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                        {"path": "notes", "fieldRef": {"fieldPath": "metadata.annotations"}},
                        {"path": "a", "fieldRef": {"fieldPath": "metadata.labels['a']"}},
                    ]
                }
            },
            {"labels": b'a="1"\nb="2"', "notes": b'note="say \\"x\\""', "a": b"1"},
        ),
    ],
)
def test_what_a_volume_holds(volume: Json, files: dict[str, bytes]) -> None:
    check_volumes(pod(volume))
    assert files_of(volume, pod(volume), look, token) == files


@pytest.mark.parametrize(
    ("volume", "missing"),
    [
        ({"secret": {"secretName": "none"}}, "there is no Secret none"),
        ({"configMap": {"name": "ca", "items": [{"key": "x", "path": "x"}]}}, "ConfigMap ca has no key x"),
    ],
)
def test_what_a_volume_lacks_is_named(volume: Json, missing: str) -> None:
    with pytest.raises(NotThere, match=missing):
        files_of(volume, pod(volume), look, token)


@pytest.mark.parametrize(
    "volume",
    [
        {"hostPath": {"path": "/"}},
        {"persistentVolumeClaim": {"claimName": "x"}},
        {"projected": {"sources": [{"clusterTrustBundle": {"path": "x"}}]}},
        {"downwardAPI": {"items": [{"path": "cpu", "resourceFieldRef": {"resource": "limits.cpu"}}]}},
    ],
)
def test_what_cannot_be_shown_is_refused(volume: Json) -> None:
    with pytest.raises(Unsupported):
        check_volumes(pod(volume))


def test_an_edit_reaches_the_file_in_one_step_and_what_is_no_more_goes(tmp_path: Path) -> None:
    held: Json = {"kind": "Secret", "data": {"a": "MQ==", "b": "MQ=="}}
    volumes = PodVolumes(pod({"secret": {"secretName": "s"}}, {"emptyDir": {}}), tmp_path, lambda *_: held, token)
    volumes.refresh()
    folder = volumes.folders["v0"]
    before = (folder / "..data").readlink()
    volumes.refresh()
    assert (folder / "..data").readlink() == before
    held["data"] = {"a": "Mg=="}
    volumes.refresh()
    assert (folder / "a").read_text() == "2"
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith("..")) == ["a"]
    assert list(volumes.folders["v1"].iterdir()) == []


def test_a_token_is_asked_for_once_while_most_of_its_life_is_left(tmp_path: Path) -> None:
    asked: list[int] = []

    def ask(_: str, seconds: int) -> str:
        asked.append(seconds)
        return str(len(asked))

    sources = [{"serviceAccountToken": {"path": "long", "expirationSeconds": 600}},
               {"serviceAccountToken": {"path": "over", "expirationSeconds": 0}}]  # fmt: skip
    volumes = PodVolumes(pod({"projected": {"sources": sources}}), tmp_path, look, ask)
    volumes.refresh()
    volumes.refresh()
    assert asked == [600, 0, 0]
    assert (volumes.folders["v0"] / "over").read_text() == "3"
