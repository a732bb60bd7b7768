"""Set variables for one command, on top of those that the sandbox has."""

from cwsandbox import Sandbox

with Sandbox.run(environment_variables={"STAGE": "test", "REGION": "eu"}) as sandbox:
    show = ["sh", "-c", 'echo "$STAGE $REGION $TOKEN"']
    process = sandbox.exec(show, env={"STAGE": "production", "TOKEN": "s3cret"})
    print(process.result().stdout, end="")
    print(sandbox.exec(show).result().stdout, end="")
