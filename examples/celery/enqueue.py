"""python3 enqueue.py ID '{"order":4711,"fails":1}'   puts one task into the queue

The last argument is the task's keywords. TYPE, DELAY_MS, AMOUNT, CURRENCY, USER_ID
and ATTEMPTS say more about it."""
import json
import os
import sys

import telemetry
from tasks import app

task_id, kwargs = sys.argv[1], json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}")
env = os.environ.get
about = {"user_id": env("USER_ID"), "amount": env("AMOUNT"), "currency": env("CURRENCY"), "max_attempts": env("ATTEMPTS") and int(env("ATTEMPTS"))}
app.send_task(env("TYPE", "charge_order"), kwargs=kwargs, task_id=task_id, countdown=int(env("DELAY_MS", "0")) / 1000 or None,
              headers={"timeline": {k: v for k, v in about.items() if v}})
if not telemetry.flush():
    sys.exit("the collector is away: the task is in the queue, and not on record yet")
