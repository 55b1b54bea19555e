#!/bin/sh
# Resolves the pinned requirements: requirements.txt (everything), requirements-dev.txt on top of
# it. The per-role lists in this folder have names only; images install them under requirements.txt
# as a constraint, so there is one place for versions.
set -eu
uv=$1
here=deploy/requirements
options="--quiet --python-version 3.11 --strip-extras --no-emit-index-url --no-emit-find-links --custom-compile-command 'make requirements'"
eval "$uv pip compile $options $here/all.in -o requirements.txt"
eval "$uv pip compile $options -c requirements.txt $here/dev.in -o requirements-dev.txt"
