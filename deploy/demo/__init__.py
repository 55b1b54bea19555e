"""The demo: the whole road from training to an alert, told by a client of the platform."""
