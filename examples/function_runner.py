"""A runner of functions for Hearth, made of the standard library: python function_runner.py PORT SECRET."""

import base64
import hmac
import json
import sys
import threading
import time
import urllib.request
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(sys.argv[2].removeprefix("whsec_"))  # POST /projects/{id}/function-secret tells it


def is_genuine(headers: Message, body: bytes) -> bool:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
    is_fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return is_fresh and any(hmac.compare_digest(expected, given) for given in headers["webhook-signature"].split())


def say(callback: dict, method: str, path: str, content: bytes) -> None:
    headers = {"X-Callback-Token": callback["token"], "Content-Type": "application/json"}
    request = urllib.request.Request(f"{callback['url']}/{path}", content, headers, method=method)
    urllib.request.urlopen(request, timeout=30).close()


def shout(call: dict) -> None:
    text, callback = call["input"]["text"], call["callback"]
    say(callback, "POST", "progress", json.dumps({"progress": 0.5, "message": "taking a breath"}).encode())
    say(callback, "PUT", "files/shout.txt", text.upper().encode())
    say(callback, "POST", "complete", json.dumps({"result": {"characters": len(text)}}).encode())


class Runner(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_ours = is_genuine(self.headers, body)
        self.send_response(202 if is_ours else 401)
        self.end_headers()
        if is_ours:
            threading.Thread(target=shout, args=[json.loads(body)["data"]]).start()


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Runner).serve_forever()
