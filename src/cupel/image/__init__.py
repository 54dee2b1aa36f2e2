"""Root filesystems, built from a definition and named by digest."""
