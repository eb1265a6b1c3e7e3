"""Values, clock and errors that every floor shares; standard library only."""
