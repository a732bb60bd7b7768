"""exec_async.py with pyqwest, a native HTTP/2 client, on requests made by hand."""

from typing import Any

from by_hand import HEADERS, URL, check, request
from measure import Figures, arguments, by_tasks
from pyqwest import Client, HTTPTransport, HTTPVersion

args = arguments(count=20000, in_flight=64)
figures = Figures()
client = Client(HTTPTransport(http_version=HTTPVersion.HTTP2, enable_otel=False))


def check_answer(answer: Any) -> None:
    check(answer.status, answer.content, answer.trailers)


by_tasks(figures, args, lambda: client.post(URL, HEADERS, request("true")), check_answer)
figures.report()
