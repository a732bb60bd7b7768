"""Work on a directory in a sandbox: copy it there, run something, copy the outcome back."""

import tempfile
from pathlib import Path

from cwsandbox import Sandbox, SandboxTransferError

with tempfile.TemporaryDirectory() as folder, Sandbox.run() as sandbox:
    project = Path(folder, "project")
    (project / "src").mkdir(parents=True)
    (project / "src" / "words.txt").write_text("sandbox\nother\ncommand\n")
    (project / "sort.sh").write_text(
        "#!/bin/sh\nmkdir -p out && sort src/words.txt > out/sorted.txt\n"
    )
    (project / "sort.sh").chmod(0o755)
    (project / "notes.tmp").touch()

    sent = sandbox.upload(project, "/tmp/project", exclude=["*.tmp"]).result()
    print(f"sent {sent.files} files, {sent.bytes} bytes")
    sandbox.exec(["./sort.sh"], cwd="/tmp/project", check=True).result()
    sandbox.download("/tmp/project/out", project).result()
    print((project / "out" / "sorted.txt").read_text(), end="")

    try:
        sandbox.download("/tmp/project/missing", project).result()
    except SandboxTransferError as error:
        print(f"{error.filepath}: {error.reason}")
