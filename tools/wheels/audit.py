"""auditwheel for any platform: its command line knows only those of the machine that it runs on."""

from __future__ import annotations

import argparse
from pathlib import Path

from auditwheel import main_repair

from .targets import MUSL, Target


def repair(target: Target, wheel: Path, into: Path) -> Path:
    """Refuses what needs more than the platform promises, and gives the wheel the platform's tag."""
    into.mkdir(parents=True, exist_ok=True)
    for old in into.glob(f"cwsandbox-*{target.platform}*.whl"):
        old.unlink()
    parser = argparse.ArgumentParser(prog="auditwheel")
    arguments = argparse.Namespace(
        WHEEL_FILE=[wheel],
        WHEEL_DIR=into,
        PLAT=target.platform,
        ONLY_PLAT=True,
        UPDATE_TAGS=True,
        ZIP_COMPRESSION_LEVEL=9,
        # It would look for these on this machine, and put what it finds into the wheel.
        EXCLUDE=sorted(MUSL),
        LDPATHS="",
        PATCHER="none",
        LIB_SDIR=".libs",
        STRIP=False,
        DISABLE_ISA_EXT_CHECK=False,
        ALLOW_PURE_PY_WHEEL=False,
    )
    if main_repair.execute(arguments, parser) != 0:
        raise SystemExit(f"auditwheel refuses {wheel.name} for {target.platform}")
    (repaired,) = into.glob(f"cwsandbox-*{target.platform}*.whl")
    return repaired
