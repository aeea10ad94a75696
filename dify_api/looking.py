"""Looks at a Dify app without running it or storing anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.client import DifyClient
from dify_api.connection import DifyConnection
from dify_api.payloads import (
    AppInfo,
    AppParameters,
    FileUpload,
    parse_info,
    parse_parameters,
)
from dify_api.reading import as_object, malformed, nested

# Somebody waits for the answer at a page.
LOOK_TIMEOUT_S = (3.0, 8.0)


@dataclass(frozen=True, kw_only=True)
class AppLook:
    """What Dify says of an app; `unreadable` is why the app's parameters are None.

    `version` is "" where Dify or a proxy does not tell it, and so is `clock` None.
    """

    info: AppInfo
    parameters: AppParameters | None = None
    unreadable: BridgeError | None = None
    listens: bool = False
    version: str = ""
    clock: datetime | None = None

    @property
    def file_upload(self) -> FileUpload:
        """Return what files the app takes."""
        return self.parameters.file_upload if self.parameters else FileUpload()


class _Looker(DifyClient):
    """Asks with short time limits, and keeps the headers."""

    def ask(self, path: str) -> tuple[JsonValue, requests.Response]:
        response = self.send(
            "GET",
            path,
            headers=self._headers(),
            repeat_safe=True,
            timeout_s=LOOK_TIMEOUT_S,
        )
        try:
            return response.json(), response
        except ValueError as err:
            raise malformed(f"{path} is not told as JSON") from err


def look(connection: DifyConnection) -> AppLook:
    """Return what Dify says of the app.

    Raises an UpstreamError if Dify cannot be reached or does not accept the key. An app
    that was never published has an `info`, but no parameters.
    """
    with _Looker(connection) as client:
        body, response = client.ask("/info")
        info = parse_info(body)
        version, clock = client.server_version, _date(response)
        try:
            raw, _response = client.ask("/parameters")
            parameters = parse_parameters(raw)
            listens = _listens(as_object(raw, name="/parameters"))
        except BridgeError as err:
            return AppLook(info=info, unreadable=err, version=version, clock=clock)
    return AppLook(
        info=info,
        parameters=parameters,
        listens=listens,
        version=version,
        clock=clock,
    )


def _listens(parameters: JsonObject) -> bool:
    """Tell whether speech may be turned into text; what we keep does not say it."""
    return nested(parameters, "speech_to_text").get("enabled") is True


def _date(response: requests.Response) -> datetime | None:
    try:
        read = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
