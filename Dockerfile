# The bridge's image: web, worker, beat and migrate are the same one with another
# command, see docker-compose.yml.

FROM python:3.11.15-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/venv/bin:$PATH

# msgfmt, which compiles the translations; it stays behind in this stage.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gettext \
    && rm -rf /var/lib/apt/lists/*

RUN python -m venv /opt/venv
COPY requirements/base.txt requirements/base.txt
RUN pip install --requirement requirements/base.txt

WORKDIR /app
COPY . .
RUN python manage.py compilemessages \
    && python manage.py collectstatic --noinput --verbosity=0 \
    && python -m compileall -q .


FROM python:3.11.15-slim

RUN groupadd --system --gid 10001 bridge \
    && useradd --system --uid 10001 --gid bridge --home-dir /app --no-create-home bridge

COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001:10001
EXPOSE 8000

# No HEALTHCHECK here: worker and beat do not answer HTTP. Each service has its own in
# docker-compose.yml.
CMD ["gunicorn", "--config", "gunicorn.conf.py", "--bind", "0.0.0.0:8000"]
