"""The command line of `vso run`: argparse over the table of flags.

Invariant: texts in, texts out; a value is looked at by whoever knows where else it could come from.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from vso.app.flag_table import FLAGS, GROUPS, Flag

_PROG = "vso run"
_NAMES = frozenset({"help", *(flag.name for flag in FLAGS)})
_ONE_DASH = re.compile(r"-([a-z][a-z0-9-]+)(=.*)?", re.DOTALL)


class SettingsError(ValueError):
    """The command line or the environment does not make sense; one line says where and why."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """Return the parser whose --help describes every flag; its values are texts, None for not given."""
    made = _Parser(
        prog=_PROG,
        usage=f"{_PROG} [flags]",
        allow_abbrev=False,
        add_help=False,
        description="Run the operator: in a cluster or, with a kubeconfig, beside one.",
        epilog="A duration is a number with a unit: 700ms, 30s, 5m, 1h30m. One dash or two, a blank or '=': all do.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=112),
    )
    groups = {title: made.add_argument_group(title) for title in GROUPS}
    for flag in FLAGS:
        groups[flag.group].add_argument(
            f"--{flag.name}",
            dest=flag.field,
            metavar=flag.form.metavar,
            help=_help(flag),
            nargs="?" if flag.is_switch else None,
            const="true" if flag.is_switch else None,
        )
    made.add_argument_group("help").add_argument("-h", "--help", action="help", help="print this and end")
    return made


def texts(argv: Sequence[str]) -> Mapping[str, str]:
    """Return the flags that were given, by field, as text; SettingsError for what is none."""
    given = vars(parser().parse_args([_two_dashes(word) for word in argv]))
    return {name: text for name, text in given.items() if text is not None}


def _help(flag: Flag) -> str:
    text = f"no effect: {flag.help}" if flag.inert else flag.help
    facts = [f"default {flag.default}"] if flag.default and not flag.inert else []
    facts += [flag.env] if flag.env else []
    return (text + (f" ({', '.join(facts)})" if facts else "")).replace("%", "%%")


def _two_dashes(word: str) -> str:
    # Go's flag package takes one dash or two; argparse would read one as a cluster of short flags.
    match = _ONE_DASH.fullmatch(word)
    return f"-{word}" if match is not None and match[1] in _NAMES else word
