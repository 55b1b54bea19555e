"""Django as a WSGI application, for tools that want one; `serve` uses asgi.py."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
application = get_wsgi_application()
