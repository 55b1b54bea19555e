"""Recipes: how a model is built and learns. Nothing here imports Django."""
