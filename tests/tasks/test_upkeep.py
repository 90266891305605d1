"""What is forgotten, and what is not yet."""

from datetime import timedelta
from uuid import uuid4

from httpx import AsyncClient
from sqlalchemy import delete, func, select, text, update

from app.models import Channel, EventRow, IdempotentRequest, Invite, RefreshToken, RegistrationInvite, Task
from app.resources import Resources
from app.tasks.upkeep import sweep, sweeps
from tests.factories import User, execute, make_project
from tests.rooms import make_room


async def test_what_is_older_than_its_time_goes_and_the_rest_stays(
    client: AsyncClient, resources: Resources, admin: User, owner: User
):
    project = await make_project(client, owner)
    age = resources.settings.task.retention
    tasks = {name: uuid4() for name in ("old", "young", "internal", "waiting")}
    async with resources.uow() as uow:
        for name, task_id in tasks.items():
            uow._session.add(
                Task(
                    id=task_id,
                    project_id=project["id"],
                    owner_id=owner.id,
                    task_type="text_to_image",
                    status="queued" if name == "waiting" else "succeeded",
                    is_internal=name == "internal",
                    is_held=True,
                )
            )
    await execute(resources, update(Task).values(finished_at=func.now() - age - timedelta(hours=1)))
    await execute(resources, update(Task).where(Task.id == tasks["waiting"]).values(finished_at=None))
    young = update(Task).where(Task.id == tasks["young"])
    await execute(resources, young.values(finished_at=func.now() - age + timedelta(hours=1)))
    room = await make_room(client, owner)
    invited = [await client.post(f"/api/v1/sessions/{room}/invites", headers=owner.headers) for _ in range(2)]
    assert all(answer.is_success for answer in invited)
    await client.post("/api/v1/admin/invites", json={}, headers=admin.headers)
    first = select(Invite.id).order_by(Invite.id).limit(1).scalar_subquery()
    await execute(
        resources, update(Invite).where(Invite.id == first).values(expires_at=func.now() - timedelta(days=31))
    )
    await execute(resources, update(RegistrationInvite).values(expires_at=func.now() - timedelta(days=31)))
    await execute(resources, update(RefreshToken).values(expires_at=func.now() - timedelta(days=8)))
    await client.post("/api/v1/projects", json={"name": "New"}, headers=owner.headers | {"Idempotency-Key": "upkeep-1"})
    await execute(resources, update(IdempotentRequest).values(created_at=func.now() - timedelta(hours=25)))

    await sweep(resources.services, resources.settings)
    async with resources.uow() as uow:
        left = set((await uow._session.scalars(select(Task.id).where(Task.id.in_(tasks.values())))).all())
    assert left == {tasks["young"], tasks["waiting"]}
    assert await count(resources, Invite) == 1
    assert [await count(resources, table) for table in (RegistrationInvite, RefreshToken, IdempotentRequest)] == [0] * 3


async def count(resources: Resources, table: type) -> int:
    return await execute(resources, select(func.count()).select_from(table))


async def test_a_sweep_that_fails_keeps_none_of_the_others_from_their_work(alone: Resources):
    async with alone.uow() as uow:
        await uow._session.execute(text("ALTER TABLE tasks RENAME TO away"))
        channel = Channel(id=uuid4())
        uow._session.add(channel)
        await uow.flush()
        long_ago = func.now() - alone.settings.realtime.retention * 2
        for number in range(5_100):  # more than one transaction takes
            uow._session.add(EventRow(channel_id=channel.id, seq=number, frame="{}", created_at=long_ago))
    await sweep(alone.services, alone.settings)
    assert await count(alone, EventRow) == 0
    assert list(sweeps(alone.services, alone.settings))[:2] == ["accounts", "tasks"], "which fail now, and come first"
    await execute(alone, delete(Channel))
