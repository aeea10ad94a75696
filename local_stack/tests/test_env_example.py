"""Each variable that something reads has a line in .env.example, and the reverse."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from local_stack.data_dir import PROJECT_ROOT

EXAMPLE = PROJECT_ROOT / ".env.example"

PACKAGES = [
    "bridge_project",
    "chatwoot_api",
    "conversations",
    "dify_api",
    "local_stack",
]

# Where the environment is read. The sandbox's own switches are not for users.
READERS = [
    PROJECT_ROOT / "gunicorn.conf.py",
    *(
        path
        for package in PACKAGES
        for path in sorted((PROJECT_ROOT / package).rglob("*.py"))
        if "tests" not in path.parts
    ),
]

# Not for people to set: how our own processes, Django and the system talk.
INTERNAL = {
    "DJANGO_SETTINGS_MODULE",
    "HOSTNAME",
    "NO_COLOR",
    "OVERWRITE_PASSWORD",
}


def _listed() -> list[str]:
    return re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", EXAMPLE.read_text(), re.MULTILINE)


def _read_by_python(path: Path) -> set[str]:
    """First arguments of env(...), env.str(...), os.environ.get(...), environ[...]."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args:
            source, key = ast.unparse(node.func), node.args[0]
        elif isinstance(node, ast.Subscript):
            source, key = ast.unparse(node.value), node.slice
        else:
            continue
        if (
            re.match(r"(env\b|os\.environ\b|os\.getenv$|environ\b)", source)
            and isinstance(key, ast.Constant)
            and re.fullmatch("[A-Z][A-Z0-9_]+", str(key.value))
        ):
            names.add(str(key.value))
    return names


def _read_by_compose() -> set[str]:
    text = (PROJECT_ROOT / "docker-compose.yml").read_text()
    return set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))


def test_every_variable_that_python_reads_is_listed() -> None:
    known = INTERNAL | set(_listed())
    read = {str(p.relative_to(PROJECT_ROOT)): _read_by_python(p) for p in READERS}

    assert {name: names - known for name, names in read.items() if names - known} == {}


def test_guard_finds_what_the_settings_read() -> None:
    found = _read_by_python(PROJECT_ROOT / "bridge_project" / "settings.py")

    assert {"SECRET_KEY", "DATABASE_URL", "REDIS_URL", "FIELD_ENCRYPTION_KEYS"} <= found


def test_every_variable_of_the_compose_file_is_listed() -> None:
    assert _read_by_compose() >= {"POSTGRES_PASSWORD", "WEB_BIND", "WEB_PORT"}
    assert _read_by_compose() - set(_listed()) == set()


def test_nothing_is_listed_that_nobody_reads() -> None:
    sources = "".join(path.read_text() for path in READERS)
    sources += (PROJECT_ROOT / "docker-compose.yml").read_text()

    unread = [name for name in _listed() if not re.search(rf"\b{name}\b", sources)]

    assert unread == []


def test_every_variable_is_listed_once() -> None:
    listed = _listed()

    assert sorted(listed) == sorted(set(listed))


def test_no_secret_has_a_value() -> None:
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))

    secrets = {
        name: value
        for name, value in values.items()
        if re.search(r"PASSWORD|SECRET|TOKEN|KEY", name)
    }

    assert set(secrets) >= {"POSTGRES_PASSWORD", "SECRET_KEY", "FIELD_ENCRYPTION_KEYS"}
    assert set(secrets.values()) == {""}
