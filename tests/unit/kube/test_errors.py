"""What a refusal means, as a table of answers."""

from __future__ import annotations

import pytest

from vso.core.errors import ConfigError, ExpiredError, Reason, TerminalError, TransientError, VsoError
from vso.core.keys import Kind
from vso.kube.errors import (
    AlreadyExistsError,
    Asked,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthorizedError,
    error_for,
    missing_rule,
)
from vso.kube.json import JsonObject
from vso.kube.paths import Target, cr_path, event_path, schema_path, secret_path, service_account_path, target_of

SECRET = Asked("create", Target("", "secrets", "app"))
PATCH = Asked("patch", target_of(secret_path("app", "creds")))
RBAC = 'secrets is forbidden: User "x" cannot create resource "secrets" in API group "" in the namespace "app"'
UNREAD = 'forbidden: User "x" cannot get path "/openapi/v3/apis/secrets.hashicorp.com/v1beta1"'
SCHEMA = Asked("get", target_of(schema_path()))
QUOTA = 'secrets "creds" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=1, limited: secrets=1'
WEBHOOK = 'admission webhook "w.example.com" denied the request: no'
POLICY = "secrets \"creds\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"
DOWN = 'Internal error occurred: failed calling webhook "w.example.com": Post …: connection refused'


def said(message: str = "", reason: str = "", **details: object) -> JsonObject:
    return {"kind": "Status", "message": message, "reason": reason, "details": details}


@pytest.mark.parametrize(
    ("status", "body", "asked", "kind", "reason"),
    [
        (401, said("Unauthorized"), SECRET, UnauthorizedError, Reason.KUBERNETES_UNAVAILABLE),
        (403, said(RBAC), SECRET, ForbiddenError, Reason.KUBERNETES_FORBIDDEN),
        (403, None, SECRET, ForbiddenError, Reason.KUBERNETES_FORBIDDEN),
        (403, said(UNREAD), SCHEMA, ForbiddenError, Reason.KUBERNETES_FORBIDDEN),
        (403, said(QUOTA), SECRET, ConfigError, Reason.QUOTA_EXCEEDED),
        (403, said("failed quota: q: must specify"), SECRET, ConfigError, Reason.QUOTA_EXCEEDED),
        (403, said("pods are forbidden: violates PodSecurity"), SECRET, ConfigError, Reason.KUBERNETES_REJECTED),
        (403, said(WEBHOOK), SECRET, ConfigError, Reason.ADMISSION_DENIED),
        (400, said(WEBHOOK), SECRET, ConfigError, Reason.ADMISSION_DENIED),
        (422, said(POLICY), SECRET, ConfigError, Reason.ADMISSION_DENIED),
        (
            403,
            said("…", causes=[{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]),
            SECRET,
            TerminalError,
            Reason.NAMESPACE_TERMINATING,
        ),
        (404, said(kind="secrets"), PATCH, NotFoundError, Reason.REFERENCE_NOT_FOUND),
        (409, said(reason="AlreadyExists"), SECRET, AlreadyExistsError, Reason.KUBERNETES_CONFLICT),
        (409, said(reason="Conflict"), PATCH, ConflictError, Reason.KUBERNETES_CONFLICT),
        (410, said(reason="Expired"), PATCH, ExpiredError, Reason.KUBERNETES_UNAVAILABLE),
        (422, said("…"), SECRET, InvalidError, Reason.KUBERNETES_REJECTED),
        (429, said("slow down"), PATCH, TransientError, Reason.KUBERNETES_UNAVAILABLE),
        (500, said(DOWN), PATCH, TransientError, Reason.KUBERNETES_UNAVAILABLE),
        (503, None, PATCH, TransientError, Reason.KUBERNETES_UNAVAILABLE),
        (415, said("media type"), PATCH, ConfigError, Reason.KUBERNETES_REJECTED),
    ],
)
def test_each_refusal_has_its_meaning(
    status: int, body: JsonObject | None, asked: Asked, kind: type[VsoError], reason: Reason
) -> None:
    error = error_for(status, body, asked)
    assert isinstance(error, kind)
    assert error.reason is reason


def test_a_missing_right_names_the_rule() -> None:
    error = error_for(403, said(RBAC), SECRET)
    assert 'apiGroups: [""], resources: ["secrets"], verbs: ["create"]' in error.message
    assert "namespace app" in error.message


def test_a_missing_right_to_a_path_names_the_rule() -> None:
    path = "/openapi/v3/apis/secrets.hashicorp.com/v1beta1"
    rule = f'{{nonResourceURLs: ["{path}"], verbs: ["get"]}}'
    assert error_for(403, said(UNREAD), SCHEMA).message == (
        f"get {path}: a right is missing in the whole cluster; the rule is {rule}"
    )


@pytest.mark.parametrize(
    ("verb", "path", "rule"),
    [
        ("patch", secret_path("app", "a"), 'resources: ["secrets"], verbs: ["patch"], resourceNames: ["a"]'),
        (
            "create",
            service_account_path("app", "web", "token"),
            'resources: ["serviceaccounts/token"], verbs: ["create"], resourceNames: ["web"]',
        ),
    ],
)
def test_rules(verb: str, path: str, rule: str) -> None:
    assert missing_rule(Asked(verb, target_of(path))) == f'apiGroups: [""], {rule}'


@pytest.mark.parametrize(
    ("verb", "path", "rule"),
    [
        ("patch", event_path("app", "creds.1a"), 'apiGroups: [""], resources: ["events"], verbs: ["patch"]'),
        (
            "patch",
            cr_path(Kind.VAULT_AUTH, "app", "va", "status"),
            'apiGroups: ["secrets.hashicorp.com"], resources: ["vaultauths/status"], verbs: ["patch"]',
        ),
    ],
)
def test_a_rule_for_one_of_many_names_none(verb: str, path: str, rule: str) -> None:
    assert missing_rule(Asked(verb, target_of(path))) == rule


def test_the_wait_comes_from_the_header_or_the_body() -> None:
    for error in (error_for(429, None, PATCH, 7.0), error_for(429, said(retryAfterSeconds=7), PATCH)):
        assert isinstance(error, TransientError)
        assert error.retry_after == 7.0


def test_a_rejected_secret_is_told_by_fields_alone() -> None:
    causes = [{"field": "data[k]", "reason": "FieldValueInvalid", "message": 'Invalid value: "hunter2"'}]
    error = error_for(422, said('Secret "a" is invalid: data[k]: "hunter2"', "Invalid", causes=causes), PATCH)
    assert "data[k]: FieldValueInvalid" in error.message
    assert "hunter2" not in str(error)
    assert "hunter2" not in error_for(400, said("cannot decode hunter2"), PATCH).message
    assert "hunter2" not in error_for(403, said("forbidden hunter2"), PATCH).message


def test_a_rejected_object_of_ours_is_told_in_full() -> None:
    path = cr_path(Kind.VAULT_AUTH, "app", "va", "status")
    causes = [{"field": "status.x", "reason": "FieldValueInvalid", "message": "must be a string"}]
    error = error_for(
        422, said("status.x: must be a string", "Invalid", causes=causes), Asked("patch", target_of(path))
    )
    assert "must be a string" in error.message


def test_a_bare_422_of_a_patch_is_a_failed_test() -> None:
    bare = error_for(422, said("the server rejected our request due to an error in our request", "Invalid"), PATCH)
    assert isinstance(bare, InvalidError)
    assert bare.test_failed
    named = error_for(422, said("…", causes=[{"field": "type", "reason": "FieldValueInvalid"}]), PATCH)
    assert isinstance(named, InvalidError)
    assert not named.test_failed


def test_a_missing_namespace_is_told_apart() -> None:
    error = error_for(404, said(kind="namespaces", name="app"), SECRET)
    assert isinstance(error, NotFoundError)
    assert error.missing == "namespaces"


def test_a_long_message_is_cut() -> None:
    asked = Asked("patch", Target("apps", "deployments", "app", "web"))
    assert len(error_for(415, said("x" * 5000), asked).message) < 800
