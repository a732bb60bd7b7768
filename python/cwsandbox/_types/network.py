"""What may connect to a sandbox, and where it may connect."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cwsandbox._types import check
from cwsandbox._types.coerce import instance
from cwsandbox._types.enums import TenantScope

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_DNS_NAME_MAX = 253
_HTTPS_PORT = 443


@dataclass(frozen=True, kw_only=True)
class CidrBlock:
    """A range of addresses.

    - ``cidr``: in CIDR notation, such as "10.0.0.0/8".
    - ``except_cidrs``: ranges that are taken out of it.

    What is no range of addresses is a ``ValueError`` here; which ranges are allowed is for the service to say.
    """

    cidr: str
    except_cidrs: Sequence[str] = ()

    def __post_init__(self) -> None:
        _check_range(check.text(self.cidr, "CidrBlock.cidr"), "CidrBlock.cidr")
        exceptions = check.strings(self.except_cidrs, "CidrBlock.except_cidrs")
        for one in exceptions:
            _check_range(one, "CidrBlock.except_cidrs")
        object.__setattr__(self, "except_cidrs", exceptions)


@dataclass(frozen=True, kw_only=True)
class PortRange:
    """One port, or several in a row.

    - ``port``: the first, 1 to 65535.
    - ``end_port``: the last. Default: only ``port``.
    - ``protocol``: "TCP" (the default), "UDP" or "SCTP".
    """

    port: int
    end_port: int | None = None
    protocol: str | None = None

    def __post_init__(self) -> None:
        _check_port(self.port, "PortRange.port")
        if self.end_port is not None:
            _check_port(self.end_port, "PortRange.end_port")
            if self.end_port < self.port:
                raise ValueError(
                    f"PortRange.end_port {self.end_port} must not be below port {self.port}"
                )
        protocol = check.optional_text(self.protocol, "PortRange.protocol")
        object.__setattr__(self, "protocol", protocol.upper() if protocol else None)


@dataclass(frozen=True, kw_only=True)
class SelectorBlock:
    """Workloads of the cluster, chosen by their labels.

    - ``pod_labels``: labels that a pod must have, at least one.
    - ``namespace_labels``: labels that its namespace must have. Default: the service's rule.
    """

    pod_labels: Mapping[str, str]
    namespace_labels: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        labels = check.string_map(self.pod_labels, "SelectorBlock.pod_labels")
        if not labels:
            raise ValueError("SelectorBlock.pod_labels must have at least one label")
        object.__setattr__(self, "pod_labels", labels)
        if self.namespace_labels is not None:
            namespaces = check.string_map(self.namespace_labels, "SelectorBlock.namespace_labels")
            object.__setattr__(self, "namespace_labels", namespaces or None)


@dataclass(frozen=True, kw_only=True)
class EgressRule:
    """One allowed destination: exactly one of ``dns_name``, ``cidr``, ``tenant``, ``any=True``, ``selector``.

    - ``dns_name``: a host name, or one with a leading ``*.`` label; allows HTTPS (TCP 443) only.
    - ``cidr``: ``CidrBlock``, a dict, or a str in CIDR notation.
    - ``tenant``: sandboxes by their relation to this one, a ``TenantScope``.
    - ``any``: every destination.
    - ``selector``: ``SelectorBlock`` or a dict.
    - ``ports``: narrows all forms but ``dns_name``: ``PortRange``, dicts or port numbers. Default: every port.
    - ``dns_name_except``: only in rules that the service tells of.
    """

    dns_name: str | None = None
    cidr: CidrBlock | Mapping[str, Any] | str | None = None
    tenant: TenantScope | str | None = None
    any: bool = False
    selector: SelectorBlock | Mapping[str, Any] | None = None
    ports: Sequence[PortRange | Mapping[str, Any] | int] | None = None
    dns_name_except: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.dns_name_except:
            raise ValueError("EgressRule.dns_name_except is only for the service's own policies")
        forms = (self.dns_name, self.cidr, self.tenant, self.any or None, self.selector)
        _check_one_form("EgressRule", forms, "dns_name, cidr, tenant, any=True, selector")
        _coerce_common(self, "EgressRule")
        if self.selector is not None:
            selector = instance(self.selector, SelectorBlock, "EgressRule.selector")
            object.__setattr__(self, "selector", selector)
        if self.dns_name is not None:
            object.__setattr__(self, "dns_name", _dns_name(self.dns_name))
            _check_https_only(self.ports)


@dataclass(frozen=True, kw_only=True)
class IngressRule:
    """One allowed source: exactly one of ``cidr``, ``tenant``, ``any=True``.

    - ``cidr``: ``CidrBlock``, a dict, or a str in CIDR notation.
    - ``tenant``: sandboxes by their relation to this one, a ``TenantScope``.
    - ``any``: every source.
    - ``ports``: the ports that it may connect to, as for ``EgressRule``.
    """

    cidr: CidrBlock | Mapping[str, Any] | str | None = None
    tenant: TenantScope | str | None = None
    any: bool = False
    ports: Sequence[PortRange | Mapping[str, Any] | int] | None = None

    def __post_init__(self) -> None:
        _check_one_form(
            "IngressRule", (self.cidr, self.tenant, self.any or None), "cidr, tenant, any=True"
        )
        _coerce_common(self, "IngressRule")


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Network access of a sandbox.

    - ``deny_egress``: whether connections from it are refused. Default: the service's rule. True cannot stand beside
      ``egress``.
    - ``deny_ingress``: whether connections to it are refused. Default: the service's rule.
    - ``egress``: allowed destinations: ``EgressRule`` or dicts.
    - ``ingress``: allowed sources: ``IngressRule`` or dicts.
    """

    deny_egress: bool | None = None
    deny_ingress: bool | None = None
    egress: Sequence[EgressRule | Mapping[str, Any]] | None = None
    ingress: Sequence[IngressRule | Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        for name in ("deny_egress", "deny_ingress"):
            if getattr(self, name) is not None:
                check.boolean(getattr(self, name), f"NetworkOptions.{name}")
        for name, rule in (("egress", EgressRule), ("ingress", IngressRule)):
            if getattr(self, name) is not None:
                object.__setattr__(
                    self, name, _rules(getattr(self, name), rule, f"NetworkOptions.{name}")
                )
        if self.deny_egress and self.egress:
            raise ValueError("NetworkOptions.deny_egress=True cannot be combined with egress rules")


def _rules(values: Any, rule: type[EgressRule] | type[IngressRule], what: str) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes, Mapping)):
        raise TypeError(
            f"{what} must be a sequence of rules, not a string or one rule: {check.shown(values)}"
        )
    return tuple(instance(value, rule, what) for value in values)


def _check_range(value: str, what: str) -> None:
    from ipaddress import ip_network  # who has no rule for addresses does not load it

    try:
        ip_network(value, strict=False)
    except ValueError:
        raise ValueError(
            f"{what} must be a range of addresses such as '10.1.0.0/16', got {check.shown(value)}"
        ) from None


def _check_port(value: Any, what: str) -> None:
    check.integer(value, what)
    if not 1 <= value <= 65535:
        raise ValueError(f"{what} must be in 1-65535, got {value}")


def _check_one_form(kind: str, forms: Sequence[object], names: str) -> None:
    given = sum(form is not None for form in forms)
    if given != 1:
        raise ValueError(f"{kind} needs exactly one of {names}; {given} were given")


def _coerce_common(rule: EgressRule | IngressRule, kind: str) -> None:
    check.boolean(rule.any, f"{kind}.any")
    if rule.cidr is not None:
        object.__setattr__(rule, "cidr", _cidr(rule.cidr, f"{kind}.cidr"))
    if rule.tenant is not None:
        object.__setattr__(rule, "tenant", check.choice(rule.tenant, TenantScope, f"{kind}.tenant"))
    if rule.ports is not None:
        object.__setattr__(rule, "ports", _ports(rule.ports, f"{kind}.ports"))


def _cidr(value: CidrBlock | Mapping[str, Any] | str, what: str) -> CidrBlock:
    if isinstance(value, str):
        return CidrBlock(cidr=value)
    if isinstance(value, Mapping) and "except" in value:
        fields = dict(value)
        fields["except_cidrs"] = fields.pop("except")
        return instance(fields, CidrBlock, what)
    return instance(value, CidrBlock, what)


def _ports(values: Any, what: str) -> tuple[PortRange, ...]:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Sequence):
        raise TypeError(
            f"{what} must be a sequence of PortRange, dict or int, got {check.shown(values)}"
        )
    return tuple(
        PortRange(port=value) if isinstance(value, int) else instance(value, PortRange, what)
        for value in values
    )


def _dns_name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"EgressRule.dns_name must be a str, got {check.shown(value)}")
    name = value.strip().lower()
    if not name:
        raise ValueError("EgressRule.dns_name cannot be empty")
    if name == "*":
        raise ValueError(
            "EgressRule.dns_name '*' would allow all and belongs to the policy ceiling; name the hosts"
        )
    if len(name) > _DNS_NAME_MAX or not _DNS_NAME.fullmatch(name):
        raise ValueError(
            f"EgressRule.dns_name {check.shown(value)} must be a DNS-1123 name, at most one leading '*.' label"
        )
    return name


def _check_https_only(ports: Any) -> None:
    for port in ports or ():
        if (
            port.port != _HTTPS_PORT
            or port.end_port not in (None, _HTTPS_PORT)
            or port.protocol not in (None, "TCP")
        ):
            raise ValueError(f"EgressRule with dns_name allows TCP port 443 only, got {port}")
