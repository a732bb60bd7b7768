"""An evaluation in the manner of SWE-bench: for each task a repository, a patch that a model wrote, and hidden tests.

Each task has an image, files, limits and a report of its own. The program may be killed and run again: what is done
stays in the store. Failures of the infrastructure are no scores: they are tried again, and told from the patches'.
"""

import json
import tempfile
from pathlib import Path

import cwsandbox
from cwsandbox import Job, Limits, Retry, Verdict

EVALUATE = """
set -e
cd /testbed
mkdir -p repo && cp /task/module.sh repo/
patch -s -d repo -p1 < /task/patch.diff || { echo '{"resolved": false, "why": "patch"}' > report.json; exit 1; }
if timeout 20 sh /task/tests.sh; then echo '{"resolved": true}' > report.json
else echo '{"resolved": false, "why": "tests"}' > report.json; exit 1; fi
"""

MODULE = b"double() { echo $(($1 + $1 + 1)); }\n"
TESTS = b'. repo/module.sh; test "$(double 4)" = 8\n'


def patch(line: str) -> bytes:
    """What a model has proposed in place of the module's only line."""
    old, new = MODULE.decode(), f"{line}\n"
    return f"--- a/module.sh\n+++ b/module.sh\n@@ -1 +1 @@\n-{old}+{new}".encode()


PATCHES = {
    "right": patch("double() { echo $(($1 * 2)); }"),
    "wrong": patch("double() { echo $(($1 * 3)); }"),
    "broken": b"this is no patch\n",
    "endless": patch("double() { while true; do :; done; }"),
}


def task(name: str) -> Job:
    return Job(
        name,
        ["sh", "-c", EVALUATE],
        image="python:3.12",
        cwd="/testbed",
        env={"LC_ALL": "C"},
        files={
            "/testbed/.keep": b"",
            "/task/module.sh": MODULE,
            "/task/patch.diff": PATCHES[name],
            "/task/tests.sh": TESTS,
        },
        artifacts=["/testbed/report.json"],
        timeout_seconds=3 if name == "endless" else 60,
        sandbox={"resources": {"cpu": "1", "memory": "1Gi"}},
        metadata={"model": "example"},
    )


with tempfile.TemporaryDirectory() as folder:
    store = Path(folder) / "run.db"
    for run in ("first", "second"):
        evaluation = cwsandbox.batch(
            [task(name) for name in PATCHES],
            store=store,
            limits=Limits(alive=4, starting=2),
            retry=Retry(times=3),
            max_output_bytes=100_000,
        )
        scores = {}
        for outcome in evaluation:
            report = outcome.artifacts.get("/testbed/report.json")
            if outcome.is_infra:
                scores[outcome.job.key] = "no score"  # the next run tries it again
            elif report is not None:
                scores[outcome.job.key] = str(json.loads(report)["resolved"])
            else:
                scores[outcome.job.key] = outcome.verdict.value
        summary = evaluation.summary()
        print(run, "run:", dict(sorted(scores.items())))
        print(summary.verdicts.get(Verdict.OK, 0), "resolved;", summary.stored, "were done before")
