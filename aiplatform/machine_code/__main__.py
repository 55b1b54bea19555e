"""Builds, shows and removes the machine code: see the package."""

from __future__ import annotations

import argparse
import shutil
import sys

from aiplatform.machine_code.loader import BUILT, look


def main() -> int:
    """Run as told on the command line; 1 if there is no machine code to use."""
    parser = argparse.ArgumentParser(prog="python -m aiplatform.machine_code", description=__doc__)
    parser.add_argument("action", choices=("build", "status", "remove"))
    action = parser.parse_args().action
    if action == "build":
        from aiplatform.machine_code.build import BuildError, build

        try:
            build(BUILT)
        except BuildError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    elif action == "remove":
        shutil.rmtree(BUILT, ignore_errors=True)
        sys.stdout.write("removed\n")
        return 0
    found = look()
    is_said = f"used: {len(found.files)} files of machine code" if found.is_used else f"not used: {found.problem}"
    sys.stdout.write(f"{is_said}\n")
    return 0 if found.is_used else 1


if __name__ == "__main__":
    sys.exit(main())
