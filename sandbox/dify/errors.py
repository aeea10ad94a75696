"""Refusals of the played Dify API: exact codes, messages and odd shapes."""

from __future__ import annotations

from starlette.responses import HTMLResponse, JSONResponse, Response

from sandbox.dify.versions import Version
from sandbox.json_types import Json

NOT_FOUND_PAGE = (
    "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n"
    "<h1>Not Found</h1>\n<p>The requested URL was not found on the server. If you "
    "entered the URL manually please check your spelling and try again.</p>\n"
)
BUSY_TEXT = (
    "Too many requests. Please try again later. "
    "The current maximum concurrent requests allowed is {limit}."
)
QUOTA_TEXT = (
    "Your quota for Dify Hosted Model Provider has been exhausted. Please go to "
    "Settings -> Model Provider to complete your own provider credentials."
)
_PROXY_TITLES = {
    413: "413 Request Entity Too Large",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
    524: "524: A timeout occurred",
}


class DifyError(Exception):
    """Raised below an endpoint. ``pre_run`` errors vanish in 1.14's streams."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        pre_run: bool = False,
        parameter: str | None = None,
        hint: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.pre_run = pre_run
        self.parameter = parameter
        self.hint = hint

    def body(self, *, version: Version, path: str) -> Json:
        message = self.message
        if self.hint and not version.is_old:
            # flask-restx appends its route hints to 404s since Dify 1.8
            message += (
                f" You have requested this URI [{path}] but did you mean {path} ?"
            )
        if self.parameter is not None and version.is_old:
            return {"code": self.code, "message": message, "params": self.parameter}
        return {"code": self.code, "message": message, "status": self.status}

    def response(self, *, version: Version, path: str) -> Response:
        headers = dict(version.headers)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="api"'
        return JSONResponse(
            self.body(version=version, path=path),
            status_code=self.status,
            headers=headers,
        )


def unauthorized(message: str) -> DifyError:
    return DifyError(401, "unauthorized", message)


def forbidden(message: str) -> DifyError:
    return DifyError(403, "forbidden", message)


def invalid_param(message: str, *, pre_run: bool = False) -> DifyError:
    return DifyError(400, "invalid_param", message, pre_run=pre_run)


def bad_request(message: str) -> DifyError:
    return DifyError(400, "bad_request", message)


def not_found(message: str, *, pre_run: bool = False, hint: bool = True) -> DifyError:
    return DifyError(404, "not_found", message, pre_run=pre_run, hint=hint)


def no_conversation(*, pre_run: bool = False, hint: bool = True) -> DifyError:
    return not_found("Conversation Not Exists.", pre_run=pre_run, hint=hint)


def wrong_mode(code: str) -> DifyError:
    text = "Please check if your app mode matches the right API route."
    return DifyError(400, code, text)


def app_unavailable() -> DifyError:
    text = "App unavailable, please check your app configurations."
    return DifyError(400, "app_unavailable", text)


def not_json() -> DifyError:
    text = (
        "Did not attempt to load JSON data because the request Content-Type was "
        "not 'application/json'."
    )
    return DifyError(415, "unsupported_media_type", text)


def broken_json() -> DifyError:
    text = (
        "The browser (or proxy) sent a request that this server could not understand."
    )
    return DifyError(400, "bad_request", text)


def field_error(
    *, model: str, field: str, text: str, kind: str, value: str, version: Version
) -> DifyError:
    """pydantic's multi-line text of 1.x, or the one-liner of 0.15."""
    if version.is_old:
        old = "Missing required parameter in the JSON body"
        message = old if kind == "missing" else text
        return DifyError(400, "invalid_param", message, parameter=field)
    message = (
        f"1 validation error for {model}\n{field}\n  {text} [type={kind}, {value}]\n"
        f"    For further information visit https://errors.pydantic.dev/"
        f"{version.pydantic}/v/{kind}"
    )
    return invalid_param(message)


def proxy_page(status: int) -> Response:
    """What nginx or Cloudflare put in front of Dify answers."""
    title = _PROXY_TITLES.get(status, f"{status} Error")
    html = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n"
        "</body>\r\n</html>\r\n"
    )
    return HTMLResponse(html, status_code=status, headers={"Server": "nginx"})


def html_not_found() -> Response:
    return HTMLResponse(NOT_FOUND_PAGE, status_code=404)


def by_status(status: int) -> DifyError | None:
    """The JSON refusal that Dify itself gives with this status, if it has one."""
    table = {
        400: invalid_param("Run failed: ordered with /http 400"),
        401: unauthorized("Access token is invalid"),
        403: forbidden("The app's API service has been disabled."),
        404: no_conversation(),
        429: DifyError(429, "rate_limit_error", "Rate Limit Error"),
        500: DifyError(500, "internal_server_error", "Internal Server Error"),
    }
    return table.get(status)
