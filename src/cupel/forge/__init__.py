"""Where changes come from: pushes to the built-in git hosting."""
