"""Judgement: pure functions over frozen values; no clock, no log, no await, `now` is an argument."""
