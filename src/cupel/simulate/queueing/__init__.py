"""The gate's decisions alone, over a made-up stream of changes: fast enough to compare policies.

Lattice, beliefs, verdicts and planner are the server's own (`cupel.core.speculation`). What is left
out is everything that carries them out: rows, git, hosts. Machines are a number.
"""
