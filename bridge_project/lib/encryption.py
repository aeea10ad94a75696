"""Secrets at rest: a text field that is encrypted in the database.

The keys are `settings.FIELD_ENCRYPTION_KEYS`, newest first: the first one encrypts,
all of them decrypt, so that a key can be replaced without a moment of downtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression
from django.http import HttpRequest, HttpResponse

# Whether a row may be looked at although no key reads its secret.
_may_be_unreadable: ContextVar[bool] = ContextVar("may_be_unreadable", default=False)


class Unreadable(str):
    """Stands for a secret that no key reads: empty to whoever asks.

    Stored again it is the ciphertext that it was, so that nothing is lost of it.
    """

    __slots__ = ("ciphertext",)
    ciphertext: str

    @classmethod
    def of(cls, ciphertext: str) -> Unreadable:
        """Return the stand-in of a ciphertext."""
        found = cls("")
        found.ciphertext = ciphertext
        return found


class PagesWithoutKey:
    """Middleware: the admin's pages open when the key of the secrets is lost.

    Else a wrong FIELD_ENCRYPTION_KEYS would take every list from the people who have
    to find out, and the form in which a token can be entered anew.
    """

    PREFIX = "/admin/"

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Let the admin's views, and the templates that they fill, read rows so."""
        mark = _may_be_unreadable.set(request.path.startswith(self.PREFIX))
        try:
            return self._get_response(request)
        finally:
            _may_be_unreadable.reset(mark)


@contextmanager
def secrets_needed() -> Iterator[None]:
    """Raise ImproperlyConfigured for an unreadable secret inside of the admin, too."""
    mark = _may_be_unreadable.set(False)
    try:
        yield
    finally:
        _may_be_unreadable.reset(mark)


def readable(secret: str) -> str:
    """Return the secret, to be used; raises ImproperlyConfigured if no key reads it."""
    return decrypt(secret.ciphertext) if isinstance(secret, Unreadable) else secret


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        msg = (
            "FIELD_ENCRYPTION_KEYS is empty, so tokens cannot be stored. Make a key "
            "with `python -c 'from cryptography.fernet import Fernet; "
            "print(Fernet.generate_key().decode())'` and set it."
        )
        raise ImproperlyConfigured(msg)
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(plain: str) -> str:
    """Return the ciphertext of `plain` under the first key; "" stays ""."""
    if not plain:
        return ""
    cipher = _cipher(tuple(settings.FIELD_ENCRYPTION_KEYS))
    return cipher.encrypt(plain.encode()).decode("ascii")


def decrypt(stored: str) -> str:
    """Return the plain text of `stored`.

    Raises ImproperlyConfigured when none of the keys fits.
    """
    if not stored:
        return ""
    try:
        return _cipher(tuple(settings.FIELD_ENCRYPTION_KEYS)).decrypt(stored).decode()
    except InvalidToken as err:
        msg = (
            "A stored secret cannot be read with any key of FIELD_ENCRYPTION_KEYS. "
            "Put the key it was written with back into the list."
        )
        raise ImproperlyConfigured(msg) from err


def renewed(stored: str) -> str | None:
    """Return the ciphertext under the first key, None if it has that key already.

    Raises ImproperlyConfigured when none of the keys fits.
    """
    keys = tuple(settings.FIELD_ENCRYPTION_KEYS)
    if not stored or _is_readable(stored, keys=keys[:1]):
        return None
    return encrypt(decrypt(stored))


def _is_readable(stored: str, *, keys: tuple[str, ...]) -> bool:
    try:
        _cipher(keys).decrypt(stored)
    except InvalidToken:
        return False
    return True


# Only the type checker's TextField takes parameters, Django's own does not.
if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField


class EncryptedTextField(_TextField):
    """A text that is plain in Python and ciphertext in the database.

    It cannot be searched: equal texts have different ciphertexts.
    """

    def from_db_value(
        self,
        value: str | None,
        expression: Expression,
        connection: BaseDatabaseWrapper,
    ) -> str | None:
        """Decrypt what the database returned."""
        if value is None:
            return None
        try:
            return decrypt(value)
        except ImproperlyConfigured:
            if _may_be_unreadable.get():
                return Unreadable.of(value)
            raise

    def get_prep_value(self, value: Any) -> str | None:
        """Encrypt what goes to the database."""
        if isinstance(value, Unreadable):
            return value.ciphertext
        plain = super().get_prep_value(value)
        return None if plain is None else encrypt(plain)

    def get_lookup(self, lookup_name: str) -> Any:
        """Allow only `isnull`: a ciphertext equals nothing."""
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None
