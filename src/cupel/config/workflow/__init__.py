"""Workflows of GitHub Actions, and of those who read the same files, as jobs of Cupel.

What cannot be carried over is never left out silently: each thing is named with its place, a code
and what to do.
"""
