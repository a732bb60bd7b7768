"""Give a program its input, take its output, and copy a large file piece by piece."""

import hashlib
import json
import tempfile
from pathlib import Path

from cwsandbox import Sandbox, SandboxFileError

with Sandbox.run() as sandbox, tempfile.TemporaryDirectory() as folder:
    sandbox.write_file("/work/numbers.json", json.dumps([3, 1, 2]).encode()).result()
    sandbox.exec(
        ["sh", "-c", "tr -d '[] ' < numbers.json | tr , '\\n' | sort > sorted.txt"],
        cwd="/work",
        check=True,
    ).result()
    print(sandbox.read_file("/work/sorted.txt").result().decode().split())

    large = Path(folder, "large.bin")
    large.write_bytes(bytes(range(256)) * 40_000)
    with large.open("rb") as source:
        blocks = iter(lambda: source.read(1 << 20), b"")
        sandbox.write_file_streaming("/work/large.bin", blocks).result()
    digest = hashlib.sha256()
    for data in sandbox.read_file_streaming("/work/large.bin"):
        digest.update(data)
    print(digest.hexdigest() == hashlib.sha256(large.read_bytes()).hexdigest())

    try:
        sandbox.read_file("/work/missing").result()
    except SandboxFileError as error:
        print(f"{error.filepath}: {error.reason}")
