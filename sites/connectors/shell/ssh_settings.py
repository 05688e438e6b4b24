"""Reads the operator's settings for SSH. Nothing comes from ~/.ssh or from an agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncssh

from sites.connectors.config import BadConfig

if TYPE_CHECKING:
    from sites.connectors.config import Config


@dataclass(frozen=True)
class SshSettings:
    """One hop. host_key: pinned known_hosts lines. proxy_jump: the hop before it. sessions: commands at a time.

    connect_timeout, keepalive: seconds.
    """

    host: str
    user: str
    host_key: str = field(repr=False)
    port: int = 22
    proxy_jump: SshSettings | None = None
    sessions: int = 8
    connect_timeout: int = 15
    keepalive: int = 15

    @classmethod
    def from_config(cls, config: Config) -> SshSettings:
        """Read {"host", "port", "user", "host_key", "proxy_jump", "sessions", "connect_timeout", "keepalive"}.

        Raises `BadConfig`.
        """
        jump = config.part("proxy_jump")
        host, port = config.required("host"), config.number("port", 22, most=65535)
        settings = cls(
            host=host,
            port=port,
            user=config.required("user"),
            host_key=pinned(config.lines("host_key"), host, port),
            proxy_jump=cls.from_config(jump) if jump else None,
            sessions=config.number("sessions", 8, most=100),
            connect_timeout=config.number("connect_timeout", 15, most=600),
            keepalive=config.number("keepalive", 15, most=3600),
        )
        config.finish()
        return settings


def pinned(text: str, host: str, port: int) -> str:
    """Return known_hosts lines for one host. A public key without a host name is taken as the host's.

    Raises `BadConfig` if a line is malformed or no line is for the host.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    name = host if port == 22 else f"[{host}]:{port}"
    bare = ("ssh-", "ecdsa-", "sk-")
    known = "\n".join(f"{name} {line}" if line.startswith(bare) else line for line in lines)
    try:
        trusted, *_ = asyncssh.match_known_hosts(known.encode(), host, "", port)
    except ValueError as wrong:
        raise BadConfig(f"The pinned host key of {host} is not a line of a known_hosts file: {wrong}.") from wrong
    if not trusted:
        raise BadConfig(f"No host key of {name} is pinned: put its known_hosts line into `host_key` (see ssh-keyscan).")
    return known


def client_keys(secret: str) -> list[tuple[asyncssh.SSHKey, asyncssh.SSHCertificate | None]]:
    """Parse the private key, and the certificate that may follow it on a line of its own. Raises `BadConfig`."""
    key = "\n".join(line for line in secret.splitlines() if "-cert-v01@openssh.com " not in line)
    certificates = [line for line in secret.splitlines() if "-cert-v01@openssh.com " in line]
    try:
        private = asyncssh.import_private_key(key)
        certificate = asyncssh.import_certificate(certificates[0]) if certificates else None
    except (asyncssh.KeyImportError, ValueError) as wrong:
        if "assphrase" in str(wrong):
            raise BadConfig(
                "The site's private key has a passphrase: store a key without one, made for this service only."
            ) from wrong
        message = "The site's credential must be an OpenSSH private key, with or without its certificate."
        raise BadConfig(message) from wrong
    return [(private, certificate)]
