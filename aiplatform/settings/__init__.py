"""All settings, a module for each part, read in this order; the only place that reads the environment.

docs/settings.md lists every variable, written from the reads in these modules.
"""

from __future__ import annotations

from aiplatform.settings.base import *
from aiplatform.settings.process import *
from aiplatform.settings.stores import *
from aiplatform.settings.web import *
from aiplatform.settings.training import *
from aiplatform.settings.inference import *
from aiplatform.settings.monitoring import *
from aiplatform.settings.gateway import *
from aiplatform.settings.console import *
