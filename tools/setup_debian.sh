#!/bin/sh
# Installs what a Debian 12+ or Ubuntu 24.04+ machine lacks, and nothing if it lacks nothing.
#
#   tools/setup_debian.sh build         to build and to run sandboxes
#   tools/setup_debian.sh build test    and to run every check
#   tools/setup_debian.sh build bench   and to measure
set -eu

build="build-essential pkg-config python3 python3-dev python3-venv libnghttp2-dev libssl-dev libprotobuf-c-dev
    libuv1-dev libjansson-dev libsqlite3-dev libarchive-dev libyaml-dev bubblewrap"
# pip, netbase and what needs a terminal are for the sandboxes of the tests, which see the host's programs and lists of
# names.
test="libcmocka-dev protobuf-compiler protobuf-c-compiler libprotobuf-dev python3-pip netbase clang
    valgrind less procps tmux vim nftables iproute2 slirp4netns"
bench="nghttp2-client"

wanted=
[ $# -gt 0 ] || set -- build
for group; do
    case $group in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    bench) wanted="$wanted $bench" ;;
    *)
        echo "setup_debian.sh: unknown group '$group'; there are: build, test, bench" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "setup_debian.sh: this is no Debian or Ubuntu; going on with what is installed. Needed here as:$wanted" >&2
    exit 0
fi

missing=
for package in $wanted; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "setup_debian.sh: missing and not allowed to install; as root: apt-get install$missing" >&2
        exit 1
    }
    sudo=sudo
fi
echo "installing:$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086  # a list of package names
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
