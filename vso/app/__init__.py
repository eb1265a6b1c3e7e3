"""Settings, logs, metrics, the admin server, the composition root and the commands."""
