"""Quantities and resource options."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cwsandbox import ResourceOptions
from cwsandbox._types.resources import normalize, parse_quantity

GOOD = {
    "0": 0,
    "00": 0,
    "1": 1,
    "01": 1,
    "+1": 1,
    "1.": 1,
    ".5": Decimal("0.5"),
    " 1 ": 1,
    "\t1\n": 1,
    "500m": Decimal("0.5"),
    "0.5m": Decimal("0.0005"),
    "5 m": Decimal("0.005"),
    "1Ki": 1024,
    "1Mi": 1024**2,
    "1Gi": 1024**3,
    "1Ti": 1024**4,
    "1Pi": 1024**5,
    "1Ei": 1024**6,
    "1.5Gi": 1610612736,
    ".5Gi": 536870912,
    "0.1Ki": Decimal("102.4"),
    "1 Gi": 1073741824,
    "+5Gi": 5368709120,
    "1k": 10**3,
    "1M": 10**6,
    "1G": 10**9,
    "1T": 10**12,
    "1P": 10**15,
    "1E": 10**18,
    "1 E": 10**18,
    "1e3": 1000,
    "1E3": 1000,
    "1e+3": 1000,
    "1e-3": Decimal("0.001"),
    "1e400": Decimal("1e400"),
    "9" * 40: int("9" * 40),
}

BAD = {
    "": "empty quantity",
    "   ": "empty quantity",
    "-1": "negative quantities",
    "-0": "negative quantities",
    "--1": "negative quantities",
    "1e3m": "scientific notation with suffix",
    "1e3Mi": "scientific notation with suffix",
    "1e2E": "scientific notation with suffix",
    **dict.fromkeys(
        [
            "1e",
            "m",
            "k",
            "E",
            "Mi",
            "Ki",
            "abc",
            "1K",
            "1KI",
            "1ki",
            "1gi",
            "1mi",
            "1MI",
            "1i",
            "1u",
            "1n",
            "1Zi",
            "1Yi",
            "1B",
            "1GB",
            "1GiB",
            "0x10",
            "1,5",
            "1.2.3",
            "5mm",
            "1Kim",
            "+-1",
        ],
        "unrecognized quantity",
    ),
    "1 0": "unrecognized quantity",
    "NaN": "unrecognized quantity",
    "inf": "unrecognized quantity",
    "1_000": "unrecognized quantity",
}


@pytest.mark.parametrize("text", GOOD)
def test_good_quantities(text: str) -> None:
    assert parse_quantity(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_bad_quantities(text: str) -> None:
    with pytest.raises(ValueError, match=BAD[text]):
        parse_quantity(text)


SIDE = {"cpu": "500m", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (SIDE, ResourceOptions(requests=SIDE, limits=SIDE)),
        ({"cpu": "1"}, ResourceOptions(requests={"cpu": "1"}, limits={"cpu": "1"})),
        ({"gpu": 2}, ResourceOptions(gpu={"count": 2})),
        ({"gpu": {"count": 1, "type": "H100"}}, ResourceOptions(gpu={"count": 1, "type": "H100"})),
        ({"cpu": "1", "gpu": {}}, ResourceOptions(requests={"cpu": "1"}, limits={"cpu": "1"})),
        ({"requests": SIDE}, ResourceOptions(requests=SIDE, limits=SIDE)),
        ({"limits": SIDE, "requests": {}}, ResourceOptions(requests=SIDE, limits=SIDE)),
        (ResourceOptions(limits=SIDE), ResourceOptions(requests=SIDE, limits=SIDE)),
        (
            {
                "requests": {"cpu": "1000m"},
                "limits": {"cpu": "1"},
                "gpu": {"count": 1, "memory_gb": 80},
            },
            ResourceOptions(
                requests={"cpu": "1000m"}, limits={"cpu": "1"}, gpu={"count": 1, "memory_gb": 80}
            ),
        ),
        (ResourceOptions(requests={}, limits={}), ResourceOptions()),
    ],
)
def test_forms(given: Any, expected: ResourceOptions | None) -> None:
    assert normalize(given) == expected


def test_sides_are_separate_copies() -> None:
    given = {"cpu": "1", "memory": "1Gi"}
    options = normalize(given)
    assert options is not None
    assert options.requests is not None
    assert options.limits is not None
    options.requests["cpu"] = "2"
    assert options.limits["cpu"] == given["cpu"] == "1"


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, TypeError, "unrecognized resources dict keys"),
        ({"disk": "1"}, TypeError, "unrecognized resources dict keys"),
        ({"cpu": "1", "disk": "1"}, ValueError, "unrecognized resource keys: disk"),
        ({"requests": {"cpu": "1"}, "cpu": "1"}, ValueError, "unrecognized resource keys"),
        ({"requests": {"gpu": 1}}, ValueError, "unrecognized keys in requests"),
        ({"limits": {"disk": "1"}}, ValueError, "unrecognized keys in limits"),
        ("1", TypeError, "resources must be"),
        ({"cpu": 1}, TypeError, "must be a str"),
        ({"cpu": "1x"}, ValueError, "unrecognized quantity"),
        (
            {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
            ValueError,
            "cpu request '2' exceeds limit '1'",
        ),
        ({"gpu": 0}, ValueError, "positive int"),
        ({"gpu": -1}, ValueError, "positive int"),
        ({"gpu": True}, ValueError, "positive int"),
        ({"gpu": "1"}, ValueError, "positive int"),
        ({"gpu": 1.5}, ValueError, "positive int"),
        ({"gpu": {"kind": "x"}}, ValueError, "unrecognized GPU keys: kind"),
        ({"gpu": {"count": 1, "memory_gb": 0}}, ValueError, "positive int"),
        ({"gpu": {"type": 5}}, ValueError, "gpu type"),
        ({"gpu": {"type": "A", "memory_gb": 1}}, ValueError, "not by both"),
        ({"requests": SIDE, "gpu": 1}, TypeError, "gpu must be a dict"),
    ],
)
def test_refused(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        normalize(given)
