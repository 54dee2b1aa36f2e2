"""What `cupel top` is made of: keys, what is seen, and how it is drawn. Pure, but for `feed`."""
