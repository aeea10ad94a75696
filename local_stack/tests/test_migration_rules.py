"""The linter knows which changes old code does not survive."""

from __future__ import annotations

import pytest
from django_migration_linter.sql_analyser.analyser import (
    analyse_sql_statements,
    get_sql_analyser_class,
)

from local_stack.migration_rules import FIRST, OUR_APPS

ANALYSER = get_sql_analyser_class("django.db.backends.postgresql")


def errors(*statements: str) -> list[str]:
    found, _ignored, _warnings = analyse_sql_statements(ANALYSER, list(statements), [])
    return [issue.code for issue in found]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ('ALTER TABLE "t" ADD COLUMN "c" integer NOT NULL;', "NOT_NULL"),
        ('ALTER TABLE "t" DROP COLUMN "c" CASCADE;', "DROP_COLUMN"),
        ('ALTER TABLE "t" RENAME COLUMN "c" TO "d";', "RENAME_COLUMN"),
        ('ALTER TABLE "t" RENAME TO "u";', "RENAME_TABLE"),
        ('DROP TABLE "t" CASCADE;', "DROP_TABLE"),
    ],
)
def test_what_breaks_old_code_is_an_error(statement: str, code: str) -> None:
    assert errors(statement) == [code]


@pytest.mark.parametrize(
    "statement",
    [
        'ALTER TABLE "t" ADD COLUMN "c" integer DEFAULT 0 NOT NULL;',
        'ALTER TABLE "t" ADD COLUMN "c" integer NULL;',
        'CREATE TABLE "t" ("c" integer NOT NULL);',
    ],
)
def test_what_old_code_does_not_notice_is_allowed(statement: str) -> None:
    assert errors(statement) == []


def test_only_the_first_migrations_of_our_own_apps_are_left_out() -> None:
    assert FIRST == ("0001_initial",)
    assert set(OUR_APPS) == {"access", "chatwoot_api", "conversations", "dify_api"}
