"""The project's settings under test: secrets and folders of their own, fast password hashing."""

import os
import tempfile

os.environ.setdefault("SECRET_KEY", "test-key")
os.environ.setdefault("INTERNAL_SECRETS", "test-secret-of-at-least-32-characters,older-secret-of-at-least-32-chars")
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="aiplatform-test-")
os.environ.setdefault("LOG_LEVEL", "WARNING")

from aiplatform.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]
