from __future__ import annotations

import pytest

from vso.api.shared import Destination
from vso.core.errors import ConfigError, Reason
from vso.decide.destination import check_destination


@pytest.mark.parametrize("type_", ["", "Opaque", "kubernetes.io/tls", "kubernetes.io/basic-auth", "example.com/own"])
def test_a_secret_of_data_may_be_asked_for(type_: str) -> None:
    check_destination(Destination(name="db", create=True, type=type_))


@pytest.mark.parametrize(
    ("destination", "field"),
    [
        (Destination(name="a/b", create=True), "spec.destination.name"),
        (Destination(name="..", create=True), "spec.destination.name"),
        (Destination(name="db", create=True, type="kubernetes.io/service-account-token"), "spec.destination.type"),
        (Destination(name="db", create=True, type="bootstrap.kubernetes.io/token"), "spec.destination.type"),
    ],
)
def test_what_is_no_secret_of_data_is_refused_by_its_field(destination: Destination, field: str) -> None:
    with pytest.raises(ConfigError, match=field) as caught:
        check_destination(destination)
    assert caught.value.reason is Reason.INVALID_SPEC
