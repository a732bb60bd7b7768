"""A sandbox that reaches one host, if the service lets sandboxes out at all."""

from cwsandbox import EgressRule, NetworkOptions, Sandbox, SandboxError

NETWORK = NetworkOptions(egress=[EgressRule(dns_name="pypi.org")])

try:
    with Sandbox.run(network=NETWORK) as sandbox:
        print("allowed:", ", ".join(sandbox.dns_egress_names))
        for url in ("https://pypi.org/simple/", "https://example.org/"):
            program = f"import urllib.request; urllib.request.urlopen({url!r}, timeout=20)"
            result = sandbox.exec(["python3", "-c", program]).result()
            print(url, "answers" if result.returncode == 0 else "cannot be reached")
except SandboxError as error:
    if error.reason != "CWSANDBOX_NOT_IMPLEMENTED":
        raise
    print("no sandbox of this service reaches other networks (cwsandboxd does with --egress)")
