"""A web server in a sandbox, reached from outside."""

import urllib.request

from cwsandbox import Sandbox, Service

SERVER = """\
import http.server
server = http.server.HTTPServer(("127.0.0.1", 8000), http.server.SimpleHTTPRequestHandler)
print("ready", flush=True)
server.serve_forever()
"""

with Sandbox.run(services=[Service(port=8000, name="web", visibility="public")]) as sandbox:
    sandbox.write_file("/srv/hello.txt", b"hello from inside\n").result()
    server = sandbox.exec(["python3", "-c", SERVER], cwd="/srv")
    next(iter(server.stdout))  # it listens

    ((port, name, url),) = sandbox.service_urls
    with urllib.request.urlopen(f"{url}/hello.txt", timeout=30) as answer:
        print(port, name, answer.read().decode(), end="")
