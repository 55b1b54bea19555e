"""A user's own model, examined in a process of its own: signature, samples, answers, profile. No Django."""
