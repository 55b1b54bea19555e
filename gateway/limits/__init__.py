"""How many requests a token may make: rates, the counting, and sharing counts between processes."""
