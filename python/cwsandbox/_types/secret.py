"""Credentials a sandbox is given: secrets, image registries, object storage."""

from __future__ import annotations

# What makes a dataclass looks into typing if that is there, also while another thread still loads it.
import typing  # noqa: F401
from collections.abc import Sequence
from dataclasses import dataclass

from cwsandbox._types import check
from cwsandbox._types.coerce import instances
from cwsandbox._types.enums import ObjectStoragePermission


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A secret of a store, put into an environment variable.

    - ``store``: the name of the store.
    - ``name``: the name of the secret there.
    - ``field``: which part of the secret, where it has several.
    - ``env_var``: the variable. Default: the secret's name.
    """

    store: str
    name: str
    field: str = ""
    env_var: str | None = None

    def __post_init__(self) -> None:
        check.text(self.store, "Secret.store")
        check.text(self.name, "Secret.name")
        if not isinstance(self.field, str):
            raise TypeError(f"Secret.field must be a str, got {check.shown(self.field)}")
        if self.env_var is None:
            object.__setattr__(self, "env_var", self.name)
        check.text(self.env_var, "Secret.env_var")


@dataclass(frozen=True, kw_only=True)
class ImagePullCredentials:
    """A secret with user name and password for a private image registry.

    - ``registry``: the registry's host name.
    - ``store``: the name of the store.
    - ``name``: the name of the secret there.
    - ``field``: which part of the secret, where it has several.
    """

    registry: str
    store: str
    name: str
    field: str = ""

    def __post_init__(self) -> None:
        check.text(self.registry, "ImagePullCredentials.registry")
        check.text(self.store, "ImagePullCredentials.store")
        check.text(self.name, "ImagePullCredentials.name")
        if not isinstance(self.field, str):
            raise TypeError(
                f"ImagePullCredentials.field must be a str, got {check.shown(self.field)}"
            )


@dataclass(frozen=True, kw_only=True)
class ObjectStorageAccess:
    """Temporary credentials for buckets, given to all containers of a sandbox.

    - ``buckets``: names of buckets, at least one.
    - ``permission``: "read" or "read_write". Default: the service's.
    - ``object_prefix``: narrows them to keys that start with it.
    """

    buckets: Sequence[str] = ()
    permission: ObjectStoragePermission | str | None = None
    object_prefix: str | None = None

    def __post_init__(self) -> None:
        buckets = check.strings(self.buckets, "ObjectStorageAccess.buckets")
        if not buckets or "" in buckets:
            raise ValueError(
                f"ObjectStorageAccess.buckets must be non-empty names, at least one: {check.shown(buckets)}"
            )
        object.__setattr__(self, "buckets", buckets)
        if self.permission is not None:
            what = "ObjectStorageAccess.permission"
            permission = check.choice(self.permission, ObjectStoragePermission, what)
            object.__setattr__(self, "permission", permission)
        prefix = check.optional_text(self.object_prefix, "ObjectStorageAccess.object_prefix")
        object.__setattr__(self, "object_prefix", prefix)


def secrets(values: object, what: str) -> tuple[Secret, ...]:
    """The items of a sequence of secrets, each a ``Secret`` or a dict of its fields."""
    return instances(values, Secret, what)


def merge(first: Sequence[Secret], second: Sequence[Secret]) -> tuple[Secret, ...]:
    """Both lists in order, equal secrets once. ``ValueError`` when two differ but share a variable."""
    by_variable: dict[str | None, Secret] = {}
    for secret in (*first, *second):
        known = by_variable.setdefault(secret.env_var, secret)
        if known != secret:
            raise ValueError(
                f"Conflicting secrets for env_var {secret.env_var!r}: {known} and {secret}"
            )
    return tuple(by_variable.values())
