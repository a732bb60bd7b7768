"""exec_async.py with pyqwest, a native HTTP/2 client, on requests made by hand."""

import asyncio
import time

from by_hand import HEADERS, URL, check, request
from measure import Figures, arguments
from pyqwest import Client, HTTPTransport, HTTPVersion

args = arguments(count=20000, in_flight=64)
figures = Figures()
rounds = max(1, args.count // args.in_flight)
client = Client(HTTPTransport(http_version=HTTPVersion.HTTP2, enable_otel=False))


async def work(rounds: int) -> None:
    for _ in range(rounds):
        start = time.perf_counter_ns()
        answer = await client.post(URL, HEADERS, request("true"))
        figures.delays.append(time.perf_counter_ns() - start)
        check(answer.status, answer.content, answer.trailers)


async def main() -> None:
    await asyncio.gather(*[work(1) for _ in range(args.in_flight)])
    figures.delays.clear()
    with figures.measured(ops=rounds * args.in_flight):
        await asyncio.gather(*[work(rounds) for _ in range(args.in_flight)])


asyncio.run(main())
figures.report()
