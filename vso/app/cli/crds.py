"""`vso crds`: print the CustomResourceDefinitions, ready for kubectl.

Invariant: what is printed is generated from the models, the same as the files in manifests/crds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vso.api.crds import render
from vso.core.keys import Kind


def main(argv: Sequence[str]) -> int:
    """Print the CRDs of the named kinds, of all when none is named."""
    by_name = {kind.value.lower(): kind for kind in Kind}
    unknown = [name for name in argv if name.lower() not in by_name]
    if unknown:
        sys.stderr.write(f"vso crds: no such kind: {', '.join(unknown)}; there are {', '.join(Kind)}\n")
        return 2
    kinds = [by_name[name.lower()] for name in argv] or list(Kind)
    sys.stdout.write("".join(f"---\n{render(kind)}" for kind in kinds))
    return 0
