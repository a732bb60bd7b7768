"""A Compose file in an event loop: the tests begin when the service that they need has said that it is ready."""

import asyncio

from cwsandbox import Sandbox

COMPOSE = b"""
services:
  tests:
    image: python:3.11
    command: ["sleep", "infinity"]
  store:
    image: python:3.11
    environment:
      GREETING: hello from the store
    command:
      - python3
      - -c
      - |
        import http.server, os, time
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(os.environ["GREETING"].encode())
            def log_message(self, *args):
                pass
        server = http.server.HTTPServer(("127.0.0.1", 8000), Handler)
        print("ready", flush=True)
        server.serve_forever()
"""
ASK = "import urllib.request; print(urllib.request.urlopen('http://store:8000').read().decode())"


async def main() -> None:
    async with Sandbox.run_from_file(COMPOSE, primary_service="tests") as sandbox:
        async for line in sandbox.stream_logs(container="store", follow=True):
            print("store:", line, end="")
            break
        result = await sandbox.exec(["python3", "-c", ASK], check=True)
        print("tests:", result.stdout, end="")


asyncio.run(main())
