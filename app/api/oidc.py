"""Signing in with an account of somewhere else, and linking it."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Query, Request, Response, status
from fastapi.responses import RedirectResponse

from app.api.cookies import SessionCookieDep, is_secure
from app.api.deps import ServicesDep, SignedInPerson
from app.api.routing import Router
from app.realtime.identities import TIME_TO_SIGN_IN
from app.schemas.common import ErrorResponse, Page
from app.schemas.identities import IdentityDepartureRead, IdentityLink, IdentityRead
from app.services.identities import Departure, ProviderAnswer

router = Router(tags=["accounts"])

BROWSER_COOKIE: Final = "hearth_sign_in"
CALLBACK: Final = "finish_oidc_login"
CONFLICT: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": ErrorResponse, "description": "Another account has this address, or is linked"}
}


class Browser:
    """Recognised by a cookie that lives as long as a sign-in may take; nobody can finish what another has begun."""

    def __init__(self, request: Request) -> None:
        self._is_secure = is_secure(request.app.state.resources.settings, request)
        self.value = request.cookies.get(BROWSER_COOKIE)
        self.callback = str(request.url_for(CALLBACK))
        self._path = str(request.url_for(CALLBACK).path)

    def send(self, departure: Departure, response: Response) -> None:
        response.headers["Cache-Control"] = "no-store"
        response.set_cookie(
            BROWSER_COOKIE,
            departure.browser,
            max_age=int(TIME_TO_SIGN_IN.total_seconds()),
            path=self._path,
            secure=self._is_secure,
            httponly=True,
            samesite="lax",
        )

    def forget(self, response: Response) -> None:
        response.headers["Cache-Control"] = "no-store"
        response.delete_cookie(BROWSER_COOKIE, self._path, secure=self._is_secure, httponly=True, samesite="lax")


async def get_browser(request: Request) -> Browser:
    return Browser(request)


async def get_answer(
    state: Annotated[str, Query(max_length=128)],
    code: Annotated[str | None, Query(max_length=4096)] = None,
    error: Annotated[str | None, Query(max_length=128, pattern=r"^[\x21-\x7e]+$")] = None,
    iss: Annotated[str | None, Query(max_length=300)] = None,
) -> ProviderAnswer:
    return ProviderAnswer(state, code, error, iss)


BrowserDep = Annotated[Browser, Depends(get_browser)]
AnswerDep = Annotated[ProviderAnswer, Depends(get_answer)]
RedirectTo = Annotated[str, Query(max_length=2048, description="A path here, or a page of CORS_ORIGINS.")]


@router.get("/auth/oidc/login", status_code=status.HTTP_303_SEE_OTHER, response_class=RedirectResponse)
async def begin_oidc_login(services: ServicesDep, browser: BrowserDep, redirect_to: RedirectTo = "/") -> Response:
    """Go to the provider to sign in there, and come back to `redirect_to` with a cookie session. For browsers."""
    departure = await services.identities.begin(redirect_to, callback=browser.callback)
    response = RedirectResponse(departure.url, status.HTTP_303_SEE_OTHER)
    browser.send(departure, response)
    return response


@router.get(
    "/auth/oidc/callback", status_code=status.HTTP_303_SEE_OTHER, response_class=RedirectResponse, responses=CONFLICT
)
async def finish_oidc_login(
    services: ServicesDep, browser: BrowserDep, cookie: SessionCookieDep, answer: AnswerDep
) -> Response:
    """Where the provider sends the browser back to. The first sign-in makes an account, where registration is open."""
    arrival = await services.identities.finish(answer, browser=browser.value, instead_of=cookie.value)
    response = RedirectResponse(arrival.redirect_to, status.HTTP_303_SEE_OTHER)
    browser.forget(response)
    cookie.set_if_signed_in(response, arrival.login)
    return response


@router.post("/users/me/identities")
async def link_identity(
    actor: SignedInPerson, services: ServicesDep, browser: BrowserDep, data: IdentityLink, response: Response
) -> IdentityDepartureRead:
    """Begin to link an account of the provider to yours: send the browser to `url`.

    A POST, so that no other site's page can link an account of its own choice to yours.
    """
    departure = await services.identities.begin(data.redirect_to, callback=browser.callback, linking=actor)
    browser.send(departure, response)
    return IdentityDepartureRead.model_validate(departure)


@router.get("/users/me/identities")
async def list_identities(actor: SignedInPerson, services: ServicesDep) -> Page[IdentityRead]:
    """The accounts of the provider that open yours."""
    return Page[IdentityRead].model_validate({"items": await services.identities.list(actor), "next_cursor": None})


@router.delete("/users/me/identities/{identity_id}", status_code=status.HTTP_204_NO_CONTENT, responses=CONFLICT)
async def unlink_identity(actor: SignedInPerson, services: ServicesDep, identity_id: UUID) -> None:
    """It opens your account no more. The last way in stays."""
    await services.identities.delete(actor, identity_id)
