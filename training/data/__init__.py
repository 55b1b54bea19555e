"""Data sources: from a URI to labelled rows, split, with a fingerprint. Nothing here imports Django."""
