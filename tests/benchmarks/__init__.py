"""The benchmarks: what they send, what they count, what they say."""
