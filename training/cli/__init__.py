"""What the commands `train` and `models` show, and how a command waits for a run."""
