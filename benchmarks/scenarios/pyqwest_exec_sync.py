"""exec_sync.py with pyqwest, a native HTTP/2 client, on requests made by hand."""

from by_hand import HEADERS, URL, check, request
from measure import Figures, arguments, by_threads
from pyqwest import HTTPVersion, SyncClient, SyncHTTPTransport

args = arguments(count=2000, threads=1, warm=50)
figures = Figures()
client = SyncClient(SyncHTTPTransport(http_version=HTTPVersion.HTTP2, enable_otel=False))


def command() -> None:
    answer = client.post(URL, HEADERS, request("true"))
    check(answer.status, answer.content, answer.trailers)


by_threads(figures, args, command)
figures.report()
