#!/bin/sh
# An environment with the published SDK of the version whose interface ours has: tools/install_published.sh DIR VERSION
# Where no registry can be reached there is none, and that is no failure: the tests that need it are skipped.
set -eu

dir=${1:?usage: install_published.sh DIR VERSION}
version=${2:?usage: install_published.sh DIR VERSION}

"$(dirname "$0")/make_venv.sh" "$dir"
pip() { "$dir/bin/python" -m pip --disable-pip-version-check "$@"; }

pip install --quiet "cwsandbox[cli]==$version" && exit 0
# Is it this package, or can none be had?
if pip download --quiet --no-deps --no-cache-dir --dest "$dir/try" pip >/dev/null 2>&1; then
    rm -rf "$dir"
    exit 1
fi
rm -rf "$dir"
echo "install_published.sh: NO REGISTRY CAN BE REACHED: the tests with the published SDK (tests/interop) are skipped" >&2
