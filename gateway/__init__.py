"""The gateway app."""
