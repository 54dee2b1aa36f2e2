"""Everything that decides: pure functions from values to values."""
