"""The judgements of the gates: pure functions of a policy and of what was seen."""
