"""The servers that the suites run against: built, started, looked at from outside, and broken on purpose."""
