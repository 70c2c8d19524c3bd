# Rollhouse in a venv of its own on a slim Python. Every package is pinned by hash; the last stage has no compiler, no pip in the venv, no database.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
COPY requirements/runtime.txt requirements/image.txt requirements/
RUN python3 -m venv /opt/rollhouse \
 && /opt/rollhouse/bin/pip install --quiet --no-compile --require-hashes -r requirements/runtime.txt \
 && python3 -m venv /build/tools \
 && /build/tools/bin/pip install --quiet --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY src src
RUN /build/tools/bin/hatchling build -t wheel -d /build/dist \
 && /opt/rollhouse/bin/pip install --quiet --no-compile --no-deps /build/dist/*.whl \
 && /opt/rollhouse/bin/pip uninstall --quiet --yes pip setuptools \
 && /build/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
      --output-file /opt/rollhouse/sbom.cdx.json /opt/rollhouse/bin/python \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/rollhouse/lib

FROM ${PYTHON}
ARG REVISION=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Rollhouse" \
      org.opencontainers.image.description="Multi-tenant SCIM 2.0 provisioning service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.cyclonedx.sbom="/opt/rollhouse/sbom.cdx.json"
COPY --from=build /opt/rollhouse /opt/rollhouse
ENV PATH=/opt/rollhouse/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ROLLHOUSE_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080 9090 9091
ENTRYPOINT ["rollhouse"]
CMD ["serve"]
