"""One module for each command of `vso`."""
