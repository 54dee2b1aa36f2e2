"""Other gates' algorithms as published, as policies over the same lattice, to compare with.

Each module names its source. They are given more than their originals have: a job's pass counts on
every state that differs in nothing that the job depends on, in the world as in Cupel.
"""
