"""A service's tasks. All that is said of their timelines is task_cls."""
import os

from celery import Celery

from runs import connect
from timeline import Task

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")

app = Celery("orders", broker=REDIS_URL, task_cls=Task)
app.conf.update(
    task_default_queue=os.environ.get("QUEUE", "orders"),
    # A dead worker's tasks come back after so long; longer than the longest attempt and countdown.
    broker_transport_options={"visibility_timeout": int(os.environ.get("VISIBILITY_SECONDS", "3600"))},
)


class BankError(Exception):
    pass


@app.task(name="charge_order", autoretry_for=(BankError,), max_retries=1, default_retry_delay=0.05, bind=True)
def charge_order(self, order, fails=0):
    """Stands in for what a service really does: the first calls fail, as many as fails says."""
    key = self.request.run.idempotency_key
    if connect(REDIS_URL).incr(f"bank:{key}") <= fails:
        raise BankError(f"the bank answered 503 to order {order}")
    return {"order": order, "charged": key}
