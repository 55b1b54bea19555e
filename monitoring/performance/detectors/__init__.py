"""Detectors that see a stream change: they remember little, and what they remember is plain JSON."""
