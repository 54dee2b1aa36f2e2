"""`cupel demo`: the main job on real input, from nothing to what landed and why."""
