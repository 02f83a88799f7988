"""What the tasks of the runners' common shapes do: for each run what each of its
attempts comes to, the last of each for all that follow."""
import time

from tasks import app


class Unwell(Exception):
    pass


@app.task(name="payment", bind=True)
def payment(self, plans, max_attempts=5):
    plan = plans[min(self.request.run.number, len(plans)) - 1]
    word = plan[min(self.request.attempt, len(plan)) - 1]
    if word == "hang":
        time.sleep(3600)
    if word == "fail":
        raise self.retry(exc=Unwell("the service is not well"), countdown=0.1, max_retries=max_attempts - 1)
    if word == "permanent":
        raise Unwell("the service is not well")
    return {}
