"""exec_sync.py with pyqwest, a native HTTP/2 client, on requests made by hand."""

from threading import Thread

from by_hand import HEADERS, URL, check, request
from measure import Figures, arguments
from pyqwest import HTTPVersion, SyncClient, SyncHTTPTransport

args = arguments(count=2000, threads=1, warm=50)
figures = Figures()
rounds = args.count // args.threads
client = SyncClient(SyncHTTPTransport(http_version=HTTPVersion.HTTP2, enable_otel=False))


def command() -> None:
    answer = client.post(URL, HEADERS, request("true"))
    check(answer.status, answer.content, answer.trailers)


def work() -> None:
    for _ in range(rounds):
        figures.timed(command)


for _ in range(args.warm):
    command()
threads = [Thread(target=work) for _ in range(args.threads - 1)]
with figures.measured(ops=rounds * args.threads):
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()

figures.report()
