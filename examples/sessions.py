"""Several sandboxes with shared settings, stopped together; and those of a program that ended without stopping them."""

import cwsandbox
from cwsandbox import SandboxDefaults, Session

defaults = SandboxDefaults(
    tags=("sessions-example",), environment_variables={"STAGE": "test"}, max_lifetime_seconds=600
)

with Session(defaults) as session:
    # Nothing is sent here: the first command creates the sandbox.
    sandboxes = [session.sandbox(environment_variables={"PART": str(n)}) for n in range(4)]

    # All four commands run at the same time.
    processes = [
        sandbox.exec(["sh", "-c", "echo part $PART of the $STAGE run"]) for sandbox in sandboxes
    ]
    for result in cwsandbox.results(processes):
        print(result.stdout, end="")

    sandboxes[0].stop().result()
    print(f"{session.sandbox_count} left to be stopped")
# All have ended here.

# A program that was killed has left one behind. The next one finds it by its tags, and takes it over.
left_behind = cwsandbox.Sandbox.run(defaults=defaults)

with Session(defaults) as session:
    found = session.list(adopt=True).result()
    print(f"found it: {[sandbox.sandbox_id for sandbox in found] == [left_behind.sandbox_id]}")

print(f"{len(Session(defaults).list().result())} sandboxes run")
