"""The cookie that a browser is signed in by."""

from typing import Annotated

from fastapi import Depends, Request, Response

from app.api.callers import SESSION_COOKIE, is_own_origin
from app.errors import CSRFFailed
from app.services.logins import CookieLogin
from app.settings import Settings


class SessionCookie:
    """The cookie a request brought along, and the one that its response sets."""

    def __init__(self, request: Request) -> None:
        self._is_secure = is_secure(request.app.state.resources.settings, request)
        self.value = request.cookies.get(SESSION_COOKIE)

    def set(self, response: Response, login: CookieLogin) -> None:
        """Scripts cannot read it, other sites' pages do not make the browser send it with what changes something."""
        response.headers["Cache-Control"] = "no-store"
        response.set_cookie(
            SESSION_COOKIE,
            login.cookie,
            max_age=int(login.longest.total_seconds()),
            secure=self._is_secure,
            httponly=True,
            samesite="lax",
        )

    def set_if_signed_in(self, response: Response, login: CookieLogin | None) -> None:
        if login is not None:
            self.set(response, login)

    def clear(self, response: Response) -> None:
        if self.value is not None:
            response.delete_cookie(SESSION_COOKIE, secure=self._is_secure, httponly=True, samesite="lax")


def is_secure(settings: Settings, request: Request) -> bool:
    """Whether a cookie is to travel over https alone."""
    if settings.cookie.secure == "auto":
        return settings.is_production or request.url.scheme == "https"
    return settings.cookie.secure == "always"


async def get_session_cookie(request: Request) -> SessionCookie:
    return SessionCookie(request)


SessionCookieDep = Annotated[SessionCookie, Depends(get_session_cookie)]


async def require_own_origin(request: Request) -> None:
    """Raises CSRFFailed: another site's page wants to sign the browser in, as somebody else perhaps."""
    if not is_own_origin(request):
        raise CSRFFailed("This page's origin is not among CORS_ORIGINS.")
