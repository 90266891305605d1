"""Celery with Redis behind one route, with the guarantees it can give: acknowledged late, results stored."""

import os

from celery import Celery
from fastapi import FastAPI

app = Celery("reference", broker=os.environ["CELERY_URL"], backend=os.environ["CELERY_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=False,
    task_track_started=True,
    worker_prefetch_multiplier=8,
)
api = FastAPI()


@app.task
def nothing() -> dict[str, str]:
    return {}


@api.post("/tasks", status_code=202)
def start_task() -> dict[str, str]:
    return {"id": nothing.delay().id}
