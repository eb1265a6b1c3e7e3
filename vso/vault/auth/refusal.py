"""The one error that every login method raises when Vault does not accept what it was shown."""

from __future__ import annotations

from vso.core.errors import ConfigError, Reason


class LoginRefusedError(ConfigError):
    """Vault refuses the credential or the role: what the limit of refused logins counts."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.VAULT_LOGIN_REFUSED, message)
