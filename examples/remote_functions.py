"""Run Python functions in sandboxes, with what they refer to, and see what they raise."""

import json
from dataclasses import dataclass

import cwsandbox
from cwsandbox import SandboxExecutionError, Session

UNIT = "points"


@dataclass
class Team:
    name: str
    points: int


def label(points: int) -> str:
    return f"{points} {UNIT}"


with Session() as session:

    @session.function()
    def total(name: str, *points: int) -> str:
        print(f"adding for {name}: printed where it runs, and no part of the result")
        return json.dumps([name, label(sum(points))])

    print(total.remote("red", 1, 2, 3).result())
    print(cwsandbox.results(total.map([("blue", 4), ("green", 5, 6)])))
    print(total.local("here", 7))

    # Objects need pickles: only for sandboxes whose code you trust.
    @session.function(serialization="pickle")
    def merged(one: Team, other: Team) -> Team:
        return Team(f"{one.name}+{other.name}", one.points + other.points)

    print(merged.remote(Team("red", 6), Team("blue", 4)).result())

    @session.function()
    def average(points: list[int]) -> float:
        return sum(points) / len(points)

    try:
        average.remote([]).result()
    except SandboxExecutionError as error:
        print(f"{error.exception_type}: {error.exception_message}")
