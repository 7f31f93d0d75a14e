#!/usr/bin/env bash
# What pre-commit runs: `aumclean gate` in an environment without PyTorch, made beside this file on first use.
#
# The environments that pre-commit makes itself (`language: python`) hold everything that a package depends on: gigabytes
# for a command that never trains. Exit codes: 0 passed, 1 failed, 2 could not run.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
environment=$here/.gate-environment

install() {
  rm -rf -- "$environment" &&
    python3 -m venv "$environment" &&
    "$environment/bin/python" -m pip install --quiet --no-compile --no-deps "$here/../.." &&
    "$environment/bin/python" -m pip install --quiet --no-compile --requirement "$here/gate-requirements.txt" &&
    touch "$environment/complete"
}

if [[ ! -f $environment/complete ]]; then
  install >&2 || exit 2
fi
exec "$environment/bin/aumclean" gate "$@"
