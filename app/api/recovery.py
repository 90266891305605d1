"""Passwords and addresses that change."""

from typing import Any

from fastapi import status

from app.api.deps import ServicesDep, SignedInPerson
from app.api.routing import Router
from app.schemas.common import ErrorResponse
from app.schemas.recovery import (
    EmailChange,
    EmailVerification,
    MailPromise,
    PasswordChange,
    PasswordForgotten,
    PasswordReset,
)

router = Router(tags=["accounts"])

MAIL_IF_KNOWN = MailPromise(message="If this address has an account, a mail with a link is on its way.")
MAIL_TO_CONFIRM = MailPromise(message="A mail with a link is on its way, unless there were too many or none is needed.")
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ErrorResponse, "description": "The address has another account by now"}
}


@router.post("/auth/password/forgot", status_code=status.HTTP_202_ACCEPTED)
async def request_password_reset(services: ServicesDep, data: PasswordForgotten) -> MailPromise:
    """Have a link mailed for choosing a new password. The answer does not tell whether the address is known."""
    await services.recovery.forgot(data.email)
    return MAIL_IF_KNOWN


@router.post("/auth/password/reset", status_code=status.HTTP_204_NO_CONTENT)
async def reset_password(services: ServicesDep, data: PasswordReset) -> None:
    """Choose a new password with the token of the mail: good once, for an hour. Ends all log-ins; API keys stay."""
    await services.recovery.reset(data.token, data.password.get_secret_value())


@router.post("/auth/email/verify", status_code=status.HTTP_204_NO_CONTENT, responses=CONFLICT)
async def verify_email(services: ServicesDep, data: EmailVerification) -> None:
    """Confirm an address with the token of the mail: good once, for three days."""
    await services.recovery.verify_email(data.token)


@router.post("/users/me/email/verification", status_code=status.HTTP_202_ACCEPTED)
async def request_email_verification(actor: SignedInPerson, services: ServicesDep) -> MailPromise:
    """Have the mail sent again that confirms your address."""
    await services.recovery.ask_verification(actor)
    return MAIL_TO_CONFIRM


@router.post("/users/me/password", status_code=status.HTTP_204_NO_CONTENT)
async def change_password(actor: SignedInPerson, services: ServicesDep, data: PasswordChange) -> None:
    """Change your password. Ends all log-ins but this one; API keys stay."""
    await services.recovery.change_password(actor, data)


@router.post("/users/me/email", status_code=status.HTTP_202_ACCEPTED)
async def change_email(actor: SignedInPerson, services: ServicesDep, data: EmailChange) -> MailPromise:
    """Change your address: it changes when the new one is confirmed by the link that is mailed there."""
    await services.recovery.change_email(actor, data)
    return MAIL_TO_CONFIRM
