"""Fakes at the rim: a clock that is stepped by hand, scripted transports."""
