"""How machines are made."""
