# docker build --tag REGISTRY/triton-loadgen:0.1.0 . && docker push REGISTRY/triton-loadgen:0.1.0
FROM python:3.12-slim-trixie AS builder
RUN pip install --no-cache-dir "uv>=0.9,<1"
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY loadgen/ loadgen/
COPY reports/ reports/
COPY charts/ charts/
RUN uv sync --no-dev --no-editable --compile-bytecode

FROM python:3.12-slim-trixie
WORKDIR /app
COPY --from=builder /app/.venv/ .venv/
COPY scenarios/ scenarios/
ENV PATH=/app/.venv/bin:$PATH HOME=/tmp LOADGEN_RUNS_DIR=/runs PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-create-home --home-dir /tmp loadgen && install --directory --owner=10001 --group=10001 /runs
USER 10001:10001
VOLUME /runs
# 8089: web UI, 5557: workers
EXPOSE 8089 5557
ENTRYPOINT ["locust"]
CMD ["--help"]
