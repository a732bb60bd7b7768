"""Files as given by the user, checked, and the commands that transfer those which are too large for one message."""

from __future__ import annotations

from cwsandbox._types import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Beyond this nothing is transferred by a single call, however it is sent.
FILE_MAX = 256 * 1024 * 1024
# What a service takes in one message, if it has not said so; and the most that one message may carry.
MESSAGE_MAX_DEFAULT = 32 * 1024 * 1024
MESSAGE_MAX = 99 * 1024 * 1024
# Content up to this size is copied when the call starts.
COPIED_MAX = 64 * 1024

# The commands' contract with who reads their exit codes (cwsandbox._service.file_errors).
_BEGIN = r"""
LC_ALL=C; export LC_ALL
case $1 in /*) file=$1 ;; *) file=./$1 ;; esac
refuse_directory() {
    if [ -d "$file" ]; then printf '%s: Is a directory\n' "$1" >&2; exit 3; fi
}
"""

_READ = (
    _BEGIN
    + r"""
refuse_directory "$1"
@COPY@ && exit 0
code=$?
[ -e "$file" ] || exit 2
exit $((code == 2 || code == 3 ? 1 : code))
"""
)
_READ_ALL = _READ.replace("@COPY@", 'cat -- "$file"')
# One byte more than is allowed tells that there is more.
_READ_LIMITED = _READ.replace("@COPY@", f'head -c {FILE_MAX + 1} -- "$file"')

# The new content lies beside the file until it is whole, so that nobody ever sees half of it.
_WRITE = (
    _BEGIN
    + r"""
refuse_directory "$1"
if [ -L "$file" ]; then file=$(readlink -f -- "$file") || exit 1; fi
if [ -e "$file" ] && [ ! -f "$file" ]; then @TAKE@ >"$file" || exit 1; exit 0; fi
folder=${file%/*}
mkdir -p -- "${folder:=/}" || exit 1
new=$folder/.cwsandbox-write.$$
set -C
: >"$new" || exit 1
set +C
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
if [ -e "$file" ]; then
    if [ ! -w "$file" ]; then printf '%s: Permission denied\n' "$1" >&2; exit 1; fi
    mode=$(stat -c %a -- "$file" 2>/dev/null) && chmod -- "$mode" "$new"
fi
@TAKE@ >"$new" || exit 1
size=$(wc -c <"$new") || exit 1
@CHECK@
mv -f -- "$new" "$file" || exit 1
trap - EXIT
"""
)
_WRITE_SIZED = _WRITE.replace("@TAKE@", 'head -c "$2"').replace(
    "@CHECK@",
    r"""if [ "$size" -ne "$2" ]; then printf 'received %s of %s bytes\n' "$size" "$2" >&2; exit 1; fi""",
)
_WRITE_STREAM = _WRITE.replace("@TAKE@", "cat").replace("@CHECK@", r"""printf '%s\n' "$size" """)


def read_command(path: str, *, limited: bool) -> list[str]:
    """Prints the file. ``limited``: no more than one byte beyond ``FILE_MAX`` of it."""
    return ["/bin/sh", "-c", _READ_LIMITED if limited else _READ_ALL, "cwsandbox-read-file", path]


def read_stream_command(path: str) -> list[str]:
    """Prints the file, whatever its size."""
    return ["/bin/sh", "-c", _READ_ALL, "cwsandbox-read-file-streaming", path]


def write_command(path: str, size: int) -> list[str]:
    """Writes so many bytes of standard input. The file is changed once all of them have come."""
    return ["/bin/sh", "-c", _WRITE_SIZED, "cwsandbox-write-file", path, str(size)]


def write_stream_command(path: str) -> list[str]:
    """Writes standard input up to its end, and prints how many bytes those were."""
    return ["/bin/sh", "-c", _WRITE_STREAM, "cwsandbox-write-file-streaming", path]


def path_of(filepath: object) -> str:
    """The path, given as a str or a path object of this or another system."""
    if not isinstance(filepath, str):
        from pathlib import PurePath

        if not isinstance(filepath, PurePath):
            raise TypeError(
                f"filepath must be a str or a pathlib path, got {check.shown(filepath)}"
            )
        filepath = filepath.as_posix()
    if not filepath:
        raise ValueError("filepath must not be empty")
    return str(check.carried(filepath, "filepath"))


def content_of(contents: object, name: str = "contents") -> memoryview:
    """The bytes of a bytes-like object. Of a short one a copy, since it might change."""
    try:
        view = memoryview(contents)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"{name} must be bytes, bytearray or another bytes-like object, got {type(contents).__name__}"
        ) from None
    if view.nbytes <= COPIED_MAX or not view.c_contiguous:
        return memoryview(view.tobytes())
    return view.cast("B")


def size_in(metadata: Mapping[str, str], name: str) -> int | None:
    """A number of bytes in the details of an error; None if it is not there, or is none."""
    text = metadata.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
