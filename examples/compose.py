"""Start the services of a Compose file, and talk to one of them from another."""

from cwsandbox import Sandbox

COMPOSE = b"""
services:
  tests:
    image: python:3.11
    command: ["sleep", "infinity"]
  web:
    image: python:3.11
    command: ["python3", "-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory", "/usr"]
"""

with Sandbox.run_from_file(COMPOSE, primary_service="tests") as sandbox:
    sandbox.wait()
    print([container.name for container in sandbox.containers])
    # Each service is reached by its name.
    print("web answers:", sandbox.exec(["sh", "-c", "getent hosts web"]).result().stdout.split()[0])
    print(sandbox.exec(["sh", "-c", "echo in $0", "web"], container="web").result().stdout.strip())
