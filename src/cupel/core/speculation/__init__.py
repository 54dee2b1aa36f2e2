"""Which speculative states of a queue to prove, and what their outcomes say of its entries.

Pure and without rows: `core.queue` fills a lattice from rows and carries out what is decided here;
`cupel.simulate.queueing` fills one from a made-up world. Nothing here can land or reject what
`judge` does not allow, so a bad policy costs time, never correctness.
"""

from __future__ import annotations

from cupel.core.speculation.expected import ExpectedValue
from cupel.core.speculation.optimistic import Optimistic
from cupel.core.speculation.policy import Policies

POLICIES: Policies = {"expected-value": ExpectedValue, "optimistic": Optimistic}
"""The planners that a queue may name; the first is the default."""
