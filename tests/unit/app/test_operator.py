"""What the operator tells at its end."""

from __future__ import annotations

import pytest

from tests.fakes.cluster import Json
from vso.app.operator import is_ready
from vso.kube.list_watch import decode_record

READY: Json = {"conditions": [{"type": "Ready", "status": "True"}]}
NOT_READY: Json = {"conditions": [{"type": "Ready", "status": "False"}]}


@pytest.mark.parametrize(
    ("status", "spec", "expected"),
    [
        pytest.param(READY, {"mount": "kv"}, True, id="ready"),
        pytest.param(NOT_READY, {"mount": "kv"}, False, id="not-ready"),
        pytest.param({}, {"mount": "kv"}, False, id="not-seen"),
        pytest.param(NOT_READY, {"mount": 7}, False, id="not-understood"),
    ],
)
def test_an_object_is_ready_when_its_status_says_so(status: Json, spec: Json, expected: bool) -> None:
    metadata = {"name": "a", "namespace": "app", "uid": "u", "resourceVersion": "1", "generation": 1}
    record = decode_record({"metadata": metadata, "spec": spec, "status": status})
    assert is_ready(record) is expected
