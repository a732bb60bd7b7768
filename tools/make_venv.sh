#!/bin/sh
# Makes a virtual environment: tools/make_venv.sh DIR [PYTHON]
# Without PYTHON from the first Python >= 3.11 that can.
set -eu

dir=${1:?usage: make_venv.sh DIR [PYTHON]}
tried=
for python in ${2:-python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3}; do
    command -v "$python" >/dev/null || continue
    tried="$tried $python"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    "$python" -c 'import ensurepip, venv' 2>/dev/null || continue
    "$python" -m venv "$dir"
    exit 0
done
echo "make_venv.sh: no Python >= 3.11 with venv (Debian: python3-venv) among:${tried:- none found}" >&2
exit 1
