# The server as an image. `docker build .` makes the one for production; the
# stage `development` restarts the server when a source file changes.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg COMMIT=$(git rev-parse HEAD) .

ARG PYTHON=python:3.13-slim-trixie

# --- what is needed to build, and stays behind --------------------------------
FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv --without-pip /opt/metro-backend
COPY setup.cfg pyproject.toml LICENSE README* ./
COPY metro_backend metro_backend
COPY twisted twisted
# The wheel is built once, with those that it needs; what is installed comes from them alone.
# The last command writes Twisted's list of plugins, which nobody may write later.
# Versions are setup.cfg's matter:
# hadolint ignore=DL3013
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --wheel-dir /wheels . \
 && pip --python /opt/metro-backend/bin/python install \
        --no-cache-dir --no-index --find-links /wheels metro-backend \
 && /opt/metro-backend/bin/python -c \
        'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))'

# --- a server that starts again when /src changes (docker-compose.dev.yml) ----
FROM build AS development
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/metro-backend/bin/python install --editable '.[dev]' \
 && install -d -o 10001 -g 10001 /var/lib/metro-backend
ENV PATH=/opt/metro-backend/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    MOSMETRO_STATE_DIR=/var/lib/metro-backend
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["watchfiles", "--filter", "python", \
            "twistd --nodaemon --pidfile= metro-backend --demo", "metro_backend", "twisted"]

# --- the server ---------------------------------------------------------------
FROM ${PYTHON}
ARG VERSION=unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="metro-backend" \
      org.opencontainers.image.description="Update, mirror and statistics server of a mobile app" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /opt/metro-backend /opt/metro-backend
RUN install -d -o 10001 -g 10001 /var/lib/metro-backend
ENV PATH=/opt/metro-backend/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    MOSMETRO_STATE_DIR=/var/lib/metro-backend
USER 10001:10001
WORKDIR /var/lib/metro-backend
VOLUME /var/lib/metro-backend
EXPOSE 8000
# Whether the process answers. Whether it should get requests is /readyz, for those who route them.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# Without --pidfile= a killed server leaves a file that keeps the next one, PID 1 as well, from starting.
ENTRYPOINT ["twistd", "--nodaemon", "--pidfile=", "metro-backend"]
