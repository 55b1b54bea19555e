"""Runs and their models for MLflow: as a folder of its file store, or sent to a tracking server."""
