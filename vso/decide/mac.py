"""`status.secretMAC`: a keyed digest of a Secret's data, the same as the reference operator's.

Invariant: equal data under an equal key gives an equal text whoever computes it, so switching
between the two operators looks like no change.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from vso.core.sensitive import Sensitive
from vso.decide.gojson import go_json


def secret_mac(key: bytes, data: Mapping[str, Sensitive]) -> str:
    """Return HMAC-SHA256 of the data's JSON, in which every value is Base64, as Base64."""
    message = go_json({name: base64.b64encode(value.reveal()).decode() for name, value in data.items()})
    return base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
