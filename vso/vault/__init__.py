"""The adapter to Vault: connections, logins, tokens and the engines that are read."""
