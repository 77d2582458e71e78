"""Decides which addresses are public: only such are called unless a setting allows others."""

from ipaddress import IPv6Address, ip_address


def is_public(address: str) -> bool:
    """Whether an IP address is public. Raises ValueError if it is no IP address."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return found.is_global and not found.is_multicast


def is_private_host(host: str) -> bool:
    """Whether a URL's host is a non-public address. A name is not, except those of this machine:
    it is checked when it is resolved."""
    try:
        return not is_public(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
