"""`python -m benchmarks.peers`: make the peers' environments, or say which there are."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import DEFAULT_FOLDER, install, is_installed, names, package_versions, read_peer


def main() -> None:
    """Run as told on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("action", choices=("install", "list"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, if none: {', '.join(names())}")
    parser.add_argument("--peers-folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--tensorflow", action="store_true", help="also TensorFlow, for `--engine tensorflow`")
    options = parser.parse_args()
    chosen = options.names or names()
    if options.action == "list":
        for name in chosen:
            print(f"{name:12}{_state(name, options.peers_folder)}")
        return
    failed = [name for name in chosen if not _install(name, options)]
    if failed:
        sys.exit(f"not installed: {', '.join(failed)}")


def _install(name: str, options: argparse.Namespace) -> bool:
    print(f"{name}: installing", flush=True)
    try:
        install(name, options.peers_folder, with_tensorflow=options.tensorflow)
    except subprocess.CalledProcessError as error:
        print(f"{name}: {error}")
        return False
    return True


def _state(name: str, folder: Path) -> str:
    if not is_installed(name, folder):
        return "not installed"
    return ", ".join(f"{package} {version}" for package, version in package_versions(read_peer(name), folder).items())


if __name__ == "__main__":
    main()
