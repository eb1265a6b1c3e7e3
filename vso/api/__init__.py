"""The API group's ten kinds: frozen models for reading, and the CRDs that are generated from them."""
