"""Jobs that are run here, from a working tree, on machines like those of a server's hosts."""
