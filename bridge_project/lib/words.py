"""Search for words in a text that PostgreSQL keeps an index of."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.postgres.search import SearchQuery
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest
from django.http import HttpRequest
from django.utils.translation import gettext

MAX_WORDS = 8
# So many of the rows that are found are listed, forty pages.
MOST = 2000
# A frequent word is found often enough among so many of the newest rows.
NEWEST = 20_000


def words_query(text: str) -> SearchQuery | None:
    """Return a query for texts with all these words, or words that begin so.

    None if there is no word in the text. It fits an index of
    `SearchVector(…, config="simple")`.
    """
    words = [
        word for word in text.replace("\0", "").split() if any(map(str.isalnum, word))
    ][:MAX_WORDS]
    if not words:
        return None
    quoted = (word.replace("\\", "\\\\").replace("'", "''") for word in words)
    return SearchQuery(
        " & ".join(f"'{word}':*" for word in quoted), search_type="raw", config="simple"
    )


def newest(rows: QuerySet[Any], *, by: str) -> tuple[list[int], bool]:
    """Return the keys of the newest rows of a search, and whether there are older ones.

    `by` is the column with an index that grows with time. The order is hidden from
    PostgreSQL: it cannot know how rare words are together, and would rather read
    the whole table by that column, looking for the words in each row.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            # A frequent word is in every page of the table; with less memory, only the
            # page is noted, and each of its rows is looked through once more.
            cursor.execute("SET LOCAL work_mem = '64MB'")
            # Compiling costs more than it saves here.
            cursor.execute("SET LOCAL jit = off")
        edge = rows.model._default_manager.order_by(F(by).desc())
        floor = edge.values_list(by, flat=True)[NEWEST : NEWEST + 1].first()
        if floor is not None:
            found = _keys(rows.filter(**{f"{by}__gt": floor}), by=by)
            if len(found) > MOST:
                return found[:MOST], True
        found = _keys(rows, by=by)
    return found[:MOST], len(found) > MOST


def _keys(rows: QuerySet[Any], *, by: str) -> list[int]:
    hidden = Greatest(F(by), F(by)).desc()
    return list(rows.order_by(hidden).values_list("pk", flat=True)[: MOST + 1])


def listed(
    rows: QuerySet[Any], *, found: QuerySet[Any], request: HttpRequest, by: str
) -> QuerySet[Any]:
    """Return those of a list's rows that were found; say so if some are left out.

    The list's filters have been applied to both: they say where is searched.
    """
    keys, are_cut = newest(found, by=by)
    if are_cut and request.method == "GET":
        text = gettext(
            "Very many rows match. Only the newest %(most)d of them are listed; name "
            "more words, or set a filter, to find older ones."
        )
        messages.warning(request, text % {"most": MOST})
    return rows.filter(pk__in=keys)
