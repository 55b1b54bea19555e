"""Sends requests on to the services that live elsewhere: predictions and REST calls."""
