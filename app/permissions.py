"""Who may do what: the whole table, as pure functions over loaded objects.

Who *exists* for a caller is decided in the repositories' queries (`*_visible`); what a caller may do with what it
sees is decided here, and nowhere else.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """Of an account. A guest has a name and one room, no address and no password."""

    USER = "user"
    ADMIN = "admin"
    GUEST = "guest"


class ProjectRole(StrEnum):
    VIEWER = "viewer"
    EDITOR = "editor"
    OWNER = "owner"


class Scope(StrEnum):
    """What an API key may be used for; a signed-in person has all of them."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
EDITING_ROLES = frozenset({ProjectRole.EDITOR, ProjectRole.OWNER})


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller, whatever door it came through."""

    user_id: UUID
    name: str
    role: Role = Role.USER
    scopes: frozenset[Scope] = field(default=ALL_SCOPES)
    room_id: UUID | None = None  # a guest's only room
    key_id: UUID | None = None  # the API key that was used

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN and Scope.ADMIN in self.scopes

    @property
    def is_guest(self) -> bool:
        return self.role is Role.GUEST


def may_read(actor: Principal) -> bool:
    return Scope.READ in actor.scopes


def may_write(actor: Principal) -> bool:
    return Scope.WRITE in actor.scopes


def may_edit_project(role: ProjectRole | None) -> bool:
    """Add, change and delete documents, rooms and tasks of a project."""
    return role in EDITING_ROLES


def may_own_project(role: ProjectRole | None) -> bool:
    """Rename or delete a project and choose its members."""
    return role is ProjectRole.OWNER


def may_grant(actor: Principal, scopes: frozenset[Scope]) -> bool:
    """A key never has more scopes than whoever makes it, and `admin` only in an admin's hands."""
    return scopes <= actor.scopes and (Scope.ADMIN not in scopes or actor.is_admin)
