"""``--egress``: what leads from sandboxes to other networks, on a small internet of the test's own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cwsandbox import (
    EgressRule,
    NetworkOptions,
    Sandbox,
    SandboxValidationError,
    Service,
)
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
)
from integration.env import Daemon, eventually
from integration.host import Mark
from integration.internet import (
    FOURTH,
    GRANTED,
    HOST,
    OTHER,
    THIRD,
    Internet,
    missing,
)


def _missing() -> str | None:
    return missing() or (None if shutil.which("nft") else "nft is not installed")


pytestmark = pytest.mark.skipif(_missing() is not None, reason=str(_missing()))

SPOOFED = "10.192.200.1/32"


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with others(tmp_path_factory.mktemp("internet")) as made:
        yield made


@pytest.fixture(scope="module")
def egress_daemon(internet: Internet) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="cwsd-") as folder:
        prefix = tuple(internet.on_host())
        with Daemon(Path(folder), command_prefix=prefix, arguments=("--egress", "auto")) as running:
            yield running


@pytest.fixture
def base_url(egress_daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", egress_daemon.base_url)
    return egress_daemon.base_url


def tables(internet: Internet) -> str:
    command = [*internet.host.enter(), "nft", "list", "tables"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def devices(internet: Internet) -> list[str]:
    command = [*internet.host.enter(), "ip", "-json", "link"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [link["ifname"] for link in json.loads(shown) if link["ifname"].startswith("cws")]


# ---- rules


def test_who_asks_for_nothing_gets_nothing(base_url: str) -> None:
    for network in (None, NetworkOptions(), NetworkOptions(deny_egress=True)):
        with Sandbox.run(network=network) as sandbox:
            assert reaches(sandbox, f"{GRANTED}:80") == [False]
            assert sandbox.effective_egress == ()


def test_not_denied_means_any(base_url: str) -> None:
    with Sandbox.run(network=OPEN) as sandbox:
        assert sandbox.effective_egress == (EgressRule(any=True),)
        # Who is called sees the host.
        assert probe(sandbox, f"{GRANTED}:80", f"{FOURTH}:8001") == [
            f"{GRANTED}:80 {HOST}",
            f"{FOURTH}:8001 {HOST}",
        ]


def test_any_is_not_what_is_internal(base_url: str) -> None:
    with Sandbox.run(network=NetworkOptions(egress=[EgressRule(any=True)])) as sandbox:
        route = sandbox.exec(["cat", "/proc/net/route"]).result().stdout.splitlines()[1].split()
        gateway = socket.inet_ntoa(int(route[2], 16).to_bytes(4, "little"))
        assert gateway.startswith("10.")
        internal = (f"{HOST}:80", f"{gateway}:80", f"{METADATA}:80")
        assert reaches(sandbox, *internal, f"{GRANTED}:80") == [False, False, False, True]


def test_ranges_and_ports(base_url: str) -> None:
    rules = [
        EgressRule(cidr={"cidr": "203.0.113.4/30", "except": [f"{THIRD}/32"]}),
        EgressRule(cidr=f"{FOURTH}/32", ports=[{"port": 8000, "end_port": 8000}, 8500]),
    ]
    with Sandbox.run(network=NetworkOptions(egress=rules)) as sandbox:
        assert sandbox.effective_egress == tuple(rules)
        allowed = (f"{GRANTED}:80", f"{GRANTED}:8001", f"{FOURTH}:8000")
        denied = (f"{THIRD}:80", f"{FOURTH}:80", f"{FOURTH}:8001", f"{HOST}:80")
        assert reaches(sandbox, *allowed) == [True] * len(allowed)
        assert reaches(sandbox, *denied) == [False] * len(denied)


def test_a_protocol_is_one_of_its_own(base_url: str) -> None:
    rules = [EgressRule(cidr=f"{GRANTED}/32", ports=[{"port": 80, "protocol": "UDP"}])]
    with Sandbox.run(network=NetworkOptions(egress=rules)) as sandbox:
        assert reaches(sandbox, f"{GRANTED}:80") == [False]


def test_names_are_resolved_where_addresses_are_ruled(base_url: str) -> None:
    with Sandbox.run(network=OPEN) as sandbox:
        assert reaches(sandbox, "granted.example.org:80", "no-such.example.org:80") == [True, False]


def test_a_name_grants_its_host_alone(base_url: str, internet: Internet) -> None:
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


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (EgressRule(cidr="10.0.0.1/8"), "10.0.0.1/8"),
        (EgressRule(cidr="127.0.0.0/8"), "internal"),
        (EgressRule(cidr=f"{METADATA}/32"), "internal"),
        (EgressRule(cidr={"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}), "11.0.0.0/9"),
        (EgressRule(any=True, ports=[{"port": 1, "protocol": "icmp"}]), "ICMP"),
    ],
)
def test_wrong_rules_are_refused_by_name(base_url: str, rule: EgressRule, says: str) -> None:
    with pytest.raises(SandboxValidationError, match=says):
        Sandbox.run(network=NetworkOptions(egress=[rule]))


# ---- between sandboxes


def test_sandboxes_do_not_reach_each_other(base_url: str) -> None:
    listen = "import socket; s = socket.create_server(('0.0.0.0', 80)); print('up', flush=True); s.accept()"
    with Sandbox.run(network=OPEN) as server, Sandbox.run(network=OPEN) as caller:
        process = server.exec(["python3", "-c", listen])
        assert next(iter(process.stdout)).strip() == "up"
        shown = server.exec(["cat", "/proc/net/fib_trie"]).result().stdout
        addresses = {word for word in shown.split() if word.startswith("10.") and "/" not in word}
        assert addresses
        assert not any(reaches(caller, *(f"{one}:80" for one in addresses)))
        process.cancel()


def test_a_sandbox_cannot_change_its_network(base_url: str) -> None:
    assert_network_is_fixed()


def test_several_containers_share_the_way_out(base_url: str) -> None:
    with run_two_containers() as sandbox:
        assert_both_reach(sandbox)


def test_the_host_holds_without_the_rules_inside(
    base_url: str, egress_daemon: Daemon, internet: Internet
) -> None:
    """As if a program had got rights over its network: the host keeps what is internal, and senders are their own."""
    with Sandbox.run(network=NetworkOptions(egress=[EgressRule(cidr=f"{GRANTED}/32")])) as sandbox:
        mark = Mark()
        process = sandbox.exec(
            ["python3", "-c", "print(1, flush=True); input()", mark.value], stdin=True
        )
        assert next(iter(process.stdout)).strip() == "1"
        inside = ["nsenter", f"--net=/proc/{mark.pids()[0]}/ns/net"]
        for command in (["nft", "flush", "ruleset"], ["ip", "addr", "add", SPOOFED, "dev", "eth0"]):
            subprocess.run([*inside, *command], check=True)
        route = sandbox.exec(["cat", "/proc/net/route"]).result().stdout.splitlines()[1].split()
        gateway = socket.inet_ntoa(int(route[2], 16).to_bytes(4, "little"))
        assert reaches(sandbox, f"{GRANTED}:80", f"{THIRD}:80") == [True, True]
        assert reaches(sandbox, *(f"{one}:80" for one in (HOST, gateway, METADATA))) == [False] * 3
        spoof = (
            "import socket, sys\n"
            "one = socket.create_connection((sys.argv[1], 80), 2, (sys.argv[2], 0))\n"
        )
        said = sandbox.exec(["python3", "-c", spoof, GRANTED, SPOOFED.partition("/")[0]]).result()
        assert "TimeoutError" in said.stderr
        process.cancel()


def test_services_go_on(base_url: str, internet: Internet) -> None:
    server = ["python3", "-m", "http.server", "8000"]
    service = Service(port=8000, name="web", visibility="public")
    with Sandbox.run(*server, services=[service], network=OPEN) as sandbox:
        ((_, _, url),) = sandbox.service_urls
        host, _, port = url.removeprefix("http://").rstrip("/").partition(":")

        def answers() -> bool:
            with internet.host.socket(socket.SOCK_STREAM) as client:
                client.settimeout(10)
                client.connect((host, int(port)))
                try:
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    return b" 200 " in client.recv(100)
                except ConnectionError:  # nobody listens inside yet
                    return False

        eventually(answers, "the service answers")
        assert reaches(sandbox, f"{GRANTED}:80") == [True]


# ---- what is left


def test_nothing_is_left_of_a_sandbox(base_url: str, internet: Internet) -> None:
    with Sandbox.run(network=OPEN) as sandbox:
        sandbox.wait()
        assert devices(internet)
    eventually(lambda: not devices(internet), "the devices are gone")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_nothing_is_left_of_a_daemon(
    internet: Internet, short_folder: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    before = tables(internet)
    options = ("--egress", "nftables")
    prefix = tuple(internet.on_host())
    first = Daemon(short_folder / "1", command_prefix=prefix, arguments=options).start()
    monkeypatch.setenv("CWSANDBOX_BASE_URL", first.base_url)
    sandbox = Sandbox.run(network=OPEN)
    assert reaches(sandbox, f"{GRANTED}:80") == [True]
    mine = set(tables(internet).splitlines()) - set(before.splitlines())
    assert len(mine) == 1
    if end == "stop":
        first.stop()
        assert tables(internet) == before
    else:
        first.kill()
        eventually(lambda: not devices(internet), "the devices are gone")
        assert mine <= set(tables(internet).splitlines())
        second = Daemon(short_folder / "2", command_prefix=prefix, arguments=options).start()
        second.stop()
        assert tables(internet) == before
    # Those of a network that is gone go some time after it.
    eventually(lambda: not devices(internet), "the devices are gone")


def test_several_daemons_side_by_side(
    internet: Internet, short_folder: Path, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = tuple(internet.on_host())
    with Sandbox.run(network=OPEN) as here:
        with Daemon(short_folder, command_prefix=prefix, arguments=("--egress", "auto")) as other:
            monkeypatch.setenv("CWSANDBOX_BASE_URL", other.base_url)
            with Sandbox.run(network=OPEN) as there:
                assert reaches(there, f"{GRANTED}:80") == [True]
        assert reaches(here, f"{GRANTED}:80") == [True]


def test_it_needs_isolation(short_folder: Path) -> None:
    options = ("--egress", "auto", "--isolation", "none")
    with pytest.raises(AssertionError, match="--egress: needs isolation"):
        Daemon(short_folder, arguments=options).start()


def test_nobody_listens_at_the_other_address(base_url: str) -> None:
    """Without a rule the answer is a refusal on the spot, with one it is the network's."""
    with Sandbox.run(network=OPEN) as sandbox:
        assert probe(sandbox, f"{OTHER}:80") == ["ConnectionRefusedError"]
