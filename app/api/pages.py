"""The pages for developers, `/docs`, `/redoc`, `/asyncapi` and `/` that leads there, and those that mails link to.

Their scripts come with the installation.
"""

import base64
import hashlib
import importlib.util
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from app.api.asyncapi import asyncapi_document
from app.api.protocol_page import protocol_page
from app.api.routing import Router

ASSETS = "/docs/assets"
INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

ACTION_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body {{ font-family: sans-serif; max-width: 24em; margin: 4em auto; padding: 0 1em }}
input, button {{ font: inherit; padding: .5em; margin: .5em 0; width: 100%; box-sizing: border-box }}</style></head>
<body><h1>{title}</h1>
<form>{fields}<button>{title}</button></form><p role="status"></p>
<noscript>This page needs JavaScript. Or call the API yourself: <code>POST {path}</code>.</noscript>
<script>
const token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
history.replaceState(null, "", location.pathname);
const form = document.querySelector("form"), outcome = document.querySelector("p");
form.addEventListener("submit", async (event) => {{
  event.preventDefault();
  const body = JSON.stringify({{token, ...Object.fromEntries(new FormData(form))}});
  const headers = {{"Content-Type": "application/json"}};
  try {{
    const answer = await fetch("{path}", {{method: "POST", headers, body, credentials: "omit"}});
    const error = answer.ok ? null : (await answer.json()).error;
    outcome.textContent = error ? error.details.errors?.[0]?.msg || error.message : "{done}";
    form.hidden = answer.ok;
  }} catch {{
    outcome.textContent = "The server cannot be reached. Please try again.";
  }}
}});
</script></body></html>
"""
"""Acts when somebody presses the button, not when it is opened: mail programs open links, too."""
ONE_FIELD = '<label>New password <input type="password" name="password" autocomplete="new-password" required></label>'

router = Router(include_in_schema=False)


def _assets_folder() -> Path:
    """Where the wheel keeps the scripts; the package itself is never imported."""
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise RuntimeError("fastapi-offline is not installed: run `make install`")
    return Path(spec.origin).parent / "static"


def _page(html: bytes | memoryview) -> HTMLResponse:
    """`html` with a policy that allows its own inline script and nothing foreign."""
    text = bytes(html).decode()
    hashes = (
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in INLINE_SCRIPT.findall(text)
    )
    scripts = " ".join(f"'sha256-{digest}'" for digest in hashes)
    policy = (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:; connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


@router.get("/")
async def redirect_to_docs() -> RedirectResponse:
    return RedirectResponse("/docs")


@router.get("/docs")
async def read_docs() -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Hearth",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
        oauth2_redirect_url="/docs/oauth2-redirect",
        swagger_ui_parameters={"persistAuthorization": True, "displayRequestDuration": True},
    )
    return _page(page.body)


@router.get("/docs/oauth2-redirect")
async def read_oauth2_redirect() -> HTMLResponse:
    return _page(get_swagger_ui_oauth2_redirect_html().body)


@router.get("/redoc")
async def read_redoc() -> HTMLResponse:
    page = get_redoc_html(
        openapi_url="/openapi.json",
        title="Hearth",
        redoc_js_url=f"{ASSETS}/redoc.standalone.js",
        redoc_favicon_url=f"{ASSETS}/favicon.png",
        with_google_fonts=False,
    )
    return _page(page.body)


@router.get("/asyncapi.json")
async def read_asyncapi() -> JSONResponse:
    return JSONResponse(asyncapi_document())


@router.get("/asyncapi")
async def read_asyncapi_page() -> HTMLResponse:
    return _page(protocol_page(asyncapi_document()).encode())


@router.get("/reset-password")
async def read_reset_password() -> HTMLResponse:
    path, done = "api/v1/auth/password/reset", "Your password is changed. You can sign in with it now."
    return _page(ACTION_PAGE.format(title="Choose a new password", path=path, done=done, fields=ONE_FIELD).encode())


@router.get("/verify-email")
async def read_verify_email() -> HTMLResponse:
    path, done = "api/v1/auth/email/verify", "Thank you: your address is confirmed."
    return _page(ACTION_PAGE.format(title="Confirm my address", path=path, done=done, fields="").encode())


def add_pages(app: FastAPI) -> None:
    app.mount(ASSETS, StaticFiles(directory=_assets_folder()), name="docs-assets")
    app.include_router(router)
