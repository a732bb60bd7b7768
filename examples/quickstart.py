"""A first look: run a command, stream its output, talk to it, catch its failure, run many at once."""

from cwsandbox import Sandbox, SandboxExecutionError

COUNTDOWN = """
import time
for second in (3, 2, 1):
    print(second, flush=True)
    time.sleep(0.3)
print("lift-off")
"""

with Sandbox.run() as sandbox:
    result = sandbox.exec(["echo", "Hello from a sandbox!"]).result()
    print(result.stdout, end="")

    print("\n-- output arrives line by line")
    for line in sandbox.exec(["python", "-c", COUNTDOWN]).stdout:
        print(line, end="")

    print("\n-- standard input")
    process = sandbox.exec(["sort"], stdin=True)
    for fruit in ("banana", "apple", "cherry"):
        process.stdin.writeline(fruit).result()
    process.stdin.close().result()
    print(process.result().stdout, end="")

    print("\n-- a failure is an exception, if wanted")
    try:
        sandbox.exec(["ls", "/root/secrets"], check=True).result()
    except SandboxExecutionError as error:
        print(f"exit code {error.exec_result.returncode}: {error.exec_result.stderr}", end="")

    print("\n-- a hundred commands at once")
    processes = [sandbox.exec(["sh", "-c", f"echo $(({n} * {n}))"]) for n in range(100)]
    print("sum of squares:", sum(int(p.result().stdout) for p in processes))
