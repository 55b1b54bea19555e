"""Where the project lies, and what reads the environment."""

from __future__ import annotations

from pathlib import Path

from aiplatform.environment import Environment

BASE_DIR = Path(__file__).resolve().parent.parent.parent
env = Environment(BASE_DIR / ".env")
