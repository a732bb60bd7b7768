"""What a command in a sandbox can see and change of the host: programs, and nothing else."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import secrets
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from cwsandbox import Sandbox, SandboxError
from integration.env import Daemon
from integration.host import descendants

ALLOWED_VARIABLES = {
    *("GIVEN", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TERM"),
    *("PWD", "OLDPWD", "SHLVL", "_", "TMPDIR", "HOSTNAME"),
    *("PIP_BREAK_SYSTEM_PACKAGES", "PIP_ROOT_USER_ACTION"),
}


def sh(sandbox: Sandbox, script: str) -> str:
    """stdout of a shell script that must succeed."""
    result = sandbox.exec(["sh", "-c", script]).result()
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_programs_are_there(sandbox: Sandbox) -> None:
    for program in ("sh", "cat", "sort", "ls", "python", "python3"):
        assert sh(sandbox, f"command -v {program}").startswith("/")
    assert sh(sandbox, "python --version").startswith("Python 3.")
    assert sh(sandbox, "sh -lc 'command -v python3'").startswith("/")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can put secrets into such places")
@pytest.mark.parametrize(
    "parent", ["/root", "/home", "/var/tmp", "/var/lib", "/srv", "/mnt", "/run", "/tmp"]
)
def test_files_of_the_host_are_not_there(sandbox: Sandbox, parent: str) -> None:
    secret = secrets.token_hex(16)
    folder = Path(parent, f"cws-test-{secret}")
    folder.mkdir()
    try:
        (folder / "file").write_text(secret)
        result = sandbox.exec(["cat", str(folder / "file")]).result()
        assert result.returncode != 0
        assert secret not in result.stdout
        listing = sandbox.exec(["ls", "-a", parent]).result()
        assert folder.name not in listing.stdout
    finally:
        (folder / "file").unlink()
        folder.rmdir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root has files that are root's alone")
@pytest.mark.parametrize("parent", ["/opt", "/usr/local/lib"])
def test_files_in_sight_that_are_roots_alone_stay_closed(sandbox: Sandbox, parent: str) -> None:
    secret = secrets.token_hex(16)
    path = Path(parent, f"cws-test-{secret}")
    path.touch(mode=0o600)
    try:
        path.write_text(secret)
        result = sandbox.exec(["cat", str(path)]).result()
        assert result.returncode != 0
        assert "Permission denied" in result.stderr
        assert sandbox.exec(["sh", "-c", f"echo x >> {path}"]).result().returncode != 0
        assert path.read_text() == secret
    finally:
        path.unlink()


@pytest.mark.skipif(os.getuid() != 0, reason="only root's daemon can become other users")
def test_each_sandbox_is_a_user_of_its_own(base_url: str) -> None:
    with Sandbox.run() as one, Sandbox.run() as two:
        maps = [sh(sandbox, "cat /proc/self/uid_map").split() for sandbox in (one, two)]
    assert all(inside == "0" and count == "1" for inside, _, count in maps)
    users = {int(outside) for _, outside, _ in maps}
    assert len(users) == 2
    assert 0 not in users


def test_packages_can_be_installed(sandbox: Sandbox) -> None:
    """A wheel made in there, put beside the host's own packages, replaced and removed."""
    build = (
        "import zipfile, sys\n"
        "v = sys.argv[1]; d = f'cwsprobe-{v}.dist-info'\n"
        "with zipfile.ZipFile(f'/tmp/cwsprobe-{v}-py3-none-any.whl', 'w') as z:\n"
        "    z.writestr('cwsprobe/__init__.py', f'version = {v!r}')\n"
        "    z.writestr(f'{d}/METADATA', f'Metadata-Version: 2.1\\nName: cwsprobe\\nVersion: {v}\\n')\n"
        "    z.writestr(f'{d}/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "    z.writestr(f'{d}/RECORD', '')\n"
    )
    if sandbox.exec(["python3", "-m", "pip", "--version"]).result().returncode != 0:
        pytest.skip("this host's python3 has no pip")
    show = ["python3", "-c", "import cwsprobe; print(cwsprobe.version, cwsprobe.__file__)"]
    for version in ("1.0", "2.0"):
        assert sandbox.exec(["python3", "-c", build, version]).result().returncode == 0
        sh(sandbox, f"python3 -m pip install --no-index -q /tmp/cwsprobe-{version}-*.whl")
        seen = sandbox.exec(show).result().stdout.split()
        assert seen[0] == version
        assert seen[1].startswith("/usr/")
    sh(sandbox, "python3 -m pip uninstall -q -y cwsprobe")
    assert sandbox.exec(show).result().returncode != 0
    sh(sandbox, "echo '#!/bin/sh' > /usr/local/bin/own && chmod +x /usr/local/bin/own && own")


def test_keys_and_accounts_of_the_host_are_not_there(sandbox: Sandbox) -> None:
    paths = [
        "/etc/shadow",
        "/etc/gshadow",
        "/etc/ssh",
        "/etc/sudoers",
        "/root/.ssh",
        "/etc/machine-id",
    ]
    for path in paths:
        assert sandbox.exec(["test", "-e", path]).result().returncode == 1, path
    private = sh(sandbox, "ls /etc/ssl/private 2>/dev/null || true")
    assert private == ""


def test_the_daemons_state_is_not_there(sandbox: Sandbox, daemon: Daemon) -> None:
    for path in (daemon.folder, daemon.state_dir, daemon.folder / "socket"):
        assert sandbox.exec(["test", "-e", str(path)]).result().returncode == 1, path


def test_environment_is_clean(monkeypatch: pytest.MonkeyPatch, short_folder: Path) -> None:
    secret = f"CWS_SECRET_{uuid.uuid4().hex}"
    with Daemon(short_folder / "d", env={**os.environ, secret: "s3cret"}) as daemon:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        with Sandbox.run(environment_variables={"GIVEN": "yes"}) as sandbox:
            pairs = [line.partition("=") for line in sh(sandbox, "env").splitlines()]
            everyone = sh(sandbox, "cat /proc/[0-9]*/environ | tr '\\0' '\\n'")
    names = {name for name, _, _ in pairs}
    assert socket.gethostname() not in {value for _, _, value in pairs}
    assert "GIVEN" in names
    assert "PATH" in names
    assert names <= ALLOWED_VARIABLES
    assert secret not in everyone
    assert "s3cret" not in everyone


def test_writes_never_reach_the_host(sandbox: Sandbox) -> None:
    name = f"cws-test-{uuid.uuid4().hex}"
    places = ["/tmp", "/usr/bin", "/usr/local", "/etc", "/opt", "/var/tmp", "/root", "/home", "/"]
    for place in places:
        sandbox.exec(["sh", "-c", f"mkdir -p {place} && echo x > {place}/{name}"]).result()
        # False also where this user may not look, and so could not have written.
        assert not os.path.exists(f"{place}/{name}"), place
    assert sh(sandbox, f"cat /tmp/{name}") == "x\n"
    shell = Path("/bin/sh").resolve()
    before = shell.stat()
    sandbox.exec(
        ["sh", "-c", f"rm -f {shell}; chmod 777 /etc/passwd; echo >> /etc/passwd"]
    ).result()
    after = shell.stat()
    assert (before.st_ino, before.st_size, before.st_mtime) == (
        after.st_ino,
        after.st_size,
        after.st_mtime,
    )


def test_sandboxes_do_not_see_each_other(base_url: str) -> None:
    with Sandbox.run() as one, Sandbox.run() as two:
        sh(one, "echo private > /tmp/mine")
        assert two.exec(["cat", "/tmp/mine"]).result().returncode != 0
        hidden = one.exec(["sleep", "301.5"])
        assert "301.5" not in sh(two, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        hidden.cancel()


def test_processes_of_the_host_are_not_there(sandbox: Sandbox, daemon: Daemon) -> None:
    pids = [int(pid) for pid in sh(sandbox, "ls /proc | grep '^[0-9]'").split()]
    assert 1 in pids
    assert len(pids) < 20
    assert "cwsandboxd" not in sh(sandbox, "cat /proc/[0-9]*/comm")


def test_namespaces_are_its_own(sandbox: Sandbox) -> None:
    for name in ("user", "pid", "mnt", "ipc", "uts", "net"):
        mine = Path(f"/proc/self/ns/{name}").readlink()
        assert sh(sandbox, f"readlink /proc/self/ns/{name}").strip() != str(mine), name


def test_there_is_no_network_but_loopback(sandbox: Sandbox) -> None:
    assert sh(sandbox, "ls /sys/class/net 2>/dev/null || echo lo").split() == ["lo"]
    script = (
        "import socket\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(s.getsockname()).close()\n"
        "try: socket.create_connection(('192.0.2.1', 80), 2)\n"
        "except OSError as e: print('refused', type(e).__name__)\n"
    )
    assert sandbox.exec(["python3", "-c", script]).result().stdout.startswith("refused")


def test_commands_cannot_hold_on_to_the_daemon(sandbox: Sandbox) -> None:
    """No descriptor but the three of its own."""
    listing = sh(sandbox, "ls -l /proc/self/fd")
    targets = [line.rpartition("-> ")[2] for line in listing.splitlines() if "->" in line]
    own = [t for t in targets if not t.startswith("/proc/")]
    assert len(own) == 3, listing


def test_killing_everything_inside_harms_no_one_else(base_url: str, daemon: Daemon) -> None:
    with Sandbox.run() as victim, Sandbox.run() as other:
        victim.wait()
        # The main command goes too, so the sandbox ends: the command may or may not get to its end before it.
        with contextlib.suppress(SandboxError):
            victim.exec(["sh", "-c", "kill -KILL -1"]).result()
        assert other.exec(["echo", "fine"]).result().stdout == "fine\n"
    assert daemon.pid in descendants(os.getpid())


SOCKETS = """
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
for call in ("socket", "socketpair"):
    for family in range(1, 60):
        made = (ctypes.c_int * 2)()
        rest = (made,) if call == "socketpair" else ()
        if getattr(libc, call)(family, 1, 0, *rest) >= 0: print(family, "made")
        elif ctypes.get_errno() != errno.EAFNOSUPPORT: print(family, errno.errorcode[ctypes.get_errno()])
"""

# int 0x80 with eax, ebx, ecx, edx: the 32-bit calls, which a 64-bit program can make as well.
INT_80 = """
import ctypes, mmap, sys
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("53 89f8 89f3 87d1 cd80 5b c3"))  # push, mov, mov, xchg, int, pop, ret
call = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int] * 4)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
for numbers in sys.argv[1:]:
    print(call(*map(int, numbers.split(","))))
"""


def test_sockets_of_no_namespace_cannot_be_made(sandbox: Sandbox) -> None:
    """Such as AF_VSOCK, the way to the machine's hypervisor."""
    answers = sandbox.exec(["python3", "-c", SOCKETS]).result().stdout.splitlines()
    families = {int(line.split()[0]) for line in answers}
    assert families <= {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    assert f"{int(socket.AF_INET)} made" in answers


def has_32_bit_calls() -> bool:
    """Whether this kernel has them, asked with getpid."""
    host = subprocess.run([sys.executable, "-c", INT_80, "20,0,0,0"], capture_output=True)
    return host.returncode == 0 and not host.stdout.startswith(b"-")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="int 0x80 is x86's")
def test_32_bit_calls_are_filtered_too(base_url: str) -> None:
    getpid, socket_made, keyctl = "20,0,0,0", "359,1,1,0", "288,0,0,0"
    vsock, by_socketcall, pair = "359,40,1,0", "102,1,0,0", "360,40,1,0"
    line_discipline = f"54,0,{0x5423},0"
    calls = [getpid, socket_made, vsock, pair, by_socketcall, keyctl, line_discipline]
    if not has_32_bit_calls():
        pytest.skip("this kernel has no 32-bit calls")
    with Sandbox.run() as sandbox:
        result = sandbox.exec(["python3", "-c", INT_80, *calls]).result()
    pid, made, *refused = map(int, result.stdout.split())
    assert pid > 1
    assert made >= 0
    no_family = -errno.EAFNOSUPPORT
    assert refused == [no_family, no_family, -errno.ENOSYS, -errno.ENOSYS, -errno.EPERM]


REQUESTS = r"""
import ctypes, errno, pty, struct, termios
libc = ctypes.CDLL(None, use_errno=True)
master, slave = pty.openpty()
termios.tcgetattr(slave)
for request in (0x5412, 0x5423, 0x541C, 0x5423 | 1 << 32):  # TIOCSTI, TIOCSETD, TIOCLINUX
    result = libc.syscall(ctypes.c_long(NUMBER), slave, ctypes.c_ulong(request), struct.pack("i", 2))
    print(result, errno.errorcode.get(ctypes.get_errno()))
"""


def test_terminals_keep_their_line_discipline_and_input(sandbox: Sandbox) -> None:
    number = {"x86_64": 16, "aarch64": 29}[platform.machine()]
    result = sandbox.exec(["python3", "-c", REQUESTS.replace("NUMBER", str(number))]).result()
    assert result.stdout.split("\n")[:-1] == ["-1 EPERM"] * 4, result.stderr
