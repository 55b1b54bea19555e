"""Pages of statistics: performance reports, predictions, feedback."""
