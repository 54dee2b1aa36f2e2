"""Cupel lands every commit by proving it on a Linux machine that has never been used before."""

__version__ = "0.1.0"
