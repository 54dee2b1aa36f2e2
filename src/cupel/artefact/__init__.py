"""Files that builds leave behind."""
