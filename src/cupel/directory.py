"""Where the state directory is, when nobody says so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def default_state(env: Mapping[str, str] = os.environ) -> Path:
    """The state directory where none is named (XDG base directories)."""
    root = env.get("XDG_STATE_HOME") or ""
    base = Path(root) if root.startswith("/") else Path.home() / ".local/state"
    return base / "cupel"
