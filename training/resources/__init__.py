"""The ledger: what each machine has, who holds what of it, and who waits for what. See docs/resources.md."""
