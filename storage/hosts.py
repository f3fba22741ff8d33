"""Where other servers are."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine, by its form: nothing is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'
