"""What the reader can do next, as commands to copy.

Invariant: every command works as it stands, in a shell of its own, while the demo is up.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from vso.app.demo import example
from vso.app.demo.world import Access

Hint = tuple[str, str]


def hints_for(access: Access, directory: Path) -> tuple[Hint, ...]:
    """Return the commands, each with a word about it."""
    namespace, name = example.NAMESPACE, example.SECRET
    path, values = example.vault_values("mine")
    change = f'curl -sH "X-Vault-Token: $VAULT_TOKEN" $VAULT_ADDR/v1/{path} \\\n  -d {shlex.quote(json.dumps(values))}'
    return (
        (f"export KUBECONFIG={shlex.quote(str(directory / 'kubeconfig'))}", ""),
        ("kubectl get vss -A -w", ""),
        (f"kubectl -n {namespace} describe vss {name}", ""),
        (f"kubectl -n {namespace} delete secret {name}", "it comes back at once"),
        (f"export VAULT_ADDR={access.vault_url} VAULT_TOKEN={access.vault_token}", ""),
        (change, "the Secret follows"),
        (f"less {shlex.quote(str(directory / 'example.yaml'))}", "what Git would hold"),
        (f"less {shlex.quote(str(directory / 'operator.log'))}", "what the operator says"),
    )
