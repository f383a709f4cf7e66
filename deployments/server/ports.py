"""Whether a server can listen at an address."""

import socket

from data_contracts.errors import ConfigError


def check_port(host: str, port: int) -> None:
    """Raise ConfigError when nothing can listen there."""
    if not 0 < port < 1 << 16:
        raise ConfigError(f"cannot listen on {host}:{port}: --port is a number from 1 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with --port, "
            f"or end the process that has it"
        ) from error
