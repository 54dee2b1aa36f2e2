"""Configuration, read with source positions and checked at the edge."""
