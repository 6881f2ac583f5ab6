"""Sends signed pushes to the receivers in examples/ and looks at what they make of them.

    drive.py SIGN_PUSHES RUST_RECEIVER JAVA_OR_- GO_OR_- PHP_OR_-

Each receiver must take what was signed, once, and refuse what was tampered with, is stale, or was signed by
somebody else. The clock of this machine counts, since receivers have no other.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

START_SECONDS_MAX = 120
PUSHES = 40
# Signed this long ago, in milliseconds; receivers take 300 seconds.
STALE_MS = 400_000
HEX = {"new": "02" * 32, "old": "01" * 32}


def signed(sign_pushes, count, seed, age_ms, lasting):
    at = str(time.time_ns() // 1_000_000 - age_ms)
    command = [sign_pushes, str(count), str(seed), at, str(lasting)]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\n")
    return [json.loads(line) for line in lines if line]


def post(port, body, headers):
    """The status of one push. Headers are pairs, since some are sent twice."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", "/push")
    for name, value in headers:
        connection.putheader(name, value)
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(len(body)))
    connection.endheaders(body)
    status = connection.getresponse().status
    connection.close()
    return status


class Receiver:
    """A receiver with some of the keys, as a process of its own."""

    def __init__(self, command, keys, dir):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        text = " ".join(f"{key}={HEX[key]}" for key in keys)
        environment = os.environ | {"PORT": str(self.port), "PUSH_KEYS": text, "PUSH_SEEN": dir}
        command = [part.replace("PORT", str(self.port)) for part in command]
        self.log = open(os.path.join(dir, "log"), "w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log)
        for _ in range(START_SECONDS_MAX * 10):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, self.said()
                time.sleep(0.1)
        raise AssertionError(f"{command} did not start: {self.said()}")

    def said(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8", errors="replace") as log:
            return log.read()

    def expect(self, status, what, push, body=None, headers=None):
        body = push["body"].encode() if body is None else body
        headers = list(push["headers"].items()) if headers is None else headers
        answered = post(self.port, body, headers)
        assert answered == status, f"{what}: {answered}, not {status}\n{push}\n{self.said()[-2_000:]}"

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def changed(push, name, value):
    headers = push["headers"] | {name: value}
    return [pair for pair in headers.items() if pair[1] is not None]


def drive(receiver, pushes, sees_repeats):
    """What a receiver with both keys makes of good and bad pushes. Returns how many it was sent."""
    for push in pushes["two keys"] + pushes["one key"]:
        receiver.expect(204, "signed", push)
        receiver.expect(204, "signed, again", push)
        receiver.expect(401, "longer", push, body=push["body"].encode() + b" ")
        body = push["body"].encode()
        for place in (0, len(body) // 2, len(body) - 1):
            other = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
            receiver.expect(401, f"byte {place} changed", push, body=other)
    for push in pushes["stale"] + pushes["early"]:
        receiver.expect(401, "from another time", push)
    push = pushes["two keys"][1]
    for name, value in push["headers"].items():
        # The id of a key stays, since that of an unknown one says nothing.
        key = "new/" if name == "x-lf-signature" else ""
        other = key + value[len(key) :][::-1]
        receiver.expect(401, f"without {name}", push, headers=changed(push, name, None))
        receiver.expect(401, f"{name} changed", push, headers=changed(push, name, other))
        twice = list(push["headers"].items()) + [(name, other)]
        if sees_repeats:
            receiver.expect(401, f"{name} twice", push, headers=twice)
    zeros = changed(push, "x-lf-signature", "new/" + "0" * 40)
    receiver.expect(401, "the vendor's signature alone is wrong", push, headers=zeros)
    ours = push["headers"]["webhook-signature"]
    for bad in ("v1,", "v1," + "A" * 43 + "=", ours.replace("v1,", "v2,"), "x"):
        receiver.expect(401, "Standard Webhooks' alone is wrong", push, headers=changed(push, "webhook-signature", bad))
    receiver.expect(413, "too long", push, body=b" " * 20_000)
    for good in (ours + " v1a,AAAA", "v0,x " + ours):
        receiver.expect(204, "signatures of other versions", push, headers=changed(push, "webhook-signature", good))
    for stranger in pushes["strangers"]:
        receiver.expect(401, "signed by somebody else", stranger)


def drive_rotation(receiver, pushes):
    """A receiver that has the older key only goes on while the newer one takes its place."""
    for push in pushes["two keys"] + pushes["one key"]:
        receiver.expect(204, "the older key", push)
        receiver.expect(401, "the older key, longer", push, body=push["body"].encode() + b" ")


def main():
    sign_pushes, rust, java, go, php = sys.argv[1:]
    receivers = {
        "rust": [rust],
        "python": [sys.executable, "examples/receiver.py"],
        "node": ["node", "examples/receiver.mjs"],
        "java": None if java == "-" else [java, "examples/Receiver.java"],
        "go": None if go == "-" else [go, "run", "examples/receiver.go"],
        "php": None if php == "-" else [php, "-S", "127.0.0.1:PORT", "examples/receiver.php"],
    }
    for language, command in receivers.items():
        if command is None:
            print(f"SKIPPED: the receiver in {language}, which is not on this machine")
            continue
        pushes = {
            "two keys": signed(sign_pushes, PUSHES, 1, 0, 2),
            "one key": signed(sign_pushes, PUSHES, 2, 0, 1),
            "stale": signed(sign_pushes, 2, 3, STALE_MS, 2),
            "early": signed(sign_pushes, 2, 4, -STALE_MS, 2),
            "strangers": signed(sign_pushes, 2, 5, 0, 0),
        }
        for keys in (["new", "old"], ["old"]):
            with tempfile.TemporaryDirectory() as dir:
                receiver = Receiver(command, keys, dir)
                try:
                    if keys == ["old"]:
                        drive_rotation(receiver, pushes)
                    else:
                        # PHP keeps one of two headers of a name.
                        drive(receiver, pushes, sees_repeats=language != "php")
                    said = receiver.said()
                    for push in pushes["two keys"] + pushes["one key"]:
                        times = said.count(push["headers"]["webhook-id"])
                        assert times == 1, f"{push} was handled {times} times\n{said}"
                finally:
                    receiver.stop()
        print(f"the receiver in {language}: as it should be")


main()
