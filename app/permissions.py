"""Who may do what: the whole table, and the one function that reads it.

Who *exists* for a caller is decided in the repositories' queries (`*_visible`): what a caller cannot see is not there.
What a caller may do with what it sees is decided here, and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final
from uuid import UUID


class Role(StrEnum):
    """Of an account. A guest has a name and one room, no address and no password."""

    USER = "user"
    ADMIN = "admin"
    GUEST = "guest"


class ProjectRole(StrEnum):
    """Of a member, from least to most: each may do what those before it may."""

    VIEWER = "viewer"
    EDITOR = "editor"
    OWNER = "owner"


class Scope(StrEnum):
    """What an API key may be used for; a signed-in person has all of them."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class CallerKind(IntEnum):
    """The least that a caller has to be."""

    GUEST = 0
    ACCOUNT = 1  # a person, or one of their API keys
    PERSON = 2  # signed in with a password, a cookie or another provider: no API key, however many scopes it has
    ADMIN = 3  # an admin, or an admin's key with the scope `admin`


class Action(StrEnum):
    READ_ROOM = "read a room, and follow it"
    TALK = "talk in a room, type, stop the spirit"
    HOST = "change, close and delete a room, its invites; mute and remove people, delete what others said there"
    READ_HOSTED = "see a room's invites, and who is muted or removed there"
    READ = "read documents, tasks, projects; search and ask"
    EDIT = "add, change and delete documents and tasks, open rooms"
    MANAGE_PROJECT = "rename, archive or delete a project, choose its members, its webhooks"
    READ_MANAGED = "see a project's webhooks and what they were told, export the project"
    MANAGE_SELF = "change one's profile, make projects and API keys"
    SECURE_SELF = "change one's password or address, end log-ins, export and delete the account"
    ADMINISTER = "users, invites, limits, statistics, the audit log"


@dataclass(frozen=True, slots=True)
class Rule:
    """`role`: the least role in the project that the thing belongs to, None where no project is concerned."""

    caller: CallerKind
    scope: Scope
    role: ProjectRole | None


RULES: Final[Mapping[Action, Rule]] = {
    #                           who at least        with a key's scope  in the project at least
    Action.READ_ROOM:      Rule(CallerKind.GUEST,   Scope.READ,         None),
    Action.TALK:           Rule(CallerKind.GUEST,   Scope.WRITE,        None),
    Action.HOST:           Rule(CallerKind.ACCOUNT, Scope.WRITE,        ProjectRole.EDITOR),
    Action.READ_HOSTED:    Rule(CallerKind.ACCOUNT, Scope.READ,         ProjectRole.EDITOR),
    Action.READ:           Rule(CallerKind.ACCOUNT, Scope.READ,         None),
    Action.EDIT:           Rule(CallerKind.ACCOUNT, Scope.WRITE,        ProjectRole.EDITOR),
    Action.MANAGE_PROJECT: Rule(CallerKind.ACCOUNT, Scope.WRITE,        ProjectRole.OWNER),
    Action.READ_MANAGED:   Rule(CallerKind.ACCOUNT, Scope.READ,         ProjectRole.OWNER),
    Action.MANAGE_SELF:    Rule(CallerKind.ACCOUNT, Scope.WRITE,        None),
    Action.SECURE_SELF:    Rule(CallerKind.PERSON,  Scope.WRITE,        None),
    Action.ADMINISTER:     Rule(CallerKind.ADMIN,   Scope.ADMIN,        None),
}  # fmt: skip
"""Rooms and what is read have no column for the project: whoever is not a member does not see them."""

ALL_SCOPES: Final = frozenset(Scope)
_RANKS: Final = {role: rank for rank, role in enumerate(ProjectRole)}


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller, whatever door it came through.

    `login_id` is a person's, `key_id` an API key's, `room_id` (its only room) a guest's. `expires_at`: when the
    credentials end by themselves. `limits`: rates by budget that an API key has of its own.
    """

    user_id: UUID
    name: str
    role: Role = Role.USER
    scopes: frozenset[Scope] = ALL_SCOPES
    room_id: UUID | None = None
    key_id: UUID | None = None
    login_id: UUID | None = None
    expires_at: datetime | None = None
    limits: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_guest(self) -> bool:
        return self.role is Role.GUEST


def may(actor: Principal, action: Action, role: ProjectRole | None = None) -> bool:
    """Whether the table lets `actor` do this; `role` is the actor's in the project concerned."""
    rule = RULES[action]
    return _is_at_least(actor, rule.caller) and rule.scope in actor.scopes and suffices(role, rule.role)


def may_grant(actor: Principal, scopes: frozenset[Scope]) -> bool:
    """A key never has more scopes than whoever makes it, and `admin` only in an admin's hands."""
    return scopes <= actor.scopes and (Scope.ADMIN not in scopes or may(actor, Action.ADMINISTER))


def _is_at_least(actor: Principal, caller: CallerKind) -> bool:
    match caller:
        case CallerKind.GUEST:
            return True
        case CallerKind.ACCOUNT:
            return not actor.is_guest
        case CallerKind.PERSON:
            return not actor.is_guest and actor.key_id is None
        case CallerKind.ADMIN:
            return actor.role is Role.ADMIN


def suffices(role: ProjectRole | None, least: ProjectRole | None) -> bool:
    return least is None or (role is not None and _RANKS[role] >= _RANKS[least])
