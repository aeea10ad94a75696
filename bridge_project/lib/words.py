"""Search for words in a text that PostgreSQL keeps an index of."""

from __future__ import annotations

from django.contrib.postgres.search import SearchQuery

MAX_WORDS = 8


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
