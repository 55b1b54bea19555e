"""Performance reports: how a version did over a period, as JSON and as a page."""
