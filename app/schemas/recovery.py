"""Passwords and addresses that change, on the wire."""

from typing import Annotated

from pydantic import Field

from app.schemas.auth import Email, Password
from app.schemas.base import Schema
from app.schemas.common import Read

MailTokenText = Annotated[str, Field(max_length=128, examples=["hearth_mail_…"])]


class PasswordForgotten(Schema):
    email: Email = Field(examples=["ada@example.com"])


class PasswordReset(Schema):
    """`token` stands in the link of the mail, behind `#token=`."""

    token: MailTokenText
    password: Password = Field(examples=["correct horse battery staple"])


class EmailVerification(Schema):
    """`token` stands in the link of the mail, behind `#token=`."""

    token: MailTokenText


class PasswordChange(Schema):
    current_password: Password
    new_password: Password = Field(examples=["correct horse battery staple"])


class EmailChange(Schema):
    """The address changes once the new one is confirmed."""

    email: Email = Field(examples=["ada@example.org"])
    current_password: Password


class MailPromise(Read):
    """What will happen by mail."""

    message: str
