"""The API's paths: errors are JSON there, and any host name will do."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

API_PREFIXES = ("/api/", "/chatwoot/")
_SENTENCES = {
    400: ("bad_request", "The request could not be understood."),
    403: ("forbidden", "The request was refused."),
    404: ("not_found", "There is nothing at this address. Check the path."),
    405: ("method_not_allowed", "This address does not take that method."),
    500: ("internal_error", "The bridge failed. The cause is in its log."),
}


class JsonApiErrors:
    """Replace Django's HTML error pages by JSON below the API's paths."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass everything through but an error page that is not JSON."""
        response = self._get_response(request)
        if response.status_code < 400 or not request.path.startswith(API_PREFIXES):
            return response
        if response.headers.get("Content-Type", "").startswith("application/json"):
            return response
        return _as_json(response)


class ApiUnderAnyName:
    """Let calls of the API in by whatever name the caller knows the bridge.

    Chatwoot in the next container says `Host: web:8000`. Django would answer 400 to a
    name that is not in ALLOWED_HOSTS, and Chatwoot would take the conversation from
    the bot. Nothing that the API answers is built from the name.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Put a name that is always allowed in the place of the caller's."""
        if request.path.startswith(API_PREFIXES):
            request.META["HTTP_HOST"] = "localhost"
        return self._get_response(request)


class ApiWithoutSlash:
    """Take an address of the API with a slash at its end for the one without.

    A redirect would turn a POST of Dify's into a GET (reference/dify.md section 8a).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Cut the slash off before the address is looked up."""
        if request.path.startswith(API_PREFIXES):
            request.path = request.path.rstrip("/")
            request.path_info = request.path_info.rstrip("/")
        return self._get_response(request)


def _as_json(response: HttpResponse) -> JsonResponse:
    code, message = _SENTENCES.get(response.status_code, ("error", "Request failed."))
    answer = JsonResponse(
        {"status": "error", "code": code, "message": message},
        status=response.status_code,
    )
    if "Allow" in response.headers:
        answer.headers["Allow"] = response.headers["Allow"]
    return answer
