"""Prints the public surface of the package `cwsandbox` that this interpreter has, as JSON: what is there, by its path,
and what it is. It is run with the published SDK and with ours, so it knows nothing of either.

Paths look like `Sandbox`, `Sandbox.exec`, `Sandbox.exec(cwd)`; `Sandbox:bases` is a property of a class, and
`exceptions/SandboxError` a name of another module.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import json
import typing
from collections.abc import Iterator
from typing import Any

PACKAGE = "cwsandbox"
MODULES = (PACKAGE, f"{PACKAGE}.exceptions")
# What Python gives any class, or one of a kind.
GIVEN = {
    *dir(object),
    *("__annotations__", "__dict__", "__module__", "__weakref__", "__slots__", "__doc__"),
    *("__abstractmethods__", "__orig_bases__", "__parameters__", "__class_getitem__"),
    *("__match_args__", "__dataclass_fields__", "__dataclass_params__", "__post_init__"),
    *("__static_attributes__", "__firstlineno__", "__replace__", "__setstate__", "__getattr__"),
    *("__protocol_attrs__", "__non_callable_proto_members__", "__traceback__", "__cause__"),
}
# Behaviour of values, told by `:hash` and `:eq`.
VALUES = {"__eq__", "__hash__", "__repr__", "__str__"}

Facts = Iterator[tuple[str, str]]


def shown(value: object) -> str:
    """A default, without what differs from one process to the next."""
    if value is dataclasses.MISSING or value is inspect.Parameter.empty:
        return ""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    text = repr(value)
    return text.partition(" at 0x")[0]


def parameters(path: str, target: Any) -> Facts:
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):
        yield f"{path}()", "signature not told"
        return
    names = [
        name for name in signature.parameters if name not in ("self", "cls") and name[0] != "_"
    ]
    yield (
        f"{path}()",
        ", ".join(name for name in names if signature.parameters[name].kind.name != "KEYWORD_ONLY"),
    )
    for name in names:
        one = signature.parameters[name]
        default = shown(one.default)
        yield f"{path}({name})", f"{one.kind.name}{default and f' = {default}'}"


# ---- classes ----


def kind_of(owner: type, name: str) -> str:
    static = inspect.getattr_static(owner, name)
    if isinstance(static, classmethod | staticmethod):
        return type(static).__name__
    if isinstance(static, property) or inspect.isdatadescriptor(static):
        return "property"
    if not callable(static):
        return "attribute"
    is_async = inspect.iscoroutinefunction(static) and not name.startswith("__")
    return "async method" if is_async else "method"


def is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == PACKAGE


def is_public(cls: type) -> bool:
    return cls.__name__ in importlib.import_module(PACKAGE).__all__


def own(cls: type) -> list[type]:
    """The class and its private bases. What a public one has is told there."""
    return [base for base in cls.__mro__ if base is cls or (is_ours(base) and not is_public(base))]


def member_names(cls: type) -> list[str]:
    """Public members and special methods that the package gives a class; fields are told by `field`."""
    found = {name for base in own(cls) for name in vars(base)}
    special = {name for name in found if name.startswith("__") and name.endswith("__")}
    public = {name for name in found if not name.startswith("_")}
    fields = {one.name for one in shown_fields(cls)}
    constants = set(cls.__members__) if issubclass(cls, enum.Enum) else set()
    return sorted(
        (public | special) - GIVEN - VALUES - fields - constants - {"__init__", "__new__"}
    )


def public_bases(cls: type) -> str:
    """The bases, with a private one replaced by its own."""
    found: list[str] = []
    for base in cls.__bases__:
        if is_ours(base) and not is_public(base):
            found += public_bases(base).split(", ")
        else:
            found.append(base.__name__)
    kept = dict.fromkeys(name for name in found if name not in ("Generic", "object"))
    return ", ".join(kept) or "object"


def is_given(cls: type, name: str) -> bool:
    """Whether a special method is object's own."""
    return getattr(cls, name) is getattr(object, name)


def values(path: str, cls: type) -> Facts:
    hashed = (
        "none" if cls.__hash__ is None else "by identity" if is_given(cls, "__hash__") else "own"
    )
    yield f"{path}:hash", hashed
    yield f"{path}:eq", "by identity" if is_given(cls, "__eq__") else "own"
    yield f"{path}:repr", "that of object" if is_given(cls, "__repr__") else "own"


def shown_fields(cls: Any) -> list[dataclasses.Field[Any]]:
    found = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return [one for one in found if not one.name.startswith("_")]


def fields(path: str, cls: Any) -> Facts:
    params = cls.__dataclass_params__
    yield f"{path}:dataclass", f"frozen={params.frozen} order={params.order}"
    yield f"{path}:fields", ", ".join(one.name for one in shown_fields(cls) if not one.kw_only)
    for one in shown_fields(cls):
        kind = "keyword" if one.kw_only else "positional"
        factory = one.default_factory
        made = "" if factory is dataclasses.MISSING else f"{factory.__name__}()"
        default = shown(one.default) or made
        yield f"{path}.{one.name}", f"field, {kind}{default and f' = {default}'}"
        # What people's doubles and `spec=` look at.
        yield f"{path}.{one.name}:on class", str(hasattr(cls, one.name))


def attributes(path: str, cls: type) -> Facts:
    """What an exception has when it is raised with a text alone."""
    required = {
        name: "x"
        for name, one in inspect.signature(cls).parameters.items()
        if one.kind.name == "KEYWORD_ONLY" and one.default is one.empty
    }
    raised = cls("text", **required) if takes_text(cls) else cls()
    for name in sorted(name for name in dir(raised) if not name.startswith("_")):
        if not hasattr(BaseException, name):
            yield f"{path}.{name}:raised", shown(getattr(raised, name))
    yield f"{path}:str", str(raised)


def takes_text(cls: type) -> bool:
    return bool(inspect.signature(cls).parameters)


def members(path: str, cls: type) -> Facts:
    for name in member_names(cls):
        kind = kind_of(cls, name)
        yield f"{path}.{name}", kind
        if "method" in kind and not name.startswith("__"):
            yield from parameters(f"{path}.{name}", getattr(cls, name))


def described(path: str, cls: type) -> Facts:
    yield path, "exception" if issubclass(cls, BaseException) else "class"
    yield f"{path}:bases", public_bases(cls)
    if issubclass(cls, enum.Enum):
        yield f"{path}:members", ", ".join(f"{one.name}={one.value!r}" for one in cls)
    elif getattr(cls, "_is_protocol", False):
        yield f"{path}:protocol", "True"
    else:
        yield from parameters(path, cls)
        yield from values(path, cls)
    if dataclasses.is_dataclass(cls):
        yield from fields(path, cls)
    if issubclass(cls, BaseException):
        yield from attributes(path, cls)
    yield from members(path, cls)


# ---- values ----

SAMPLES = """
AuthHeaders({"x": "1"}, "mine")
AuthStrategy.WANDB
CidrBlock(cidr="10.0.0.0/8", except_cidrs=["10.1.0.0/16"])
Container(image="i")
Container(image="i", name="n", command="c", args=["a"], environment_variables={"A": "b"}, primary=True)
ContainerStatus(name="n", state=SandboxStatus.FAILED, exit_code=3, restart_count=1)
DataPlaneMode.AUTO
EgressRule(any=True)
EgressRule(cidr="10.0.0.0/8", ports=[80])
EgressRule(dns_name="*.example.com")
EgressRule(selector={"pod_labels": {"a": "b"}})
EgressRule(tenant="same_org")
Endpoint(kind="https", auth="open")
Endpoint(kind=EndpointKind.TLS_PASSTHROUGH)
EndpointShareToken("secret")
FieldViolation("f", "d")
FileSystemSnapshotOptions(mount_path="/data")
HttpsEndpointStatus(port=1, name="n", kind=EndpointKind.HTTPS, auth=EndpointAuth.OPEN, url="u", \
request_timeout_seconds=5)
ImagePullCredentials(store="s", name="n", registry="r")
IngressRule(any=True)
NetworkOptions()
NetworkOptions(deny_egress=True, egress=[], ingress=[IngressRule(any=True)])
ObjectStorageAccess(buckets=["b"])
PortRange(port=80, end_port=90, protocol="tcp")
ProcessResult("o", "e", 3)
ProcessResult("o", "e", 3, b"o", b"e", ["c"])
RegisteredVolumeOptions(name="n", volume_id="v", mount_path="/m")
ResourceOptions(requests={"cpu": "1"})
RunnerResources(available_cpu_millicores=1, available_memory_bytes=2, available_gpu_count=3, running_sandboxes=4)
SandboxDefaults()
SandboxDefaults(tags=("a",), resources={"cpu": "1", "memory": "1Gi"}, auth=AuthStrategy.WANDB)
SandboxStatus.from_proto(2)
ScratchVolumeOptions(name="n", mount_path="/m", size="1Gi")
Secret(store="s", name="n")
Secret(store="s", name="n", field="f", env_var="E")
SecurityContext(run_as_user=0, capabilities_drop=["ALL"])
SelectorBlock(pod_labels={"a": "b"})
Service(port=80)
Service(port=80, name="n", protocol="udp", visibility="public", endpoint=Endpoint(kind="https", auth="open"))
TerminalResult(1, ["c"])
TlsPassthroughEndpointStatus(port=1, name="n", kind=EndpointKind.TLS_PASSTHROUGH, address="a:1")
VolumeMount(volume="v", mount_path="/m", sub_path="s", read_only=True)
WandbAuth(entity="e")
format_bytes(123456789)
format_cpu(1250)
AuthHeaders()
CidrBlock(cidr="")
CidrBlock(cidr="10.0.0.0/33")
CidrBlock(cidr="10.0.0.1/8")
CidrBlock(cidr="fd00::/8")
Container(image="")
EgressRule()
EgressRule(any=True, cidr="10.0.0.0/8")
Endpoint(kind="http")
EndpointShareToken("")
ImagePullCredentials(store="", name="n", registry="r")
NetworkOptions(egress="x")
ObjectStorageAccess(buckets=[])
PortRange(port=0)
PortRange(port=90, end_port=80)
Secret(store="", name="n")
Secret(store="s", name="")
SecurityContext(run_as_user=-1)
Service(port=0)
Service(port=70000)
ScratchVolumeOptions(name="n", mount_path="m")
VolumeMount(volume="v", mount_path="/m", sub_path="../x")
WandbAuth(entity=" ")
WandbAuth(project="")
"""


def samples() -> Facts:
    """What values look like, whether they compare and hash, and which arguments are refused."""
    package = importlib.import_module(PACKAGE)
    names = {name: getattr(package, name) for name in package.__all__}
    for expression in SAMPLES.replace("\\\n", "").strip().splitlines():
        try:
            value, again = eval(expression, names), eval(expression, names)
        except Exception as error:
            yield f"= {expression}", f"raises {type(error).__name__}"
            continue
        yield f"= {expression}", repr(value)
        try:
            hashed = str(hash(value) == hash(again))
        except TypeError:
            hashed = "none"
        yield f"= {expression}:compared", f"equal={value == again} same hash={hashed}"


# ---- the command line ----


def options(path: str, command: Any) -> Facts:
    """Its options and arguments. What they are called inside, and the help texts, are not told."""
    for one in command.params:
        is_option = one.param_type_name == "option"
        names = (
            ", ".join(sorted([*one.opts, *one.secondary_opts])) if is_option else one.name.upper()
        )
        choices = [str(choice) for choice in getattr(one.type, "choices", ())]
        is_flag = getattr(one, "is_flag", False)
        # A flag without a default is off. Releases of click have different words for no default.
        default = (one.default is True) if is_flag else one.default
        facts = [one.type.name, *choices, f"nargs={one.nargs}", f"multiple={one.multiple}"]
        facts += ["required"] if one.required else []
        facts += [f"default={default}"] if isinstance(default, (str, int, float)) else []
        facts += [f"envvar={one.envvar}"] if one.envvar else []
        yield f"{path} {names}", " ".join(facts)


def commands(path: str, command: Any) -> Facts:
    inner = getattr(command, "commands", {})
    yield path, "group" if inner else "command"
    yield from options(path, command)
    for name, one in sorted(inner.items()):
        yield from commands(f"{path} {name}", one)


def command_line() -> Facts:
    """`$ cwsandbox ls --status, -s` is an option of a command."""
    return commands(f"$ {PACKAGE}", importlib.import_module(f"{PACKAGE}.cli").cli)


# ---- the whole ----


def public(module: Any) -> list[str]:
    """What it exports; all classes of the package for a module that does not say."""
    names = getattr(module, "__all__", None) or [
        name
        for name in dir(module)
        if inspect.isclass(getattr(module, name)) and is_ours(getattr(module, name))
    ]
    return sorted(name for name in names if not name.startswith("_"))


def everything() -> Facts:
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        before = "" if module_name == PACKAGE else f"{module_name.removeprefix(PACKAGE + '.')}/"
        for name in public(module):
            value = getattr(module, name)
            path = f"{before}{name}"
            if before and name in importlib.import_module(PACKAGE).__all__:
                yield (
                    path,
                    "as in the package"
                    if value is vars(importlib.import_module(PACKAGE))[name]
                    else "another",
                )
            elif inspect.isclass(value):
                yield from described(path, value)
            elif inspect.isroutine(value):
                yield path, "function"
                yield from parameters(path, value)
            else:
                yield (
                    path,
                    "union" if typing.get_args(value) else f"constant, {type(value).__name__}",
                )


if __name__ == "__main__":
    print(json.dumps({**dict(everything()), **dict(samples()), **dict(command_line())}))
