"""Making an account, signing in and out."""

from typing import Annotated

from fastapi import Depends, Response, status
from fastapi.security import OAuth2PasswordRequestForm

from app.api.cookies import SessionCookieDep, require_own_origin
from app.api.deps import Actor, ServicesDep
from app.api.routing import Router
from app.models import User
from app.schemas.auth import CookieSessionRead, Logout, RefreshTokenUse, TokensRead, UserCreate
from app.schemas.common import ErrorResponse
from app.schemas.users import UserRead
from app.services.logins import SignedIn

router = Router(prefix="/auth", tags=["accounts"])

PasswordForm = Annotated[OAuth2PasswordRequestForm, Depends()]


@router.post(
    "/register",
    status_code=status.HTTP_201_CREATED,
    response_model=UserRead,
    responses={409: {"model": ErrorResponse, "description": "The address has an account already"}},
)
async def register_user(services: ServicesDep, data: UserCreate, response: Response) -> User:
    """Make an account, with a default project. The first account is the admin's."""
    response.headers["Location"] = "/api/v1/users/me"
    return await services.accounts.register(data)


@router.post("/login", response_model=TokensRead)
async def login_user(services: ServicesDep, form: PasswordForm, response: Response) -> SignedIn:
    """Sign in: `username` is the e-mail address. OAuth2 password flow, so **Authorize** on this page works."""
    response.headers["Cache-Control"] = "no-store"
    return await services.logins.login(form.username, form.password)


@router.post("/refresh", response_model=TokensRead)
async def refresh_tokens(services: ServicesDep, data: RefreshTokenUse, response: Response) -> SignedIn:
    """Exchange a refresh token for new tokens. It is good once: a second use ends the log-in it belongs to."""
    response.headers["Cache-Control"] = "no-store"
    return await services.logins.refresh(data.refresh_token)


@router.post("/session", dependencies=[Depends(require_own_origin)])
async def begin_session(
    services: ServicesDep, form: PasswordForm, cookie: SessionCookieDep, response: Response
) -> CookieSessionRead:
    """Sign in with a cookie, for pages in browsers. Send `csrf_token` as `X-CSRF-Token` with what changes something."""
    login = await services.logins.login_with_cookie(form.username, form.password, instead_of=cookie.value)
    cookie.set(response, login)
    return CookieSessionRead.of(login.user, login.cookie)


@router.get("/session")
async def read_session(
    actor: Actor, services: ServicesDep, cookie: SessionCookieDep, response: Response
) -> CookieSessionRead:
    """Who is signed in by the cookie, and the token that belongs to it: for a page that was loaded anew."""
    response.headers["Cache-Control"] = "no-store"
    return CookieSessionRead.of(await services.users.get(actor), cookie.value)


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT)
async def logout_user(
    actor: Actor, services: ServicesDep, cookie: SessionCookieDep, response: Response, data: Logout | None = None
) -> None:
    """End this log-in, and the one that the refresh token belongs to."""
    await services.logins.logout(actor, data.refresh_token if data else None)
    cookie.clear(response)
