"""What mails say: templates in text and HTML, beside this file."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

TEMPLATES: Final = Path(__file__).parent / "templates"


class Letter(StrEnum):
    """The name of its templates."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a name
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a name
    EMAIL_CHANGING = "email_changing"
    ACCOUNT_EXISTS = "account_exists"
    ADDRESS_TAKEN = "address_taken"
    INVITED = "invited"
    WEBHOOK_DISABLED = "webhook_disabled"


SUBJECTS: Final[Mapping[Letter, str]] = {
    Letter.VERIFY_EMAIL: "Please confirm your e-mail address",
    Letter.RESET_PASSWORD: "Choose a new password",
    Letter.PASSWORD_CHANGED: "Your password was changed",
    Letter.EMAIL_CHANGING: "The address of your account is to be changed",
    Letter.ACCOUNT_EXISTS: "You have an account already",
    Letter.ADDRESS_TAKEN: "Your address was asked for",
    Letter.INVITED: "You are invited to make an account",
    Letter.WEBHOOK_DISABLED: "A webhook was switched off",
}


@dataclass(frozen=True, slots=True)
class Written:
    subject: str
    text: str
    html: str


class LetterWriter:
    """Subjects never hold what people have typed, and HTML holds it escaped."""

    def __init__(self, *, base: str) -> None:
        self._base = base
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(["html"]), undefined=StrictUndefined
        )

    def write(self, letter: Letter, *, name: str | None, **values: str) -> Written:
        """`name` is how the person is addressed; strangers, who may not have chosen it, without one."""
        subject = SUBJECTS[letter]
        known = {"subject": subject, "base": self._base, "name": name, **values}
        text, html = (self._templates.get_template(f"{letter}.{form}").render(known) for form in ("txt", "html"))
        return Written(subject, text, html)
