"""The inference app."""
