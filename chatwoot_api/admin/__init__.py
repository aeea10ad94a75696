"""The admin's pages of Chatwoot's accounts, and of what is mirrored of them."""

from __future__ import annotations

from chatwoot_api.admin import account, mirrors

__all__ = ["account", "mirrors"]
