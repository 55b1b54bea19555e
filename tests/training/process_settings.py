"""The project's settings for processes that tests start: quick learning, short limits by environment."""

import os

from aiplatform.settings import *  # noqa: F403

TRAINING_LEARN = os.environ.get("TEST_LEARN", "tests.training.stand_in.learn")
