"""Numbers that keep the text they came in.

Invariant: a JsonNumber is the literal of a JSON number (RFC 8259 section 6), never rounded: `1.0` stays
`1.0` and a 20-digit integer keeps its digits, as Go's json.Number does.
"""

from __future__ import annotations

from typing import final


@final
class JsonNumber(str):
    """The literal of a JSON number."""

    __slots__ = ()
