"""Promotion by policy: a challenger becomes champion only through its gates, and goes back by itself.

validation -> loading -> replay -> shadow -> canary 1, 5, 25, 50, 100% -> promoted; a bad verdict at any of them,
or a person, leads back to the traffic before.
"""
