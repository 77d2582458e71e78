"""What a program that receives webhooks is given. It runs in the peers' environment as well, so it
imports nothing of orderwire."""

import argparse
import base64
import hmac
import socket
import sys
import threading
from collections.abc import Callable

from bench.receiving._cores import SERVER_CORE, pin
from bench.receiving._webhooks import SECRET


def arguments() -> argparse.Namespace:
    """Where records go."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--batch-bytes", type=int, default=16_384, help="aiokafka's own default")
    pin(SERVER_CORE)
    return parser.parse_args()


def is_signed(body: bytes, signature: str) -> bool:
    """Whether Shopify signed this body."""
    return hmac.compare_digest(
        base64.b64encode(hmac.digest(SECRET, body, "sha256")).decode(), signature
    )


def listening() -> socket.socket:
    """A free port on loopback, printed for whoever loads it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    return listener


def until_stopped(stop: Callable[[], object]) -> None:
    """Call `stop` once standard input ends."""

    def wait() -> None:
        sys.stdin.read()
        stop()

    threading.Thread(target=wait, daemon=True).start()
