"""The exception tree: a class says what the caller must do, `service` who failed.

BridgeError
├── InvalidWebhook          answered by the view: BadSignature 401, MalformedPayload 400
├── ConfigurationError      an operator must act; never retried
└── UpstreamError           Chatwoot or Dify failed; `retryable` says whether to repeat
    ├── UpstreamUnavailable
    ├── UpstreamRateLimited
    ├── OutcomeUnknown
    ├── UpstreamRejected
    │   ├── Unauthorized
    │   └── NotFound
    └── UnexpectedReply
"""

from __future__ import annotations

from typing import ClassVar

from bridge_project.lib.redact import cut


class BridgeError(Exception):
    """The bridge could not do what it was asked to do."""

    code: str = "bridge_error"
    # Whether the same attempt may succeed later, without anybody doing anything.
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, code: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        if code:
            self.code = code
        super().__init__(self.message)


class InvalidWebhook(BridgeError):
    """The webhook was refused; nothing was stored."""

    code = "invalid_webhook"
    http_status: ClassVar[int] = 400


class BadSignature(InvalidWebhook):
    """The webhook is not signed with a secret that we know."""

    code = "bad_signature"
    http_status = 401


class MalformedPayload(InvalidWebhook):
    """The body is not a Chatwoot event."""

    code = "malformed_payload"


class ConfigurationError(BridgeError):
    """The configuration is incomplete or contradicts itself; an operator must act."""

    code = "configuration"


class UpstreamError(BridgeError):
    """A call to Chatwoot or Dify failed."""

    code = "upstream_error"

    def __init__(
        self,
        message: str = "",
        *,
        service: str = "",
        method: str = "",
        path: str = "",
        status: int | None = None,
        excerpt: str = "",
        code: str = "",
    ) -> None:
        """`excerpt` is what the service answered, cut; never shown to customers."""
        super().__init__(message, code=code)
        self.service = service
        self.method = method
        self.path = path
        self.status = status
        self.excerpt = cut(excerpt)

    def __str__(self) -> str:
        """Say what happened first; where it happened is for engineers."""
        call = " ".join(part for part in (self.service, self.method, self.path) if part)
        status = f", HTTP {self.status}" if self.status else ""
        return f"{self.message} [{call}{status}]" if call else self.message


class UpstreamUnavailable(UpstreamError):
    """The service could not be reached or failed for a moment."""

    code = "unavailable"
    retryable = True


class UpstreamRateLimited(UpstreamError):
    """The service asks us to slow down."""

    code = "rate_limited"
    retryable = True
    retry_after_s: float | None = None


class OutcomeUnknown(UpstreamError):
    """The call may or may not have taken effect; it must be looked up, not repeated."""

    code = "outcome_unknown"


class UpstreamRejected(UpstreamError):
    """The service refused the request; repeating it would be refused again."""

    code = "rejected"


class Unauthorized(UpstreamRejected):
    """The service does not accept our token or key."""

    code = "unauthorized"


class NotFound(UpstreamRejected):
    """The service does not know the object."""

    code = "not_found"


class UnexpectedReply(UpstreamError):
    """The service answered success, but not in the agreed shape."""

    code = "unexpected_reply"
