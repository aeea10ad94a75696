"""What `pip install .` installs: the three apps and their library, with their texts.

All else stands in pyproject.toml. The bridge as a product runs from its own checkout.
"""

from __future__ import annotations

from setuptools import find_packages, setup

APPS = ("conversations", "chatwoot_api", "dify_api", "bridge_project.lib")

setup(
    packages=[
        *find_packages(
            include=[name for app in APPS for name in (app, f"{app}.*")],
            exclude=["*.tests", "*.tests.*"],
        ),
        "bridge_project.lib",
        # The project's templates, which an installed app has to bring along.
        "conversations.templates",
    ],
    package_dir={"conversations.templates": "templates"},
    package_data={
        "": ["locale/*/LC_MESSAGES/*.po", "locale/*/LC_MESSAGES/*.mo"],
        "conversations": ["static/**/*"],
        "conversations.templates": ["**/*.html"],
    },
)
