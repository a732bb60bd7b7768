"""A server of a protocol of its own in a sandbox: several clients talk to it over plain TCP."""

import asyncio
from urllib.parse import urlsplit

from cwsandbox import Sandbox, Service

SERVER = """\
import socketserver

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

with Server(("127.0.0.1", 7000), Handler) as server:
    print("ready", flush=True)
    server.serve_forever()
"""


async def shout(host: str | None, port: int | None, text: str) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"{text}\n".encode())
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer.decode().strip()


async def main() -> None:
    service = Service(port=7000, name="shout", visibility="public")
    async with Sandbox.run(services=[service]) as sandbox:
        server = sandbox.exec(["python3", "-c", SERVER])
        await anext(aiter(server.stdout))  # it listens

        ((_, _, url),) = sandbox.service_urls
        at = urlsplit(url)
        print(await asyncio.gather(*(shout(at.hostname, at.port, word) for word in ("one", "two"))))


asyncio.run(main())
