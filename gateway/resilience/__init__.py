"""What keeps one bad address from hurting every caller: circuit breakers and balancing."""
