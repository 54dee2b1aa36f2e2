"""The imperative shell: read, plan, persist, dispatch."""
