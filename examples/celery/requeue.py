"""The way back: Tasktrail posts retries and cancels here, signed after Standard Webhooks.

    REQUEUE_SECRET=whsec_... python3 requeue.py tasks 8090

serves them for the Celery app of the module tasks. A retry is published as the task's
next run; a cancel keeps a task that waits from its start, or stops it where it runs.
"""
import base64
import hashlib
import hmac
import importlib
import json
import os
import sys
import time
from http import HTTPStatus
from wsgiref.simple_server import make_server

from runs import Run, connect
from timeline import Record


def authentic(secret, environ, body):
    post, at, signatures = (environ.get(f"HTTP_WEBHOOK_{name}", "") for name in ("ID", "TIMESTAMP", "SIGNATURE"))
    if not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{post}.{at}.".encode() + body, hashlib.sha256).digest()
    want = b"v1," + base64.b64encode(digest)
    return any(hmac.compare_digest(want, s.encode()) for s in signatures.split())


def message_id(data):
    return data["task_id"] if data["run"] == 1 else f'{data["task_id"]}:r{data["run"]}'


def retry(app, data):
    if not data.get("input"):
        return 422  # it was cut, or never sent, and Celery does not keep it
    # A post may come twice, and Celery would take the task twice: the first one has it.
    taken = f"timeline:{message_id(data)}:published"
    if not connect(app.conf.broker_url).set(taken, 1, nx=True, ex=24 * 3600):
        return 409
    about = {k: data[k] for k in ("task_id", "run", "idempotency_key", "max_attempts", "user_id", "amount", "currency") if data.get(k)}
    try:
        app.send_task(data["type"], data["input"]["args"], data["input"]["kwargs"], task_id=message_id(data),
                      queue=data["queue"], headers={"timeline": about})
    except Exception:
        connect(app.conf.broker_url).delete(taken)
        raise  # 500: Tasktrail posts it again
    return 202


def cancel(app, data):
    run = Run(app, message_id(data), data)
    attempts, running, over = run.cancel(data["actor"], data["comment"])
    if over:
        return 409
    # Celery's own word for "a soft time limit is over": the task sees an exception, and ends as it wants.
    app.control.revoke(message_id(data), terminate=running, signal="SIGUSR1")
    if not running:
        Record(run, data["type"], data["queue"], None, {}).cancelled(attempts, "not_running", {"actor": data["actor"], "reason": data["comment"]})
    return 202


def application(app, secret):
    """A WSGI application, to be mounted in the service's own or served alone."""
    def serve(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if not authentic(secret, environ, body):
            status = 401
        else:
            post = json.loads(body)
            does = {"task.retry": retry, "task.cancel": cancel}.get(post["type"], lambda *_: 422)
            status = does(app, post["data"])
        start_response(f"{status} {HTTPStatus(status).phrase}", [("Content-Length", "0")])
        return []
    return serve


if __name__ == "__main__":
    tasks = importlib.import_module(sys.argv[1])
    make_server("127.0.0.1", int(sys.argv[2]), application(tasks.app, os.environ["REQUEUE_SECRET"])).serve_forever()
