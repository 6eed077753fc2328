# quantkit on a CPU: what measures, quantizes, gates, ships and verifies. Exporting from PyTorch takes
# the extra `export`: docker build --build-arg EXTRAS=export,hub,sign -t quantkit .
FROM python:3.12-slim AS build
COPY pyproject.toml README.md LICENSE MANIFEST.in /source/
COPY quantkit /source/quantkit
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.12-slim
ARG EXTRAS=hub,sign
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir "$(echo /wheels/*.whl)[$EXTRAS]" \
    && rm -rf /wheels \
    && useradd --create-home --uid 10001 quantkit
# matplotlib's list of fonts and the analysis cache; both may go at any time.
ENV MPLCONFIGDIR=/tmp/matplotlib \
    QUANTKIT_CACHE=/tmp/quantkit \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONUNBUFFERED=1
USER quantkit
WORKDIR /work
ENTRYPOINT ["quantkit"]
CMD ["--help"]
