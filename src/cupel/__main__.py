"""`python -m cupel` is `cupel`."""

from __future__ import annotations

from cupel.cli.main import main

main()
