"""Every scenario with its figures and what they are to reach.

Goals that are times were set on a machine of 2 cores on which the published SDK had the figure that is given with
them; those that are ratios hold anywhere.
"""

# ruff: noqa: RUF001  # the signs for times and for a range are meant
from __future__ import annotations

from .figures import Figure, Goal, Run, Scenario, value

MIB, KIB = 1 << 20, 1 << 10


def cpu_each(what: str, goal: Goal | None = None) -> Figure:
    return Figure(f"CPU per {what}", "µs", lambda run: run["cpu"] / run["ops"] * 1e6, goal)


def rate(what: str, goal: Goal | None = None) -> Figure:
    return Figure(f"{what}/s", "", lambda run: run["ops"] / run["wall"], goal, more_is_better=True)


def cpu_per_gb(goal: Goal | None = None) -> Figure:
    return Figure("CPU per GB", "s", lambda run: run["cpu"] / run["bytes"] * 1e9, goal)


def mb_rate(goal: Goal | None = None) -> Figure:
    return Figure(
        "MB/s", "", lambda run: run["bytes"] / run["wall"] / 1e6, goal, more_is_better=True
    )


def memory_by_output(goal: Goal | None = None) -> Figure:
    return Figure(
        "memory", "× output", lambda run: run["peak"] / run["bytes"], goal, of_floor=False
    )


def median_delay(goal: Goal | None = None) -> Figure:
    return Figure("p50", "µs", lambda run: run["p50"] * 1e6, goal)


def lines_read(run: Run) -> float:
    return run["items"] / run["ops"]


P99 = Figure("p99", "µs", lambda run: run["p99"] * 1e6)
SWITCHES = Figure(
    "context switches", "each", lambda run: run["switches"] / run["ops"], of_floor=False
)
THREADS = Figure("threads", "", lambda run: run["threads"], of_floor=False)
ITEMS = Figure("items yielded", "per line", lines_read, more_is_better=True, of_floor=False)


def with_pyqwest(tls: bool, counts: dict[str, int]) -> dict[str, int]:
    """As much work for it as for ours. It does not trust the server's certificate."""
    return counts if tls else {**counts, "pyqwest": counts["ours"]}


def sync(name: str, tls: bool = False) -> Scenario:
    delay = Goal(lambda medians: 2 * medians(name, "p50", "floor"), "2 × floor")
    return Scenario(
        name,
        f"one exec after the other, sync{', TLS' if tls else ''}",
        "exec_sync.py",
        (
            cpu_each("exec", None if tls else value(50, 649)),
            median_delay(None if tls else delay),
            P99,
            rate("execs"),
            SWITCHES,
            THREADS,
        ),
        counts=with_pyqwest(tls, {"ours": 6000, "published": 1500, "floor": 6000}),
        floor=() if tls else ("exec", "{count}", "1", "true"),
        tls=tls,
    )


def threads() -> Scenario:
    return Scenario(
        "threads-8",
        "8 threads, sync",
        "exec_sync.py",
        (cpu_each("exec", value(40, 400)), rate("execs"), median_delay()),
        {"threads": 8},
        counts=with_pyqwest(False, {"ours": 16_000, "published": 3000, "floor": 20_000}),
        floor=("exec", "{count}", "8", "true"),
    )


def awaits(
    in_flight: int, tls: bool = False, cpu: Goal | None = None, execs: Goal | None = None
) -> Scenario:
    return Scenario(
        f"async-{in_flight}{'-tls' if tls else ''}",
        f"{in_flight:,} awaits at once{', TLS' if tls else ''}",
        "exec_async.py",
        (cpu_each("exec", cpu), rate("execs", execs), median_delay()),
        {"in_flight": in_flight},
        counts=with_pyqwest(
            tls, {"ours": 60_000, "published": max(4000, in_flight), "floor": 60_000}
        ),
        floor=() if tls else ("exec", "{count}", str(in_flight), "true"),
        tls=tls,
    )


def lines(style: str, published: float) -> Scenario:
    return Scenario(
        f"lines-{style}",
        f"100-byte lines in 32 KiB frames, {style}",
        "lines.py",
        (cpu_per_gb(value(2, published)), mb_rate(), ITEMS),
        {"style": style},
        "lines",
        {"ours": 3_000_000, "published": 3_000_000, "floor": 3_000_000},
        floor=("exec", "1", "1", "lines", "{count}", "100", "32768"),
    )


def line_frames(style: str, published: float) -> Scenario:
    return Scenario(
        f"line-frames-{style}",
        f"one 100-byte line per frame, {style}",
        "lines.py",
        (cpu_each("line", value(0.6, published)), rate("lines")),
        {"style": style, "frame": 100},
        "lines",
        {"ours": 500_000, "published": 20_000, "floor": 500_000},
        floor=("exec", "1", "1", "linesf", "{count}", "100"),
    )


def output(name: str, title: str, size: int, *figures: Figure, **arguments: str) -> Scenario:
    return Scenario(
        name,
        title,
        "output.py",
        figures,
        arguments,
        "bytes",
        {"ours": size, "published": size, "floor": size},
        floor=("exec", "1", "1", "bytes", "{count}"),
    )


def first_line(style: str) -> Scenario:
    name = f"first-line-{style}"
    goal = Goal(lambda medians: medians(name, "p50", "floor") + 100, "floor + 100")
    return Scenario(
        name,
        f"first line after it was sent, {style}",
        "first_line.py",
        (median_delay(goal), P99),
        {"style": style},
        counts={"ours": 300, "published": 300, "floor": 300},
        floor=("tick", "{count}", "3"),
    )


def stdin(command: str, title: str, cpu: Goal) -> Scenario:
    name = f"stdin-{command}"
    fast = Goal(lambda medians: 5 * medians(name, "MB/s", "published"), "5 × published")
    return Scenario(
        name,
        title,
        "stdin.py",
        (mb_rate(fast), cpu_per_gb(cpu)),
        {"command": command},
        "bytes",
        {"ours": 200_000_000, "published": 100_000_000, "floor": 200_000_000},
        floor=("write", "{count}", "65536", command),
    )


def small_files(verb: str) -> Scenario:
    return Scenario(
        f"files-{verb}",
        f"files of 1 KiB, 64 awaits at once, {verb}",
        "files_small.py",
        (cpu_each("file", value(20)), rate("files")),
        {"verb": verb},
        counts={"ours": 20_000, "published": 3000},
    )


def large_file(verb: str) -> Scenario:
    name = f"file-{verb}"
    fast = Goal(lambda medians: 2.5 * medians(name, "MB/s", "published"), "2.5 × published")
    memory = Figure(
        "memory",
        "× file",
        lambda run: run["peak"] / run["file"],
        value(1.1 if verb == "read" else 0.1),
        of_floor=False,
    )
    return Scenario(
        name,
        f"a file of 64 MiB, {verb.replace('_', ' ')}",
        "file_large.py",
        (mb_rate(fast), cpu_per_gb(value(0.6)), memory),
        {"verb": verb},
        count_option="repeat",
        counts={"ours": 8, "published": 4},
        scales=False,
    )


def importing(name: str, title: str, **arguments: str) -> Scenario:
    return Scenario(
        name,
        title,
        "import_cost.py",
        (
            Figure("CPU", "ms", lambda run: run["cpu"] * 1e3, value(12, 107)),
            Figure("RSS", "MiB", lambda run: run["rss"] / MIB, value(4, 38)),
            Figure("modules", "", lambda run: run["modules"]),
        ),
        arguments,
    )


def log(style: str, entry: int, *figures: Figure) -> Scenario:
    entries = "one 100-byte line per entry" if entry == 100 else f"entries of {entry // KIB} KiB"
    few = entry == 100 or style == "unread"
    return Scenario(
        f"log-{style}" + ("-lines" if entry == 100 else ""),
        f"a followed log, {entries}, {style}",
        "logs.py",
        figures,
        {"style": style, "entry": str(entry)},
        "lines",
        {"ours": 500_000 if few else 3_000_000, "published": 20_000 if entry == 100 else 500_000},
        scales=style != "unread",
    )


OPEN = Scenario(
    "open-5000",
    "5,000 open execs",
    "open_execs.py",
    (
        Figure("RSS per open exec", "KiB", lambda run: run["rss"] / run["ops"] / KIB, value(3, 57)),
        cpu_each("exec"),
    ),
    counts={"ours": 5000, "published": 5000},
    scales=False,
)

WAIT = Scenario(
    "wait",
    "wait(10 of 2,000 live)",
    "wait_for.py",
    (cpu_each("process", value(2, 183)),),
    count_option="live",
    counts={"ours": 2000, "published": 2000},
    scales=False,
)

SANDBOXES = Scenario(
    "sandboxes-200",
    "200 sandboxes × 20 execs, async",
    "sandboxes.py",
    (cpu_each("exec", value(25, 464)), rate("execs")),
    count_option="sandboxes",
    counts={"ours": 200, "published": 200},
    scales=False,
)

FLAT = Goal(lambda medians: 1.2 * medians("async-64", "CPU per exec", "ours"), "1.2 × at 64")
SIZE = 100_000_000

SCENARIOS = (
    importing("import", "import cwsandbox, over bare Python"),
    importing("import-sandbox", "from cwsandbox import Sandbox", use="Sandbox"),
    sync("sync"),
    awaits(64, cpu=value(15, 355), execs=value(30_000, 3100)),
    awaits(512),
    awaits(4096, cpu=FLAT),
    threads(),
    lines("sync", 5.3),
    lines("async", 2.7),
    line_frames("sync", 69),
    line_frames("async", 43),
    output(
        "result",
        "100 MB result, text and bytes",
        SIZE,
        mb_rate(value(1000, 312)),
        cpu_per_gb(),
        memory_by_output(value(2.1)),
    ),
    output(
        "result-bytes",
        "100 MB result, bytes only",
        SIZE,
        mb_rate(),
        cpu_per_gb(),
        memory_by_output(value(1.1)),
        read="bytes",
    ),
    output(
        "long-line",
        "one 50 MB line, iterated",
        SIZE // 2,
        mb_rate(),
        cpu_per_gb(),
        memory_by_output(),
        command="longline",
        read="iterate",
    ),
    first_line("sync"),
    first_line("async"),
    stdin("cat", "stdin through cat, 64 KiB writes", value(2, 10.2)),
    stdin("sink", "stdin into a sink, 64 KiB writes", value(0.7, 2.8)),
    small_files("read"),
    small_files("write"),
    large_file("read"),
    large_file("write"),
    large_file("read_streaming"),
    large_file("write_streaming"),
    log("sync", 32 * KIB, cpu_each("line"), rate("lines")),
    log("async", 32 * KIB, cpu_each("line"), rate("lines")),
    log("sync", 100, cpu_each("line"), rate("lines")),
    log(
        "unread",
        32 * KIB,
        Figure("memory", "MiB", lambda run: run["peak"] / MIB, value(8), of_floor=False),
    ),
    OPEN,
    WAIT,
    SANDBOXES,
    sync("sync-tls", tls=True),
    awaits(64, tls=True),
    awaits(512, tls=True),
)
