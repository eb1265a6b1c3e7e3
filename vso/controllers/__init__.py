"""Gather, decide, act: the only floor where Kubernetes, Vault and decisions meet."""
