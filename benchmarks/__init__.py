"""Measures the platform beside other servers; docs/performance.md says how and why."""
