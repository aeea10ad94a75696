"""What a form of the admin may bring along."""

from __future__ import annotations

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

LOGIN = "/admin/login/"

pytestmark = pytest.mark.django_db


def test_a_form_with_a_file_is_refused(client: Client) -> None:
    file = SimpleUploadedFile("a.txt", b"x")

    answer = client.post(LOGIN, {"username": "a", "password": "b", "file": file})

    assert answer.status_code == 400


def test_a_form_with_thousands_of_fields_is_refused(client: Client) -> None:
    fields = {f"field-{i}": "1" for i in range(1001)}

    assert client.post(LOGIN, fields).status_code == 400


def test_a_form_that_is_too_large_is_refused(client: Client) -> None:
    limit = django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = b"username=" + b"x" * limit

    answer = client.post(LOGIN, body, content_type="application/x-www-form-urlencoded")

    assert (limit, answer.status_code) == (2 * 1024 * 1024, 400)
