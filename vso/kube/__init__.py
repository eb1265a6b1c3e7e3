"""The adapter to the Kubernetes API server; a sibling of the Vault adapter, which it never imports."""
