# The engine over stdio, as the user whose project it is:
#   docker run --interactive --user "$(id -u):$(id -g)" --volume "$PWD:/project" engine-mcp
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /engine
COPY requirements.txt ./
RUN /engine/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /engine/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 engine
COPY --from=build /engine /engine
ENV PATH=/engine/bin:$PATH
USER engine
WORKDIR /project
ENTRYPOINT ["engine-mcp"]
CMD ["serve"]
