#!/bin/bash
# Runs tests/frameworks: the adapters in cwsandbox/integrations, each with its framework and the framework's own suite.
#
#   tools/test_frameworks.sh      venv in $BUILD/frameworks-…, made anew when the requirements change
#
# All versions are pinned in tests/frameworks/requirements.txt. A framework that the registry does not give is skipped by
# name; a suite that fails, or takes longer than it may, is a failure.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$(mkdir -p "${BUILD:-build}" && cd "${BUILD:-build}" && pwd)
requirements=$root/tests/frameworks/requirements.txt

# What each test file needs: its name in tests/frameworks/test_NAME.py, and packages.
declare -A packages=(
    [inspect_ai]="inspect_ai"
)
tools="pytest pytest-asyncio pytest-timeout"

# Some of the frameworks need 3.12.
python=
pyenv=$({ command -v pyenv >/dev/null && pyenv root; } 2>/dev/null || echo /nonexistent)
for candidate in python3.13 python3.12 "$pyenv"/versions/3.1[23].*/bin/python; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || {
    echo "test_frameworks.sh: SKIPPED: all frameworks: they need Python 3.12 or 3.13, and there is none"
    exit 0
}

key=$(cat "$requirements" "$0" | sha256sum | cut -c 1-12)-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
venv=$build/frameworks-$key
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

if [ ! -e "$venv/complete" ]; then
    rm -rf "$build"/frameworks-*
    "$python" -m venv "$venv"
    # Together where that works, which is quicker; else one by one, to find the one that there is not.
    if pip install -c "$requirements" $tools ${packages[*]}; then
        printf '%s\n' "${!packages[@]}" > "$venv/frameworks"
        touch "$venv/complete"
    elif ! pip install -c "$requirements" $tools; then
        echo "test_frameworks.sh: SKIPPED: all frameworks: the registry does not give $tools"
        exit 0
    else
        : > "$venv/frameworks"
        for name in "${!packages[@]}"; do
            if pip install -c "$requirements" ${packages[$name]}; then
                echo "$name" >> "$venv/frameworks"
            fi
        done
    fi
fi

# The package as it is now.
rm -rf "$build/wheel-frameworks"
"${VENV:-$root/.venv}/bin/python" -m pip --quiet --disable-pip-version-check wheel --no-deps \
    -w "$build/wheel-frameworks" "$root"
pip install --force-reinstall --no-deps "$build"/wheel-frameworks/*.whl

files=()
for name in "${!packages[@]}"; do
    if grep -qx "$name" "$venv/frameworks"; then
        files+=("$root/tests/frameworks/test_$name.py")
    else
        echo "test_frameworks.sh: SKIPPED: $name: the registry does not give ${packages[$name]}"
    fi
done
[ ${#files[@]} -gt 0 ] || exit 0

mkdir -p "$build/empty"
cd "$build/empty"
exec timeout --kill-after 10 300 "$venv/bin/python" -m pytest -c "$root/pyproject.toml" --rootdir "$root" \
    -p no:cacheprovider ${PYTEST_ARGS:-} "${files[@]}"
