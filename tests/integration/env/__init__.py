"""What the integration tests and the benchmarks run against: a daemon of their own, with certificates if wanted."""

from .certs import Certs
from .daemon import Daemon, temporary_daemon
from .wait import eventually

__all__ = ["Certs", "Daemon", "eventually", "temporary_daemon"]
