"""Read the log of a sandbox's main command: while it runs, and after it has failed."""

from cwsandbox import Sandbox, SandboxFailedError

SCRIPT = "for i in 1 2 3; do echo step $i; sleep 0.1; done; echo no such input >&2; exit 3"

with Sandbox.run("/bin/sh", "-c", SCRIPT) as sandbox:
    for line in sandbox.stream_logs(follow=True):
        print(line, end="")

    try:
        sandbox.wait_until_complete().result()
    except SandboxFailedError:
        print("exit code", sandbox.returncode)

    # The log stays, and can be read again.
    print("last line:", next(sandbox.stream_logs(tail_lines=1)), end="")
