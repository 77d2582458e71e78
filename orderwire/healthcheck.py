"""Health of the roles in this container: `python -m orderwire.healthcheck receive`, for Docker's
HEALTHCHECK.

Stopped or lagging processors are reported by `/readyz` instead: restarting the container would not
help them.
"""

import http.client
import socket
import sys
import time
from collections.abc import Sequence

from orderwire.settings.program import ConfigurationError, ListenAddress, Settings

SILENT_MS = 30_000
"""Fifteen heartbeats missed."""
ANSWER_S = 3.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a listener on every address is asked on loopback


def listener_fault(address: ListenAddress) -> str | None:
    """What is wrong with the listener at `address`; None if `/healthz` answers 200."""
    host = _EVERYWHERE.get(address.host, address.host)
    connection = http.client.HTTPConnection(host, address.port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{host}:{address.port} does not answer ({type(error).__name__})"
    finally:
        connection.close()
    return None if status == http.client.OK else f"{host}:{address.port} answers {status}"


def beat_fault(store_url: str, role: str, host: str, now_ms: int) -> str | None:
    """What is wrong with the heartbeat of `role` on `host`; None if it is younger than
    SILENT_MS."""
    import sqlalchemy as sa

    from stream.store.sql.dialect import dialect_of

    # Not `SqlStore.open`: a check every 30 s must not look for migrations.
    engine = sa.create_engine(dialect_of(store_url).engine_url(store_url), poolclass=sa.NullPool)
    newest = (
        "SELECT max(beat_ms) FROM roles WHERE role = :role "
        "AND substr(instance, 1, length(:host) + 1) = :host || ':'"
    )
    try:
        with engine.connect() as connection:
            beat_ms = connection.execute(sa.text(newest), {"role": role, "host": host}).scalar_one()
    except sa.exc.DBAPIError as error:
        return f"the store cannot be asked ({type(error.orig).__name__})"
    if beat_ms is None:
        return "no heartbeat in the store"
    silent_ms = abs(now_ms - beat_ms)  # In the future where the clock went back.
    return None if silent_ms <= SILENT_MS else f"last heartbeat {silent_ms // 1000} s ago"


def fault(role: str, settings: Settings) -> str | None:
    """What is wrong with `role` here; None if it is healthy. Raises ConfigurationError for an
    unknown role.

    | role | healthy while |
    |---|---|
    | receive | its `/healthz` answers 200, also without broker and store |
    | query | its `/healthz` answers 200 |
    | process | its heartbeat in the store is fresh; the processors' loop writes it every 2 s |
    """
    match role:
        case "receive":
            return listener_fault(settings.receiver_address)
        case "query":
            return listener_fault(settings.api_address)
        case "process":
            return beat_fault(
                settings.store_url.get_secret_value(),
                role,
                socket.gethostname(),
                time.time_ns() // 1_000_000,
            )
    raise ConfigurationError(f"{role} is no role; choose from receive, process, query")


def main(roles: Sequence[str]) -> int:
    """0 if every role named is healthy; otherwise 1, and prints the reasons (Docker keeps the
    line)."""
    try:
        settings = Settings.load()
        faults = [f"{role}: {why}" for role in roles if (why := fault(role, settings)) is not None]
    except ConfigurationError as error:
        faults = [str(error)]
    print("; ".join(faults) or "healthy")  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
