"""A receiver of pushes in Python, with nothing but its standard library.

    PUSH_KEYS="k1=HEX k2=HEX" PORT=8099 python3 receiver.py
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_SECONDS = 300
BODY_BYTES_MAX = 19_999
KEYS = {
    key_id: bytes.fromhex(key)
    for key_id, key in (pair.split("=") for pair in os.environ["PUSH_KEYS"].split())
}
SEEN = set()  # A real receiver keeps the events in its database, under a unique index.


def verify(header, body):
    """Raises ValueError unless the raw body was signed by the mall, and not long ago."""
    if header("x-lf-notification-version") != "1.0" or header("x-lf-algo") != "HMAC-SHA1":
        raise ValueError("another version")

    # Standard Webhooks: one signature for each key that is live at the mall.
    signed = f"{header('webhook-id')}.{header('webhook-timestamp')}.".encode() + body
    good = [
        "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        for key in KEYS.values()
    ]
    given = header("webhook-signature").split(" ")
    # A list, so that all of them are compared.
    if not any([hmac.compare_digest(a.encode(), b.encode()) for a in given for b in good]):
        raise ValueError("webhook-signature is wrong")

    # The vendor's headers: the newest key only, which may not be known here yet.
    key_id, _, signature = header("x-lf-signature").partition("/")
    if key_id in KEYS:
        signed = body + f"1.0:HMAC-SHA1:{header('x-lf-timestamp')}".encode()
        good = hmac.new(KEYS[key_id], signed, hashlib.sha1).hexdigest()
        if not hmac.compare_digest(good.encode(), signature.encode()):
            raise ValueError("x-lf-signature is wrong")

    for seconds in (int(header("webhook-timestamp")), int(header("x-lf-timestamp")) / 1000):
        if abs(time.time() - seconds) > TOLERANCE_SECONDS:
            raise ValueError("signed too long ago, or in the future")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        if length > BODY_BYTES_MAX:
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            verify(self.header, body)
            event = json.loads(body)
            if event["event_id"] != self.header("webhook-id"):
                raise ValueError("another event's id")
        except ValueError as error:
            print("refused:", error, flush=True)
            return self.answer(401)
        if event["event_id"] not in SEEN:  # An event may come twice; it is handled once.
            SEEN.add(event["event_id"])
            print("event", event["event_type"], event["event_id"], flush=True)
        self.answer(204)

    def header(self, name):
        values = self.headers.get_all(name) or []
        if len(values) != 1:
            raise ValueError(f"{name} is not there once")
        return values[0]

    def answer(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver)
print("listening on port", server.server_port, file=sys.stderr, flush=True)
server.serve_forever()
