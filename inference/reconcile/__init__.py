"""Makes what a replica serves follow the desired state, one small step at a time.

    read desired state -> load beside -> warm up and check -> swap routes -> drain -> drop

Whatever is away (database, registry, store), the last known state goes on being served.
"""
