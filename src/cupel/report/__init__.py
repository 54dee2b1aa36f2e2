"""Every text that a user sees."""
