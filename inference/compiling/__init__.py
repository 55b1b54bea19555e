"""Compiles versions for serving: converts, proves equal, times, and keeps the result as an engine pack.

Frameworks are loaded in the child processes of `manage.py compile_engines`, never in a server.
"""
