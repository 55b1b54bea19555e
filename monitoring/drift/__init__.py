"""Has what a model sees or says moved away from its training data? Sketches in, verdicts out; no Django."""
