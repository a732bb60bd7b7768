"""Two containers in one sandbox: a server, and a main command's container that talks to it over 127.0.0.1."""

from cwsandbox import Container, Sandbox

SERVER = """
import socket
server = socket.create_server(("127.0.0.1", 7000))
print("ready", flush=True)
while True:
    connection = server.accept()[0]
    print("asked", flush=True)
    connection.sendall(b"42")
    connection.close()
"""
ASK = """
import socket
print(socket.create_connection(("127.0.0.1", 7000)).recv(10).decode())
"""

small = {"cpu": "100m", "memory": "128Mi"}
containers = [
    Container(name="main", image="python:3.12", primary=True, resources=small),
    Container(name="server", image="python:3.12", command="python3", args=["-c", SERVER], resources=small),
]  # fmt: skip

with Sandbox.run(containers=containers) as sandbox:
    log = sandbox.stream_logs(container="server", follow=True)
    print(next(log), end="")
    print(sandbox.exec(["python3", "-c", ASK]).result().stdout, end="")
    print(next(log), end="")
    log.close()

    sandbox.write_file("/tmp/note", b"for the server alone", container="server").result()
    for name in ("main", "server"):
        found = sandbox.exec(["ls", "/tmp"], container=name).result().stdout.split()
        print(name, found)
    sandbox.get_status()
    print({status.name: status.state.value for status in sandbox.container_statuses})
