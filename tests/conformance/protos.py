"""Python messages and stubs from our own .proto files, made by grpcio-tools when the tests start."""

from __future__ import annotations

import importlib
import importlib.resources
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

PROTO_DIR = Path(__file__).parents[2] / "proto"


@cache
def _generated() -> tempfile.TemporaryDirectory[str]:
    from grpc_tools import protoc

    folder = tempfile.TemporaryDirectory(prefix="cws-protos-")
    # The google.rpc messages are taken from googleapis-common-protos, which grpcio-status needs anyway.
    sources = sorted(str(p.relative_to(PROTO_DIR)) for p in PROTO_DIR.glob("coreweave/**/*.proto"))
    include = importlib.resources.files("grpc_tools") / "_proto"
    arguments = [f"-I{PROTO_DIR}", f"-I{include}"]
    outputs = [f"--python_out={folder.name}", f"--grpc_python_out={folder.name}"]
    assert protoc.main(["protoc", *arguments, *outputs, *sources]) == 0
    sys.path.insert(0, folder.name)
    return folder


def messages(name: str = "sandbox") -> ModuleType:
    """The messages of a file, `sandbox_pb2` if no other is named."""
    _generated()
    return importlib.import_module(f"coreweave.sandbox.v1.{name}_pb2")


def stubs(name: str = "sandbox") -> ModuleType:
    """The stubs of a file's services, `sandbox_pb2_grpc` if no other is named."""
    _generated()
    return importlib.import_module(f"coreweave.sandbox.v1.{name}_pb2_grpc")
