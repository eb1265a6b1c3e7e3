"""An embedded API server and Vault for the demo and the fast tests; nothing of the operator imports it."""
