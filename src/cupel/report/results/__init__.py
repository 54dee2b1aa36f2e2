"""Reads what test runners leave, whatever is in it, and keeps it so that it can be asked."""
