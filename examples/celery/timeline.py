"""A timeline of every task: Celery(..., task_cls=Task), and no task is changed.

One log record an event, by the names and attributes of docs/events.md. What a message
does not say of its task travels in a header, {"timeline": {"user_id": ..., "amount": ...,
"currency": ...}}; the message of a further run has its task_id, run and idempotency_key
there too.
"""
import json
import time
import traceback

import celery
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from celery.signals import before_task_publish, worker_process_shutdown

import telemetry
from runs import Run

DEATHS = 3  # so many workers may die on a task


class Task(celery.Task):
    """Writes what happens to a task as it happens. Celery keeps the tasks, waits and decides how often."""

    acks_late = reject_on_worker_lost = True  # a worker that dies leaves its task to another

    def __call__(self, *args, **kwargs):
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        record, began = Record.of(self), time.monotonic()
        took = lambda: {"task.duration_ms": (time.monotonic() - began) * 1000}
        run = record.run
        attempt, deaths, died, cancel = run.begin()
        at = {"task.attempt": attempt}
        self.request.run, self.request.attempt = run, attempt  # for the task: its number, its idempotency key
        if died:
            record.emit("task_lost", {"task.attempts": attempt - 1})
        if cancel:
            run.end(over=True)
            if died:  # else it waited, and the cancel is on record
                record.cancelled(attempt - 1, "not_running", cancel)
            raise Ignore()
        if deaths >= DEATHS:
            run.end(over=True)
            record.failed("poison", attempt - 1, {"error.message": f"{deaths} workers died on it", "error.class": "permanent"})
            raise Ignore()
        if attempt == 1:
            record.emit("task_started")
        record.emit("attempt_started", at)
        try:
            output = super().__call__(*args, **kwargs)
        except Retry as retry:  # Celery waits and tries again, as ever
            run.end(over=False)
            failed, delay = self.request.failed_at, retry.when if isinstance(retry.when, (int, float)) else 0
            record.emit("attempt_failed", {**at, **took(), **error_of(retry.exc or retry, "retryable")}, failed)
            record.emit("task_retried", {**at, "retry.next_attempt": attempt + 1, "retry.delay_ms": delay * 1000.0,
                                         "retry.reason": "backoff"}, failed + 1)
            raise
        except (Ignore, Reject, SystemExit):  # the task's own ways out, and the end of its worker
            run.end(over=False)
            record.emit("attempt_aborted", {**at, **took(), "task.stop_proof": "given back"})
            telemetry.flush(2)
            raise
        except Exception as err:
            cancel = run.end(over=True)
            if cancel and isinstance(err, SoftTimeLimitExceeded):
                record.emit("attempt_aborted", {**at, **took(), "task.stop_proof": "cancelled"})
                record.cancelled(attempt, "stopped", cancel)
                raise Ignore() from err
            exhausted = getattr(self.request, "exhausted", False)  # it asked for another attempt, and got none
            error = error_of(err, "retryable" if exhausted else "permanent")
            record.emit("attempt_failed", {**at, **took(), **error})
            record.failed("exhausted" if exhausted else "permanent", attempt, error)
            raise
        run.end(over=True)
        record.emit("attempt_success", {**at, **took()})
        record.emit("task_completed", {"task.duration_ms": run.took(), "task.attempts": attempt,
                                       "task.output": json.dumps(output, default=str)})
        return output

    def retry(self, *args, **kwargs):
        request = self.request
        request.failed_at = telemetry.now(2)  # before the queue has it again
        headers = kwargs.pop("headers", request.headers) or {}  # Celery does not carry all of them on
        try:
            return super().retry(*args, headers={**headers, "timeline": about(request)}, **kwargs)
        except Retry:
            raise
        except Exception:
            request.exhausted = True
            raise


class Record:
    """Writes the events of one run."""

    def __init__(self, run, task_type, queue, max_attempts, more):
        self.run = run
        self.attributes = {
            "task.id": run.task_id, "task.run": run.number, "task.type": task_type, "task.queue": queue, "task.runner": "celery",
            "task.max_attempts": more.get("max_attempts", max_attempts), "task.user_id": more.get("user_id"),
            "task.amount": more.get("amount"), "task.currency": more.get("currency")}

    @classmethod
    def of(cls, task):
        """The record of the message that a worker has taken."""
        request = task.request
        most = None if task.max_retries is None else task.max_retries + 1
        return cls(Run(task.app, request.id, about(request)), task.name, request.delivery_info["routing_key"], most, about(request))

    def emit(self, name, attributes=None, at=None):
        telemetry.emit(name, {**self.attributes, **(attributes or {})}, at)

    def failed(self, reason, attempts, error):
        why = {"task.failure.reason": reason, "task.attempts": attempts, **error}
        self.emit("task_failed", {"task.duration_ms": self.run.took(), **why})
        self.emit("moved_to_dlq", why)

    def cancelled(self, attempts, proof, by):
        self.emit("task_cancelled", {"task.attempts": attempts, "task.stop_proof": proof,
                                     "operator.actor": by["actor"], "operator.reason": by["reason"]})


def about(request):
    """What the message's header says of its task."""
    return getattr(request, "timeline", None) or {}


def error_of(err, error_class):
    return {"error.type": type(err).__name__, "error.message": str(err), "error.class": error_class,
            "error.stack": "".join(traceback.format_exception(type(err), err, err.__traceback__))}


@before_task_publish.connect
def created(sender, headers, body, routing_key, **_):
    """On the side that enqueues, before the queue has the task."""
    more = headers.get("timeline") or {}
    if headers.get("retries") or more.get("run", 1) > 1:
        return  # a further attempt, or a further run
    args, kwargs, _ = body
    record = Record(Run(celery.current_app, headers["id"], more), sender, routing_key, None, more)
    record.emit("task_created", {"task.input": json.dumps({"args": args, "kwargs": kwargs}, default=str)})


@worker_process_shutdown.connect
def stopped(**_):
    telemetry.flush()  # what is still on its way
