"""HTTP interfaces of this app: the internal contract and the public REST API."""
