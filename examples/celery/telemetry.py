"""OTLP log records by the standard library alone, as JSON over HTTP.

Where they go is the standard environment's: OTEL_EXPORTER_OTLP_ENDPOINT (such as
http://127.0.0.1:4318), OTEL_EXPORTER_OTLP_HEADERS (Authorization=Bearer%20...) and
OTEL_SERVICE_NAME. A record is sent at once, with whatever else waits; while the
collector is away they wait here, MOST at most, and what does not fit is counted and said.
"""
import atexit
import json
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import unquote

MOST = 10_000

_url = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318").rstrip("/") + "/v1/logs"
_headers = {"Content-Type": "application/json"}
for _pair in filter(None, os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",")):
    _name, _, _value = _pair.partition("=")
    _headers[_name.strip()] = unquote(_value.strip())
_log = logging.getLogger(__name__)


def emit(name, attributes, at=None):
    """Puts one record on its way; at is in nanoseconds since 1970, now where missing."""
    with _changed:
        if _state.thread is None:  # in each process anew: a fork takes no threads along
            _state.thread = threading.Thread(target=_send, name="telemetry", daemon=True)
            _state.thread.start()
        if len(_state.waiting) >= MOST:
            _state.dropped += 1
            return
        _state.waiting.append({
            "eventName": name, "timeUnixNano": str(at or now()),
            "attributes": [{"key": k, "value": _value_of(v)} for k, v in attributes.items() if v is not None]})
        _changed.notify_all()


def flush(timeout=10.0):
    """Waits until everything is sent; False where timeout (seconds) was not enough."""
    with _changed:
        return _changed.wait_for(lambda: not _state.waiting, timeout)


def now(events=1):
    """Nanoseconds since 1970, strictly rising within a process, so that its events keep their order.

    The nanoseconds of so many events are the caller's, the one that is returned first.
    """
    with _clock:
        first = max(time.time_ns(), _state.last + 1)
        _state.last = first + events - 1
        return first


class _State:
    def __init__(self):
        self.thread, self.waiting, self.dropped, self.last = None, [], 0, 0


def _reset():
    global _state, _changed, _clock
    _state, _changed, _clock = _State(), threading.Condition(), threading.Lock()


_reset()
os.register_at_fork(after_in_child=_reset)
atexit.register(flush)


def _value_of(v):
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    if isinstance(v, float):
        return {"doubleValue": v}
    return {"stringValue": str(v)}


def _send():
    wait = 0.1
    while True:
        with _changed:
            _changed.wait_for(lambda: _state.waiting)
            batch, dropped = _state.waiting[:500], _state.dropped
            _state.dropped = 0
        if dropped:
            _log.error("%d records were dropped: the collector at %s is away", dropped, _url)
        service = os.environ.get("OTEL_SERVICE_NAME", "celery")
        body = {"resourceLogs": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
            "scopeLogs": [{"logRecords": batch}]}]}
        try:
            request = urllib.request.Request(_url, json.dumps(body).encode(), _headers)
            urllib.request.urlopen(request, timeout=10).close()
            wait = 0.1
        except urllib.error.HTTPError as err:
            if err.code == 429 or err.code >= 500:
                time.sleep(wait := min(2 * wait, 5))
                continue
            _log.error("%d records were refused: %s %s", len(batch), err, err.read(500))
        except OSError as err:  # no answer: the same batch again
            _log.warning("telemetry waits: %s", err)
            time.sleep(wait := min(2 * wait, 5))
            continue
        with _changed:
            del _state.waiting[:len(batch)]
            _changed.notify_all()
