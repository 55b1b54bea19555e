"""What automation does: the performers of a rule's actions, and the retrainings that they order."""
