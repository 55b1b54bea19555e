"""What the apps ask of each other: one file an owner, messages and one client each.

Messages are frozen dataclasses that `msgspec` encodes; the owner serves them from `<app>/api/`.
"""
