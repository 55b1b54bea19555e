"""Third-party clients as they are, each in an environment of its own, against a started platform."""
