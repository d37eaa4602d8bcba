"""What the Python programs have in common."""

import os
import ssl
import sys
import time

LARGE = bytes(i % 251 for i in range(900_000))


def show(what, result):
    """A line of what was seen. Large values are told by their length."""
    if isinstance(result, (bytes, str)) and len(result) > 100:
        result = f"{len(result)} bytes" + (" as written" if result == LARGE else "")
    print(f"{what}: {result!r}", flush=True)


def attempt(what, action):
    """A line of what came back, or of what went wrong, without what the library adds to it."""
    try:
        result = action()
    except Exception as error:  # every library has its own
        result = type(error).__name__
    show(what, result)


def told(what, action):
    """A line of what came back, or of what the server said against it."""
    try:
        result = action()
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    show(what, result)


def trusting():
    """What a TLS client has to believe: only the CA of the test, and only a certificate with the server's name."""
    return ssl.create_default_context(cafile=os.environ["CLIENT_CA"])


def restarted(action):
    """Has the test restart the server, and tries until it is served again."""
    print("restart", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if action():
                print("served again", flush=True)
                return
        except Exception:
            pass
        time.sleep(0.05)
    print("not served again", flush=True)


def credentials():
    return os.environ["CLIENT_USER"], os.environ["CLIENT_PASSWORD"]


def main(scenarios):
    name, host, port = sys.argv[1:4]
    scenarios[name](host, int(port))
