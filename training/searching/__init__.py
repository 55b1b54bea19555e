"""Hyperparameter search: trials are runs of their own, chosen by Optuna from rows that outlive every process."""
