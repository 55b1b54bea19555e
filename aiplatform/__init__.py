"""The kernel: settings and wiring, shared vocabulary, contracts and transport.

Every app imports from here; nothing here imports an app.
"""

__version__ = "0.1.0"
