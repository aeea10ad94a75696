"""Contacts, with the administrator's token: a bot may neither read nor write them."""

from __future__ import annotations

from collections.abc import Callable

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.api import SHORT_TIMEOUT_S, ChatwootApi
from chatwoot_api.lenient import id_at, list_at, object_at, text_at
from chatwoot_api.payloads import Contact, read_contact

# A search finds what contains the text, 15 a page; an exact match is among the first.
MAX_SEARCH_PAGES = 5


class ContactCalls(ChatwootApi):
    """The calls about contacts (reference/chatwoot.md section 5.5)."""

    def show_contact(self, contact_id: int) -> Contact:
        """Return a contact."""
        path = f"{self._root}/contacts/{contact_id}"
        reply = self._ask(("admin",), "GET", path, timeout_s=SHORT_TIMEOUT_S)
        return self._contact("GET", path, reply)

    def source_id_of(self, contact_id: int, *, inbox_id: int) -> str:
        """Return by what an inbox knows a visitor; "" unless there is exactly one.

        It opens the visitor's conversations, so it is neither stored nor logged.
        """
        path = f"{self._root}/contacts/{contact_id}"
        reply = self._ask(("admin",), "GET", path, timeout_s=SHORT_TIMEOUT_S)
        data = object_at(reply, "payload") if isinstance(reply, dict) else {}
        known = [
            text_at(row, "source_id")
            for row in list_at(data, "contact_inboxes")
            if isinstance(row, dict)
            and id_at(object_at(row, "inbox"), "id") == inbox_id
        ]
        return known[0] if len(known) == 1 else ""

    def find_contact(
        self, *, identifier: str = "", email: str = "", phone_number: str = ""
    ) -> Contact | None:
        """Return the contact with just this identifier, else e-mail, else number.

        Upper and lower case count as the same in an e-mail address only.
        """
        wanted: tuple[tuple[str, Callable[[Contact], bool]], ...] = (
            (identifier, lambda found: found.identifier == identifier),
            (email, lambda found: found.email.casefold() == email.casefold()),
            (phone_number, lambda found: found.phone_number == phone_number),
        )
        for text, is_meant in wanted:
            found = self._search(text, is_meant) if text else None
            if found is not None:
                return found
        return None

    def create_contact(
        self,
        *,
        name: str = "",
        email: str = "",
        phone_number: str = "",
        identifier: str = "",
        custom_attributes: JsonObject | None = None,
    ) -> Contact:
        """Make a contact; Chatwoot refuses a second one with the same e-mail, number
        (`+` and digits) or identifier.
        """
        given: JsonObject = {
            "name": name,
            "email": email,
            "phone_number": phone_number,
            "identifier": identifier,
            "custom_attributes": custom_attributes,
        }
        path = f"{self._root}/contacts"
        reply = self._ask(
            ("admin",),
            "POST",
            path,
            json={field: value for field, value in given.items() if value},
            repeat_safe=False,
            timeout_s=SHORT_TIMEOUT_S,
        )
        return self._contact("POST", path, reply)

    def update_contact(self, contact_id: int, fields: JsonObject) -> Contact:
        """Change fields of a contact and return it; attributes are merged."""
        path = f"{self._root}/contacts/{contact_id}"
        reply = self._ask(
            ("admin",), "PATCH", path, json=fields, timeout_s=SHORT_TIMEOUT_S
        )
        return self._contact("PATCH", path, reply)

    def remove_contact_attributes(self, contact_id: int, names: list[str]) -> None:
        """Remove custom attributes of a contact."""
        path = f"{self._root}/contacts/{contact_id}/destroy_custom_attributes"
        body: JsonObject = {"custom_attributes": list(names)}
        self._ask(("admin",), "POST", path, json=body, timeout_s=SHORT_TIMEOUT_S)

    def _search(self, text: str, is_meant: Callable[[Contact], bool]) -> Contact | None:
        path = f"{self._root}/contacts/search"
        for page in range(1, MAX_SEARCH_PAGES + 1):
            reply = self._ask(
                ("admin",),
                "GET",
                path,
                params={"q": text, "page": page},
                timeout_s=SHORT_TIMEOUT_S,
            )
            rows = self._objects(reply, path=path)
            found = (read_contact(row) for row in rows)
            match = next((c for c in found if c is not None and is_meant(c)), None)
            meta = object_at(reply, "meta") if isinstance(reply, dict) else {}
            if match is not None or meta.get("has_more") is not True:
                return match
        return None

    def _contact(self, method: str, path: str, reply: JsonValue) -> Contact:
        """Read `payload`, which in the answer to a POST wraps it once more."""
        data = object_at(reply, "payload") if isinstance(reply, dict) else {}
        contact = read_contact(object_at(data, "contact") or data)
        if contact is None:
            raise self._unexpected(method, path)
        return contact
