"""``python -m scripts.deployment.engine.dynamodb_server PORT``: moto's DynamoDB on loopback, until standard input ends.

One request at a time: moto checks a condition first and writes afterwards.
"""

import os
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class _Handler(WSGIRequestHandler):
    # One connection per request: the server has one thread, which a kept connection would hold.
    protocol_version = "HTTP/1.0"
    # Header and body are two writes; without this the second waits 40 ms for the acknowledgement of the first.
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Stay silent."""


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve."""
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", int(sys.argv[1]), application, threaded=False, request_handler=_Handler)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
