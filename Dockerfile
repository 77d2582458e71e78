# orderwire in two stages: what builds stays behind, what runs is Python, the locked packages and the five of ours.
#
# Python 3.11 is what requirements.lock is resolved for and the tests run on; its patch releases are security fixes only, so that
# building again takes them. Images are named without a registry: Docker asks the one it is set up with.

FROM python:3.11-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
# The base image's pip installs into a virtual environment without pip: what runs cannot install anything.
RUN python -m venv --without-pip /opt/orderwire
WORKDIR /src
# Packages first: this layer changes with the lock only, not with every line of code.
COPY requirements.lock ./
RUN pip --python /opt/orderwire/bin/python install --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY ingest ingest
COPY stream stream
COPY processors processors
COPY aggregates aggregates
COPY destinations destinations
COPY query query
COPY orderwire orderwire
COPY simulator simulator
RUN pip --python /opt/orderwire/bin/python install --no-deps --no-build-isolation .

FROM python:3.11-slim-trixie
# A number, so that Kubernetes can see that it is not root; no home, no shell. `data` holds the embedded log and store, or the spool.
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin orderwire \
    && install --directory --owner orderwire --group orderwire /srv/orderwire /srv/orderwire/data
COPY --from=build /opt/orderwire /opt/orderwire
ENV PATH=/opt/orderwire/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/orderwire
USER 10001:10001
EXPOSE 8080 8081
# `serve` ends its roles in order on SIGTERM and needs 25 s at most (orderwire/serve/supervisor.py): give it 30 s and more.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
    CMD ["python", "-m", "orderwire.healthcheck", "receive", "process", "query"]
ENTRYPOINT ["orderwire"]
CMD ["serve"]
