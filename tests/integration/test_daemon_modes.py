"""What holds for a sandbox whoever runs the daemon: root, a user, or either as root of a user namespace."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cwsandbox import Container, Sandbox, SandboxError
from integration.env import Daemon

IN_USER_NAMESPACE = ("unshare", "--user", "--map-root-user")
# As containers have them, for the names of hosts.
MOUNT_IN_ETC = 'mount --bind /etc/hosts /etc/hosts && exec "$@"'
WITH_MOUNT_IN_ETC = (
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    MOUNT_IN_ETC,
    "sh",
)
OTHER_USER = "nobody"
PROCESSES = 60
MEBIBYTES = 32
OPEN_FILES = 1500
LIMITS = (
    f"--max-processes={PROCESSES}",
    f"--max-written={MEBIBYTES}M",
    f"--max-open-files={OPEN_FILES}",
)


def as_user() -> tuple[str, ...]:
    user = pwd.getpwnam(OTHER_USER)
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")


def prefix_of(mode: str) -> tuple[str, ...]:
    words: tuple[str, ...] = ()
    if mode.startswith("user"):
        if os.getuid() != 0 or not shutil.which("setpriv"):
            pytest.skip("only root, with setpriv, can become another user")
        words += as_user()
    if mode.endswith("in user namespace"):
        words += IN_USER_NAMESPACE
    if mode.endswith("with a mount in /etc"):
        words += WITH_MOUNT_IN_ETC
    if words and subprocess.run([*words, "true"], capture_output=True).returncode != 0:
        pytest.skip(f"refused on this machine: {' '.join(words)}")
    return words


@pytest.fixture(
    scope="module",
    params=[
        "as we are",
        "as we are, in user namespace",
        "as we are, with a mount in /etc",
        "user",
        "user in user namespace",
    ],
)
def anybodys(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """A daemon in each of these modes. Its programs are copied to where anybody can run them."""
    prefix = prefix_of(request.param)
    folder = Path("/tmp", tmp_path_factory.mktemp("cwsm").name + f"-{os.getpid()}")
    folder.mkdir()
    try:
        shutil.copytree(Daemon.binaries(), folder / "bin")
        if "setpriv" in prefix:
            for path in (folder, folder / "bin"):
                shutil.chown(path, OTHER_USER, pwd.getpwnam(OTHER_USER).pw_gid)
        program = folder / "bin" / "cwsandboxd"
        with Daemon(folder, command_prefix=prefix, program=program, arguments=LIMITS) as daemon:
            yield daemon
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def inside(anybodys: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", anybodys.base_url)
    with Sandbox.run() as sandbox:
        yield sandbox


# Every mount of a device: those in /dev, and what covers files of /proc. Asks for what is the case already, so
# that a sandbox which may do it changes nothing.
CHANGE_DEVICES = """
import os, stat
for line in open("/proc/self/mountinfo"):
    path = line.split()[4]
    try: status = os.stat(path)
    except OSError: continue
    if not stat.S_ISCHR(status.st_mode): continue
    for name, change in (
        ("chmod", lambda: os.chmod(path, stat.S_IMODE(status.st_mode))),
        ("utime", lambda: os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))),
        ("chown", lambda: os.chown(path, status.st_uid, status.st_gid)),
    ):
        try: change(); print(path, name, "done")
        except OSError as error: print(path, name, error.strerror)
open("/dev/null", "w").write("x")
"""


def test_device_nodes_of_the_host_cannot_be_changed(inside: Sandbox) -> None:
    result = inside.exec(["python3", "-c", CHANGE_DEVICES]).result()
    assert result.returncode == 0, result.stderr
    answers = [line.split(" ", 2) for line in result.stdout.splitlines()]
    assert {"/dev/null", "/dev/zero", "/dev/random"} <= {path for path, _, _ in answers}
    assert {answer for _, _, answer in answers} == {"Read-only file system"}, result.stdout


FILL = """
import os
total = 0
for folder in ("/", "/tmp", "/var/tmp", "/root", "/home", "/usr/local", "/usr/local/bin", "/opt", "/etc",
               "/etc/ssl/certs", "/run", "/srv", "/workspace", "/var/lib", "/dev/shm", "/dev", "/dev/pts"):
    try: file = open(folder + "/filler", "wb", buffering=0)
    except OSError: continue
    block = bytes(1 << 16)
    try:
        while total < 1 << 30: total += file.write(block)
    except OSError: pass
print(total)
"""

MAKE_FILES = """
import errno
try:
    for count in range(1 << 20): open(f"/tmp/{count}", "w").close()
except OSError as error:
    print(count, errno.errorcode[error.errno])
"""

# Children sleep where a bomb would go on forking: what counts is how many there can be.
BOMB = """
import errno, os, time
for count in range(1000):
    try: child = os.fork()
    except OSError as error:
        print(count, errno.errorcode[error.errno], flush=True)
        break
    if child == 0: time.sleep(1000)
time.sleep(1000)
"""


def test_written_bytes_are_limited_over_all_folders(inside: Sandbox) -> None:
    result = inside.exec(["python3", "-c", FILL]).result()
    total = int(result.stdout)
    assert MEBIBYTES << 19 < total <= (MEBIBYTES << 20) + (64 << 10), result
    inside.exec(["rm", "/tmp/filler", "/filler"]).result()
    assert inside.exec(["sh", "-c", "echo x > /tmp/x && cat /tmp/x"]).result().stdout == "x\n"


def test_files_are_limited(inside: Sandbox) -> None:
    count, error = inside.exec(["python3", "-c", MAKE_FILES]).result().stdout.split()
    assert error == "ENOSPC"
    assert int(count) <= MEBIBYTES << 20 >> 13


def test_open_files_are_limited(inside: Sandbox) -> None:
    assert inside.exec(["sh", "-c", "ulimit -Hn"]).result().stdout == f"{OPEN_FILES}\n"


SEND_DESCRIPTORS = """
import array, errno, resource, socket, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
one, other = socket.socketpair()
sent = 0
try:
    while sent < 40000:
        one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1] * 250))])
        sent += 250
except OSError as error: print(errno.errorcode[error.errno], flush=True)
time.sleep(1000)
"""


def test_descriptors_on_their_way_are_limited(inside: Sandbox) -> None:
    """The kernel counts them for each user, and the daemon sends some for each command."""
    process = inside.exec(["python3", "-c", SEND_DESCRIPTORS])
    assert next(process.stdout) == "ETOOMANYREFS\n"
    with Sandbox.run() as neighbour:
        for sandbox in (inside, neighbour):
            assert sandbox.exec(["echo", "fine"]).result().stdout == "fine\n"
    process.cancel()


def test_processes_are_limited_and_neighbours_go_on(anybodys: Daemon, inside: Sandbox) -> None:
    if "processes are NOT limited: the kernel exempts root" in anybodys.stderr:
        pytest.skip("there is no such limit where a sandbox's root is root, and the daemon says so")
    with Sandbox.run() as neighbour:
        bomb = inside.exec(["python3", "-c", BOMB])
        count, error = next(bomb.stdout).split()
        assert error == "EAGAIN"
        assert PROCESSES // 2 < int(count) < PROCESSES
        with pytest.raises(SandboxError, match="Resource temporarily unavailable"):
            inside.exec(["true"]).result()
        assert neighbour.exec(["echo", "fine"]).result().stdout == "fine\n"
    bomb.cancel()


def test_a_bomb_and_a_filler_beside_a_neighbour(anybodys: Daemon, inside: Sandbox) -> None:
    if "processes are NOT limited" in anybodys.stderr:
        pytest.skip("it would take the machine")
    fork = "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0.1)"
    bomb = inside.exec(["python3", "-c", fork])
    with Sandbox.run() as filler, Sandbox.run() as neighbour:
        full = filler.exec(["sh", "-c", "while :; do head -c 1G /dev/zero > /tmp/x; done"])
        for _ in range(20):
            assert neighbour.exec(["echo", "fine"]).result().stdout == "fine\n"
        full.cancel()
    inside.stop().result()
    with pytest.raises(SandboxError):
        bomb.result()


# As many as can be had of what the kernel counts for each user, or for all users together.
TAKE = """
import ctypes, os, signal, sys, time
libc = ctypes.CDLL(None, use_errno=True)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
mode = ctypes.c_uint(0o600)
ways = {
    "inotify": lambda i: libc.inotify_init1(0),
    "fanotify": lambda i: libc.fanotify_init(0x200, 0),  # FAN_REPORT_FID, for those without privileges
    "locked": lambda i: libc.shmctl(libc.shmget(0, 1 << 16, 0o600), 11, None),  # SHM_LOCK
    "queue": lambda i: libc.mq_open(b"/cws%d" % i, os.O_CREAT | os.O_RDWR, mode, None),
    "signal": lambda i: libc.sigqueue(os.getpid(), int(signal.SIGRTMIN), None),
    "terminal": lambda i: libc.open(b"/dev/ptmx", os.O_RDWR | os.O_NOCTTY),
}
count, most = 0, int(sys.argv[2])
while count < most and ways[sys.argv[1]](count) >= 0: count += 1
print(count, flush=True)
time.sleep(1000)
"""
TERMINALS = 256


@pytest.mark.parametrize("what", ["inotify", "fanotify", "locked", "queue", "signal", "terminal"])
def test_counts_of_the_kernel_are_not_used_up(inside: Sandbox, what: str) -> None:
    """By one sandbox, so that others of the same user, and that user's programs on the host, still get some."""
    greedy = inside.exec(["python3", "-c", TAKE, what, "1000000"])
    taken = int(next(greedy.stdout))
    assert taken >= 2
    if what == "terminal":
        assert taken == TERMINALS
    with Sandbox.run() as neighbour:
        modest = neighbour.exec(["python3", "-c", TAKE, what, "2"])
        assert int(next(modest.stdout)) == 2
        modest.cancel()
    greedy.cancel()


def test_keys_of_the_host_are_not_listed(inside: Sandbox) -> None:
    result = inside.exec(["cat", "/proc/keys", "/proc/key-users"]).result()
    assert result.stdout == ""


# What a kernel answers whose tmpfs has no holes. Making one holds up whoever touches the file, and with it
# whoever shares a pipe with that one, such as the daemon.
HOLES = """
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
file = os.memfd_create("x")
os.ftruncate(file, 1 << 20)
memory = mmap.mmap(file, 1 << 20)
start = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
def answer(value): return "done" if value == 0 else os.strerror(ctypes.get_errno())
print(answer(libc.fallocate(file, 0, 0, 1 << 20)))  # space
print(answer(libc.fallocate(file, 1 | 2, 0, 1 << 20)))  # KEEP_SIZE | PUNCH_HOLE
print(answer(libc.madvise(start, 1 << 20, 9)))  # MADV_REMOVE
print(answer(libc.madvise(start, 1 << 20, 4)))  # MADV_DONTNEED
"""


def test_files_in_memory_have_no_holes(inside: Sandbox) -> None:
    result = inside.exec(["python3", "-c", HOLES]).result()
    refused = os.strerror(errno.EOPNOTSUPP)
    assert result.stdout.splitlines() == ["done", refused, refused, "done"], result.stderr


def test_the_kernels_log_is_not_there(inside: Sandbox) -> None:
    """Whatever kernel.dmesg_restrict says."""
    code = "import ctypes; l = ctypes.CDLL(None, use_errno=True); l.klogctl(10, None, 0); print(ctypes.get_errno())"
    assert int(inside.exec(["python3", "-c", code]).result().stdout) == errno.ENOSYS


LOCK_ALL = """
import fcntl, os, stat, time
held = []
for top in ("/etc", "/usr/share/zoneinfo/Europe"):
    for folder, folders, files in os.walk(top):
        for path in [folder] + [folder + "/" + name for name in files]:
            if os.path.islink(path): continue
            try: file = os.open(path, os.O_RDONLY)
            except OSError: continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append(file)
            print(path)
print("", flush=True)
time.sleep(1000)
"""


def test_locks_on_files_of_the_host_are_private(inside: Sandbox) -> None:
    """All that can be opened below /etc, and some of /usr: the host still gets a lock on each, and so do neighbours."""
    process = inside.exec(["python3", "-c", LOCK_ALL])
    paths = []
    for line in process.stdout:
        if line == "\n":
            break
        paths.append(line.rstrip("\n"))
    assert {"/etc/ssl/certs", "/etc/alternatives"} <= set(paths)
    tried = 0
    for path in paths:
        try:
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue  # made for the sandbox
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            tried += 1
        finally:
            os.close(file)
    assert tried > 10
    process.cancel()


def test_certificates_can_be_added(inside: Sandbox) -> None:
    script = (
        "echo x > /etc/ssl/certs/own && ln -s own /etc/alternatives/own && cat /etc/ssl/certs/own"
    )
    result = inside.exec(["sh", "-c", script]).result()
    assert (result.stdout, result.stderr) == ("x\n", "")
    assert not os.path.lexists("/etc/ssl/certs/own")


# What the containers of a sandbox see of the network, of user namespaces and of their limits.
LOOK_AROUND = """
import os, resource, socket
print(os.readlink("/proc/self/ns/net"))
print([line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line])
print(open("/proc/sys/user/max_user_namespaces").read().strip())
print(os.statvfs("/").f_blocks * os.statvfs("/").f_frsize)
socket.create_server(("127.0.0.1", PORT))
print("listens")
"""


def test_several_containers(anybodys: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", anybodys.base_url)
    resources = {"cpu": "100m", "memory": "64Mi"}
    rows = [
        Container(name=name, image="any", primary=name == "a", resources=resources, command="sleep",
                  args=["infinity"])
        for name in ("a", "b")
    ]  # fmt: skip
    seen = []
    with Sandbox.run(containers=rows) as sandbox:
        for port, name in ((80, "a"), (443, "b")):
            script = LOOK_AROUND.replace("PORT", str(port))
            result = sandbox.exec(["python3", "-c", script], container=name).result()
            assert result.returncode == 0, result.stderr
            seen.append(result.stdout.splitlines())
    assert seen[0] == seen[1]
    network, devices, namespaces, written, _ = seen[0]
    assert network != os.readlink("/proc/self/ns/net")
    assert devices == "['lo']"
    assert namespaces == "0"
    assert int(written) <= MEBIBYTES << 19
