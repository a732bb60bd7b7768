"""``--egress`` of an ordinary user's daemon: slirp4netns, on a small internet of the test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from cwsandbox import (
    EgressRule,
    NetworkOptions,
    Sandbox,
    SandboxError,
    SandboxFailedError,
)
from integration import host
from integration.egress import (
    FETCH,
    METADATA,
    OPEN,
    assert_both_reach,
    assert_network_is_fixed,
    others,
    probe,
    reaches,
    run_two_containers,
    serve,
)
from integration.env import Daemon, eventually
from integration.internet import (
    FOURTH,
    GRANTED,
    HOST,
    OPEN_TUN,
    OTHER,
    THIRD,
    Internet,
    become,
    missing,
)

USER = 54321
EXAMPLE = Path(__file__).parents[2] / "examples" / "egress.py"


def _missing() -> str | None:
    if (why := missing()) is not None:
        return why
    for tool in ("nft", "slirp4netns", "setpriv"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    opens = f"{OPEN_TUN} && {' '.join(become(USER))} sh -c ': <>/dev/net/tun'"
    tried = subprocess.run(
        ["unshare", "-m", "sh", "-c", opens], capture_output=True, text=True, check=False
    )
    return f"/dev/net/tun: {tried.stderr.strip()}" if tried.returncode else None


pytestmark = pytest.mark.skipif(_missing() is not None, reason=str(_missing()))


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with others(tmp_path_factory.mktemp("internet")) as made:
        yield made


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """Copied to where that user can run them, whoever owns the virtual environment."""
    with tempfile.TemporaryDirectory(prefix="cwsu-") as name:
        Path(name).chmod(0o755)
        yield Path(shutil.copytree(Daemon.binaries(), Path(name, "bin")))


def make_daemon(
    folder: Path, programs: Path, prefix: list[str], way: str = "auto", user: int = USER
) -> Daemon:
    folder.mkdir(exist_ok=True)
    os.chown(folder, user, user)
    return Daemon(
        folder,
        command_prefix=tuple(prefix),
        arguments=("--egress", way),
        program=programs / "cwsandboxd",
    )


@pytest.fixture(scope="module")
def daemon(internet: Internet, programs: Path) -> Iterator[Daemon]:
    with (
        tempfile.TemporaryDirectory(prefix="cwsd-") as folder,
        make_daemon(Path(folder), programs, internet.on_host(as_user=USER)) as running,
    ):
        yield running


@pytest.fixture
def base_url(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
    return daemon.base_url


def stacks(daemon: Daemon) -> list[int]:
    """The processes of slirp4netns of a daemon."""
    found = []
    for pid in host.children(daemon.pid):
        with contextlib.suppress(OSError):  # it has just ended
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if host.is_alive(pid) and name == "slirp4netns":
                found.append(pid)
    return found


# ---- rules


def test_who_asks_for_nothing_gets_nothing(base_url: str, daemon: Daemon) -> None:
    for network in (None, NetworkOptions(), NetworkOptions(deny_egress=True)):
        with Sandbox.run(network=network) as sandbox:
            assert reaches(sandbox, f"{GRANTED}:80") == [False]
            assert sandbox.effective_egress == ()
            # Those of earlier sandboxes may be ending.
            eventually(lambda: not stacks(daemon), "it has none")


def test_any_is_not_what_is_internal(base_url: str) -> None:
    with Sandbox.run(network=OPEN) as sandbox:
        assert sandbox.effective_egress == (EgressRule(any=True),)
        # Who is called sees the host.
        assert probe(sandbox, f"{GRANTED}:80", f"{FOURTH}:8001", f"{OTHER}:80") == [
            f"{GRANTED}:80 {HOST}",
            f"{FOURTH}:8001 {HOST}",
            "ConnectionRefusedError",
        ]
        gateway, name_server = "169.254.192.2", "169.254.192.3"
        internal = (HOST, METADATA, gateway, name_server, "0.0.0.0")
        assert reaches(sandbox, *(f"{one}:80" for one in internal)) == [False] * len(internal)


def test_ranges_ports_and_protocols(base_url: str) -> None:
    rules = [
        EgressRule(cidr={"cidr": "203.0.113.4/30", "except": [f"{THIRD}/32"]}, ports=[80]),
        EgressRule(cidr=f"{FOURTH}/32", ports=[{"port": 8000, "end_port": 8000}, 8500]),
        EgressRule(cidr=f"{THIRD}/32", ports=[{"port": 80, "protocol": "UDP"}]),
    ]
    with Sandbox.run(network=NetworkOptions(egress=rules)) as sandbox:
        assert sandbox.effective_egress == tuple(rules)
        allowed = (f"{GRANTED}:80", f"{FOURTH}:8000")
        denied = (f"{THIRD}:80", f"{GRANTED}:8001", f"{FOURTH}:80", f"{FOURTH}:8001", f"{HOST}:80")
        assert reaches(sandbox, *allowed) == [True] * len(allowed)
        assert reaches(sandbox, *denied) == [False] * len(denied)


def test_loopback_is_not_the_hosts(base_url: str, internet: Internet) -> None:
    """Also for sockets that are bound to the device, which the table of local routes is not for."""
    attempts = (
        "import socket, sys\n"
        "def bound(kind):\n"
        "    one = socket.socket(socket.AF_INET, kind)\n"
        "    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')\n"
        "    one.settimeout(0.5)\n"
        "    return one\n"
        "for where in (('127.0.0.1', 5000), ('127.0.0.53', 443), (sys.argv[1], 443)):\n"
        "    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):\n"
        "        try:\n"
        "            with bound(kind) as one:\n"
        "                one.connect(where)\n"
        "                one.send(b'from inside')\n"
        "        except OSError:\n"
        "            pass\n"
    )
    rules = [EgressRule(dns_name="granted.example.org"), EgressRule(cidr=f"{GRANTED}/32")]
    places = [("127.0.0.1", 5000), ("127.0.0.53", 443)]
    kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(internet.host.socket(kind)) for kind in kinds for _ in places
        ]
        for server, place in zip(servers, places * 2, strict=True):
            server.bind(place)
            server.setblocking(False)
        for listener in servers[2:]:
            listener.listen()
        for network in (OPEN, NetworkOptions(egress=rules)):
            with Sandbox.run(network=network) as sandbox:
                tried = sandbox.exec(["python3", "-c", attempts, THIRD]).result()
                assert tried.returncode == 0, tried.stderr
                # The process takes packets in their order: by now it has taken all of these.
                assert reaches(sandbox, f"{GRANTED}:80") == [True]
            for server in servers[:2]:
                with pytest.raises(BlockingIOError):
                    print(server.recvfrom(100))
            for listener in servers[2:]:
                with pytest.raises(BlockingIOError):
                    print(listener.accept())


def test_addresses_that_the_host_gets_later(base_url: str, internet: Internet) -> None:
    """Also a range all of which is the host's. And what it no longer has is not refused."""
    with Sandbox.run(network=OPEN) as first, Sandbox.run(network=OPEN) as second:
        for what, target, *words in (
            ("addr", "203.0.113.77:80", "203.0.113.77/32", "dev", "lo"),
            ("route", "198.18.5.77:80", "local", "198.18.5.0/24", "dev", "lo"),
        ):
            internet.host.ip(what, "add", *words)
            with Sandbox.run(network=OPEN) as third:
                assert is_refused(third, target)
            for sandbox in (first, second):
                eventually(partial(is_refused, sandbox, target), "the host's address is refused")
            internet.host.ip(what, "del", *words)
        internet.others.ip("addr", "add", "203.0.113.77/24", "dev", "cable")
        with serve(internet.others, "203.0.113.77", 80, "another"):
            eventually(lambda: reaches(first, "203.0.113.77:80") == [True], "it is another's now")


def test_rules_that_cannot_follow_the_hosts_addresses(
    internet: Internet,
    programs: Path,
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rather no way out than one to the host."""
    with make_daemon(short_folder, programs, internet.on_host(as_user=USER)) as daemon:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        with Sandbox.run(network=OPEN) as sandbox:
            assert reaches(sandbox, f"{GRANTED}:80") == [True]
            inside = ["nsenter", f"--mount=/proc/{daemon.pid}/ns/mnt", "sh", "-c"]
            subprocess.run([*inside, "mount --bind /bin/false $(command -v nft)"], check=True)
            internet.host.ip("addr", "add", "203.0.113.78/32", "dev", "lo")
            eventually(lambda: sandbox.get_status() and not sandbox.effective_egress, "it is told")
            internet.host.ip("addr", "del", "203.0.113.78/32", "dev", "lo")
            assert not any(reaches(sandbox, f"{GRANTED}:80", f"{HOST}:80", "203.0.113.78:80"))
            eventually(lambda: not stacks(daemon), "its process is gone")
        assert "its rules cannot follow the host's addresses" in daemon.stderr


def test_rules_change_only_with_the_hosts_addresses(
    internet: Internet,
    programs: Path,
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not with each sandbox of a daemon of root's: that would be a process of nft for each sandbox here."""
    counting = short_folder / "nft"
    log = short_folder / "runs"
    nft = shutil.which("nft")
    counting.write_text(f'#!/bin/sh\necho run >> {log}\nexec {short_folder}/real "$@"\n')
    counting.chmod(0o755)
    shutil.copy(str(nft), short_folder / "real")
    short_folder.chmod(0o755)

    def add_device(number: int) -> None:
        name = f"cws60-{number}"
        internet.host.ip("link", "add", name, "type", "veth", "peer", "name", f"other{number}")
        internet.host.ip("link", "set", name, "up")
        internet.host.ip("addr", "add", f"10.252.0.{2 * number}/31", "dev", name)

    folder = short_folder / "d"
    with make_daemon(folder, programs, internet.on_host(as_user=USER)) as daemon:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        with Sandbox.run(network=OPEN) as sandbox:
            add_device(0)
            eventually(partial(is_refused, sandbox, "10.252.0.0:80"), "the slot is refused")
            inside = ["nsenter", f"--mount=/proc/{daemon.pid}/ns/mnt"]
            subprocess.run([*inside, "mount", "--bind", str(counting), str(nft)], check=True)
            log.touch()
            log.chmod(0o666)
            add_device(1)
            for _ in range(3):  # the daemon has looked at the change by then
                assert is_refused(sandbox, "10.252.0.2:80")
            internet.host.ip("addr", "add", "203.0.113.79/32", "dev", "lo")
            eventually(partial(is_refused, sandbox, "203.0.113.79:80"), "the address is refused")
        for number in range(2):
            internet.host.ip("link", "del", f"cws60-{number}")
        internet.host.ip("addr", "del", "203.0.113.79/32", "dev", "lo")
    assert log.read_text() == "run\n"


def is_refused(sandbox: Sandbox, target: str) -> bool:
    return probe(sandbox, target) == ["OSError"]


def test_datagrams(base_url: str, internet: Internet) -> None:
    ask = (
        "import socket, sys\n"
        "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "one.settimeout(5)\n"
        "one.connect((sys.argv[1], 5000))\n"
        "one.send(b'hello')\n"
        "print(one.recv(100).decode())\n"
    )
    with (
        internet.others.socket(socket.SOCK_DGRAM) as server,
        Sandbox.run(network=OPEN) as sandbox,
    ):
        server.bind((GRANTED, 5000))
        server.settimeout(20)
        process = sandbox.exec(["python3", "-c", ask, GRANTED])
        said, caller = server.recvfrom(100)
        assert (said, caller[0]) == (b"hello", HOST)
        server.sendto(b"and back", caller)
        assert process.result().stdout == "and back\n"
        for internal in (HOST, "203.0.113.255", METADATA):
            said = sandbox.exec(["python3", "-c", ask, internal]).result().stderr
            assert "Error" in said
            assert "TimeoutError" not in said  # it is refused, and not only unanswered


def test_names(base_url: str, internet: Internet) -> None:
    rule = EgressRule(dns_name="granted.example.org")
    with Sandbox.run(network=NetworkOptions(egress=[rule])) as sandbox:
        assert sandbox.dns_egress_names == ("granted.example.org",)
        sandbox.write_file("/ca.pem", internet.ca.read_bytes()).result()

        def get(address: str, name: str) -> str:
            return sandbox.exec(["python3", "-c", FETCH, address, name]).result().stdout.strip()

        assert get("granted.example.org", "granted.example.org") == "hello"
        assert get("other.example.org", "other.example.org") == ""
        assert get(THIRD, "other.example.org") == ""  # with the address known, too
        assert reaches(sandbox, f"{GRANTED}:80", f"{THIRD}:80") == [False, False]
    with Sandbox.run(network=OPEN) as sandbox:
        assert reaches(sandbox, "granted.example.org:80", "no-such.example.org:80") == [True, False]


def test_the_example(base_url: str, internet: Internet) -> None:
    """Its sandbox does not know who vouches for the servers here, but shows what it asked for."""
    internet.names["pypi.org"] = [GRANTED]
    asked = len(internet.asked)
    ended = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=False
    )
    assert ended.stdout == (
        "allowed: pypi.org\n"
        "https://pypi.org/simple/ cannot be reached\n"
        "https://example.org/ cannot be reached\n"
    ), ended.stderr
    assert set(internet.asked[asked:]) == {"pypi.org"}


def test_a_sandbox_cannot_change_its_network(base_url: str) -> None:
    assert_network_is_fixed()


def test_several_containers_share_the_way_out(base_url: str, daemon: Daemon) -> None:
    with run_two_containers() as sandbox:
        # Those of earlier sandboxes may be ending.
        eventually(lambda: len(stacks(daemon)) == 1, "there is one for both")
        assert_both_reach(sandbox)


def test_what_cannot_leave_is_refused(base_url: str) -> None:
    rule = EgressRule(any=True, ports=[{"port": 80, "protocol": "SCTP"}])
    with pytest.raises(SandboxError, match="SCTP") as refused:
        Sandbox.run(network=NetworkOptions(egress=[rule]))
    assert refused.value.reason == "CWSANDBOX_NOT_IMPLEMENTED"


# ---- life and death


def test_the_stack_ends_with_its_sandbox(base_url: str, daemon: Daemon) -> None:
    descriptors = Path(f"/proc/{daemon.pid}/fd")
    with Sandbox.run(network=OPEN) as sandbox:
        assert reaches(sandbox, f"{GRANTED}:80") == [True]
    eventually(lambda: not stacks(daemon), "its process is gone")
    before = len(list(descriptors.iterdir()))
    for _ in range(3):
        with Sandbox.run(network=OPEN) as sandbox:
            sandbox.wait()
            assert stacks(daemon)
    eventually(
        lambda: not stacks(daemon) and len(list(descriptors.iterdir())) <= before,
        "no descriptor is left",
    )


def test_the_end_of_the_stack_is_noticed(base_url: str, daemon: Daemon) -> None:
    with Sandbox.run(network=OPEN) as other:
        other.wait()
        before = set(stacks(daemon))
        with Sandbox.run(network=OPEN) as sandbox:
            sandbox.wait()
            (its_own,) = set(stacks(daemon)) - before
            os.kill(its_own, signal.SIGKILL)
            eventually(lambda: sandbox.get_status() and not sandbox.effective_egress, "it is told")
            assert probe(sandbox, f"{GRANTED}:80") == ["OSError"]  # no network can be reached
            assert sandbox.exec(["echo", "on"]).result().stdout == "on\n"
            assert reaches(other, f"{GRANTED}:80") == [True]
    assert f"sandbox {sandbox.sandbox_id} has lost its way to other networks" in daemon.stderr


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_stack_ends_with_the_daemon(
    internet: Internet,
    programs: Path,
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    daemon = make_daemon(short_folder, programs, internet.on_host(as_user=USER), "slirp4netns")
    daemon.start()
    monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
    Sandbox.run(network=OPEN).wait()
    (pid,) = stacks(daemon)
    if end == "stop":
        daemon.stop()
    else:
        daemon.kill()
    eventually(lambda: not host.is_alive(pid), "its process is gone")


# ---- what it needs


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        ("mount --bind /dev/null $(command -v slirp4netns)", "program slirp4netns .* package"),
        ("mount --bind /dev/null $(command -v nft)", "program nft .* package nftables"),
        ("rm /dev/net/tun", "/dev/net/tun, which slirp4netns needs .* No such file"),
        ("chmod 600 /dev/net/tun", "/dev/net/tun, which slirp4netns needs .* Permission denied"),
    ],
)
def test_what_is_missing_is_named(
    programs: Path, short_folder: Path, break_it: str, says: str
) -> None:
    """And a daemon that was told to give a way out does not start without one."""
    script = f'{OPEN_TUN} && {break_it} && exec {" ".join(become(USER))} "$@"'
    daemon = make_daemon(short_folder, programs, ["unshare", "-mn", "sh", "-c", script, "sh"])
    with pytest.raises(AssertionError, match=rf"--egress auto is not possible here: .*{says}"):
        daemon.start()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nft", "cannot load rules in a network of this user's: .* no, says"),
        ("slirp4netns", "cannot be run: .* no, says"),
    ],
)
def test_what_does_not_work_is_named(
    programs: Path, short_folder: Path, name: str, says: str
) -> None:
    short_folder.chmod(0o755)
    fake = short_folder / "bin" / name
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\necho no, says {name} >&2\nexit 1\n")
    fake.chmod(0o755)
    script = f'{OPEN_TUN} && export PATH={fake.parent}:$PATH && exec {" ".join(become(USER))} "$@"'
    daemon = make_daemon(short_folder, programs, ["unshare", "-mn", "sh", "-c", script, "sh"])
    with pytest.raises(AssertionError, match=rf"--egress auto is not possible here: {fake} {says}"):
        daemon.start()


def test_a_sandbox_that_cannot_have_its_way_out_does_not_start(
    internet: Internet,
    programs: Path,
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with make_daemon(short_folder, programs, internet.on_host(as_user=USER)) as daemon:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        inside = ["nsenter", f"--mount=/proc/{daemon.pid}/ns/mnt"]
        subprocess.run([*inside, "rm", "/dev/net/tun"], check=True)
        with pytest.raises(SandboxFailedError, match=r"slirp4netns has ended: .*/dev/net/tun"):
            Sandbox.run(network=OPEN).wait()
        with Sandbox.run() as sandbox:
            assert sandbox.exec(["echo", "on"]).result().stdout == "on\n"
        eventually(lambda: not stacks(daemon), "no process is left")


def test_connections_beyond_the_limit_are_refused(base_url: str, daemon: Daemon) -> None:
    """And the others go on, as do new ones once there is room again."""
    script = (
        "import resource, socket, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3000, 3000))\n"
        "held = []\n"
        "try:\n"
        "    while len(held) < 2000:\n"
        "        held.append(socket.create_connection((sys.argv[1], 443), timeout=20))\n"
        "except OSError as error:\n"
        "    print(len(held) > 500, error.strerror)\n"
    )
    with Sandbox.run(network=OPEN) as sandbox, Sandbox.run(network=OPEN) as other:
        said = sandbox.exec(["python3", "-c", script, GRANTED]).result()
        assert said.stdout == "True Network is unreachable\n", said.stderr
        assert reaches(other, f"{GRANTED}:80") == [True]
        eventually(lambda: reaches(sandbox, f"{GRANTED}:80") == [True], "there is room again")
        assert sandbox.effective_egress
        assert len(stacks(daemon)) >= 2


@pytest.mark.parametrize(
    ("user", "way", "says"),
    [(USER, "nftables", "virtual devices need root"), (0, "slirp4netns", "for ordinary users")],
)
def test_each_way_is_for_its_user(
    programs: Path, short_folder: Path, user: int, way: str, says: str
) -> None:
    prefix = ["unshare", "-n", *(become(user) if user else [])]
    with pytest.raises(AssertionError, match=rf"--egress {way} is not possible here: .*{says}"):
        make_daemon(short_folder, programs, prefix, way, user).start()
