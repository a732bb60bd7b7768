"""Sandboxes from a description that the service keeps, as it is and with something else in it.

Before: ``cwsandbox templates create --image python:3.11 -e GREETING=hello --tag from-template greeter``
"""

from cwsandbox import Sandbox

ECHO = ["sh", "-c", "echo $GREETING, $(python3 -c 'print(6 * 7)')"]

with Sandbox.run_from_template("greeter") as sandbox:
    print(sandbox.exec(ECHO).result().stdout.strip(), sandbox.wait().tags)

# What is given replaces what the template has.
with Sandbox.run_from_template("greeter", tags=["mine"]) as sandbox:
    print(sandbox.exec(ECHO).result().stdout.strip(), sandbox.wait().tags)
