"""The command line: one module per noun or command; each imports what it needs when it runs."""
