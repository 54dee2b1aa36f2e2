"""A simulated world around the real core and engine."""
