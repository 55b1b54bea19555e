"""Copies of live requests for a version that is not yet trusted: run late, at low cost, and compared."""
