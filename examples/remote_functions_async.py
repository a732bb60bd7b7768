"""Many calls at once in an event loop, as they come back."""

import asyncio

from cwsandbox import OperationRef, Session


async def main() -> None:
    async with Session() as session:

        @session.function()
        def primes(first: int, last: int) -> int:
            return sum(all(n % d for d in range(2, n)) for n in range(max(first, 2), last))

        print(primes.local(0, 100))
        ranges = [(start, start + 500) for start in range(0, 2000, 500)]
        print(await asyncio.gather(*primes.map(ranges)))

        async def told(name: str, call: OperationRef[int]) -> None:
            print(f"{name}: {await call}")

        async with asyncio.TaskGroup() as group:
            group.create_task(told("below ten", primes.remote(0, 10)))


asyncio.run(main())
