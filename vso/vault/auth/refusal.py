"""What is said when Vault does not accept what a login shows, and when it is not asked again for that."""

from __future__ import annotations

from vso.core.errors import ConfigError, Reason


class LoginRefusedError(ConfigError):
    """Vault refuses the credential or the role: what the limit of refused logins counts."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.VAULT_LOGIN_REFUSED, message)


class LoginHeldBackError(ConfigError):
    """No login was tried, since an earlier one was refused: whoever asks with more urgency may still try."""
