"""Vault Secrets Operator: Git holds the intent, Vault the values, Kubernetes the Secrets.

Floors, from the top: app, controllers, kube | vault, runtime | decide, api, gotemplate, core.
A floor imports only what lies below it; import-linter holds the line.
"""

__version__ = "0.1.0"
