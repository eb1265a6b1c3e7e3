"""Plans for a Secret, and what is there of it, for the tables of the write protocol."""

from __future__ import annotations

from dataclasses import replace

from vso.core.keys import OwnerRef
from vso.core.sensitive import Sensitive
from vso.kube.secret_plan import SecretPlan, Seen

OURS = {"apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultStaticSecret", "name": "db", "uid": "cr-1"}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "dep-1"}
PLAN = SecretPlan(
    namespace="app",
    name="db-creds",
    type="Opaque",
    data={"password": Sensitive.of("hunter2")},
    labels={"team": "a"},
    annotations={"note": "x"},
    owner=OwnerRef("VaultStaticSecret", "db", "cr-1"),
    owner_uid="cr-1",
    own=True,
    overwrite=False,
)
RETAIN = replace(PLAN, owner=None)
MINE = Seen("s-1", "7", labels=PLAN.wanted_labels(), annotations={"note": "x"}, owners=(OURS,))
FOREIGN = Seen("s-1", "7", labels={"app": "web"})
