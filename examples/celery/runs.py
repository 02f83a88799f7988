"""What Celery does not count, kept in its Redis: attempts whose worker died, and who cancels."""
import functools
import json
import time

import redis

KEPT = 30 * 24 * 3600  # seconds; longer than any task waits


@functools.cache
def connect(url):
    return redis.Redis.from_url(url, decode_responses=True)


class Run:
    """One run of a task, which is one message of Celery's."""

    def __init__(self, app, message_id, about):
        self.task_id, self.number = about.get("task_id", message_id), about.get("run", 1)
        self.idempotency_key = about.get("idempotency_key", f"default/{self.task_id}")
        self._url, self._key = app.conf.broker_url, f"timeline:{message_id}"

    def begin(self):
        """The number of the attempt that begins, how many workers died on the run, whether one just did, and who cancels.

        That an attempt runs stands in Redis while it does: what stands there when the next one begins has died.
        """
        attempt, died, _, _, self._began, deaths, cancel = self._at_once(
            lambda p, key: p.hincrby(key, "attempts", 1).hget(key, "running").hset(key, "running", 1)
            .hsetnx(key, "began", time.time()).hget(key, "began").hget(key, "deaths").hget(key, "cancel"))
        deaths = int(deaths or 0)
        if died:
            deaths, = self._at_once(lambda p, key: p.hincrby(key, "deaths", 1))
        return attempt, deaths, bool(died), _who(cancel)

    def took(self):
        """How long the run has taken so far, in milliseconds, from the beginning of its first attempt."""
        return max(time.time() - float(self._began), 0) * 1000

    def end(self, over):
        """The attempt has ended, and with over the run; returns who cancels."""
        _, _, cancel = self._at_once(lambda p, key: p.hdel(key, "running").hset(key, "over", int(over)).hget(key, "cancel"))
        return _who(cancel)

    def cancel(self, actor, reason):
        """Says who cancels; returns the attempts so far, whether one runs, and whether the run is over."""
        by = json.dumps({"actor": actor, "reason": reason})
        _, attempts, running, over = self._at_once(
            lambda p, key: p.hset(key, "cancel", by).hget(key, "attempts").hget(key, "running").hget(key, "over"))
        return int(attempts or 0), bool(running), over == "1"

    def _at_once(self, commands):
        """In one transaction, so that a cancel and what it is to stop see each other."""
        pipe = connect(self._url).pipeline()
        commands(pipe, self._key)
        return pipe.expire(self._key, KEPT).execute()[:-1]


def _who(cancel):
    return json.loads(cancel) if cancel else None
