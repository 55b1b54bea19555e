"""Recorded requests run again by a serving process, beside live ones and recording nothing."""
