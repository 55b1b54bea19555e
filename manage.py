#!/usr/bin/env python
"""Django's command line for the platform."""

import os
import sys


def main() -> None:
    """Run a management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
    if sys.argv[1:2] == ["train"]:
        from training import ready

        ready.begin(sys.argv)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
