"""An operator whose administrator has switched the default VaultAuthGlobals off."""

from __future__ import annotations

from tests.conformance.stage import Team

OPERATOR_ARGS = ("--global-vault-auth-options=", "--backoff-initial-interval=500ms", "--backoff-max-interval=1s")


def test_a_default_is_refused_with_the_option_that_forbids_it_and_a_name_is_followed(team: Team) -> None:
    team.put("app", {"password": "v1"})
    team.apply("VaultConnection", "vault", {"address": team.bed.vault.url})
    spec = {
        "vaultConnectionRef": "vault",
        "defaultAuthMethod": "kubernetes",
        "defaultMount": "kubernetes",
        "kubernetes": {"role": team.ns, "serviceAccount": "app", "audiences": ["vault"]},
    }
    team.apply("VaultAuthGlobal", "default", spec)
    team.apply("VaultAuth", "auth", {"vaultAuthGlobalRef": {"allowDefault": True}})
    team.static()
    condition = team.wait_condition("Stalled", reason="InvalidSpec", kind="VaultAuth", name="auth")
    assert "spec.vaultAuthGlobalRef.allowDefault" in condition["message"]
    assert "global-vault-auth-options" in condition["message"]
    team.wait_condition("Stalled", reason="InvalidSpec")
    assert team.secret() is None
    team.apply("VaultAuth", "auth", {"vaultAuthGlobalRef": {"name": "default"}})
    team.wait_ready()
