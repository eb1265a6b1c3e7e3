"""The tables of values in charts/README.md.

Invariant: what stands between the two marks is written here, what stands outside is left alone.
"""

from __future__ import annotations

import json

from vso.app.chart.values import Section, Value

BEGIN = "<!-- values: written by `python -m vso.app.chart --write` -->"
END = "<!-- end of values -->"
_LONG = 40


def with_tables(readme: str, root: Section) -> str:
    """Return the README with fresh tables."""
    before, mark, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"charts/README.md lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n{_tables(root)}\n{END}{after}"


def _tables(root: Section) -> str:
    every = list(root.values())
    active = [
        f"| `{value.name}` | {_default(value.default)} | {_escaped(_text(value))} |"
        for value in every
        if not value.inert
    ]
    inert = [f"| `{value.name}` | {_escaped(value.inert)} |" for value in every if value.inert]
    return "\n".join(
        [
            "| value | default | what it is |",
            "|---|---|---|",
            *active,
            "",
            "Taken from the reference operator's chart, accepted and without effect; setting one earns a warning:",
            "",
            "| value | why |",
            "|---|---|",
            *inert,
            "",
        ]
    )


def _text(value: Value) -> str:
    choices = [f"`{word}`" for word in value.words("enum") if word]
    return f"{value.text} One of {', '.join(choices)}." if choices else value.text


def _default(default: object) -> str:
    if default in ("", None):
        return ""
    text = default if isinstance(default, str) else json.dumps(default)
    return f"`{text}`" if len(text) <= _LONG else "see `values.yaml`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*.", "\\*.")
