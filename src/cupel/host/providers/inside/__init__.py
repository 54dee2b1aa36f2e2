"""What runs in a namespace machine's own process. Imports the standard library and itself alone."""
