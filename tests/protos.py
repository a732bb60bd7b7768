"""Descriptors of `proto/`, compiled by protoc when a test asks for them."""

from __future__ import annotations

import importlib.resources
import tempfile
from functools import cache
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_tools import protoc

PROTO_DIR = Path(__file__).parents[1] / "proto"


@cache
def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """Every file of `proto/` and what it imports, imports first. Not to be changed: it is shared."""
    sources = sorted(str(path.relative_to(PROTO_DIR)) for path in PROTO_DIR.rglob("*.proto"))
    include = importlib.resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set.bin")
        arguments = [f"-I{PROTO_DIR}", f"-I{include}", "--include_imports"]
        arguments += [f"--descriptor_set_out={out}", *sources]
        if protoc.main(["protoc", *arguments]) != 0:
            raise RuntimeError(f"protoc refused the files of {PROTO_DIR}")
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """A pool of its own, so that generated modules of the same names do not matter."""
    made = descriptor_pool.DescriptorPool()
    for file in descriptor_set().file:
        made.Add(file)
    return made
