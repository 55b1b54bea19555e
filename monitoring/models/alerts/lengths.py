"""Lengths that several tables share."""

NAME_LENGTH = 100
ENDPOINT_LENGTH = 63
