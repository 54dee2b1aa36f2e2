"""Rows and append-only events, in SQLite, PostgreSQL or memory."""
