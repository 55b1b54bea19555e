"""The kernel: settings and wiring, shared vocabulary, contracts and transport.

Every app imports from here; nothing here imports an app.
"""

from aiplatform.machine_code import loader as _loader

__version__ = "0.1.0"

_loader.install()
