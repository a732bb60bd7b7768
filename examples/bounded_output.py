"""Keep only the beginning and the end of a long output, such as an agent or a log needs of a build."""

from cwsandbox import Sandbox

with Sandbox.run() as sandbox:
    result = sandbox.exec(["seq", "100000"], max_output_bytes=40).result()
    print(result.stdout)
    print(f"({result.stdout_omitted_bytes} bytes omitted)")
