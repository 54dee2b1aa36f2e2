"""Build logs: appended once, indexed by line, streamed."""
