"""Follow a command that prints without end: memory stays bounded, and the reader sets the pace."""

from cwsandbox import Sandbox

with Sandbox.run() as sandbox:
    process = sandbox.exec(["seq", "1000000000"], capture_output=False)
    total = 0
    for line in process.stdout:
        total += int(line)
        if total > 1_000_000:
            break
    print("reached", total)

    # The command has been held back since then, and nobody wants the rest.
    process.cancel()
    print("exit code", process.poll())

    print("-- without a reader the output is dropped, and the result says so")
    result = sandbox.exec(["seq", "1000000"], capture_output=False).result()
    print(f"exit code {result.returncode}, captured: {result.output_captured}")
    print(f"{result.stdout_omitted_bytes} bytes went by")
