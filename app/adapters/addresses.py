"""Which addresses belong to the public internet. Everything else is somebody's inside, perhaps ours."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The special registries of IANA in full: what `is_global` knows of them differs between versions of Python.
_NOT_PUBLIC_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public number that is the host's own service inside a large cloud
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # mapped, compatible, private, link-local: none of them is in it
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",
    )
)
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")  # NAT64: how a network without IPv4 reaches the IPv4 internet
_ISATAP: Final = frozenset((0x00005EFE, 0x02005EFE))  # bits 64 to 96 of an IPv4 address in disguise


def parse_networks(networks: Sequence[str]) -> tuple[Network, ...]:
    """`10.1.0.0/16` and the like.

    Raises:
        ValueError: not a network.
    """
    return tuple(ip_network(network) for network in networks)


def is_public(address: Address) -> bool:
    """Whether `address` is one that the whole internet reaches."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_V4)
    if address in _TRANSLATED:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    is_special = any(address in network for network in _NOT_PUBLIC_V6) or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    return address in _GLOBAL_UNICAST and address.is_global and not is_special


def is_acceptable(address: str, allowed: Sequence[Network]) -> bool:
    """Whether a connection to `address` may be made: it is public, or in one of the `allowed` networks."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return is_public(parsed) or any(parsed.version == network.version and parsed in network for network in allowed)
