"""The project's settings under test: secrets and folders of their own, fast password hashing."""

import os
import tempfile

os.environ.setdefault("SECRET_KEY", "test-key")
os.environ.setdefault("INTERNAL_SECRETS", "test-secret-of-at-least-32-characters,older-secret-of-at-least-32-chars")
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="aiplatform-test-")
os.environ.setdefault("LOG_LEVEL", "WARNING")
os.environ.setdefault("COMPILE_ENGINES", "0")  # the tests of it turn it on
os.environ.setdefault("MACHINE_CODE", "0")  # tests replace functions of modules, which machine code does not notice

from aiplatform.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file, as in production: an in-memory database refuses a second writer instead of letting it wait.
    DATABASES["default"]["TEST"] = {"NAME": f"{DATA_DIR}/test.sqlite3"}  # noqa: F405
