"""Writes what the Helm chart says a second time, from where it is said first, and what kustomize's users share with it.

CRDs come from the models, rights from `vso.app.rbac`, the schema and the table of values from the comments in
values.yaml, what Argo CD and Flux take from the files under manifests, alerts and dashboard from the tables here.
Invariant: the output depends on those alone; `--check` compares the files with it.
"""
