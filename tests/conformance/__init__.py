"""Scenarios, each a sentence, on the embedded sandbox and on the real servers."""
