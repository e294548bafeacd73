# The servers of rvoip in one image: docker build -t rvoip .
# What runs is the command: rvoip-proxy, with a registrar in it, by default. See docs/howto/containers.md.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/rvoip
WORKDIR /src
COPY . .
# 1: the hot paths as C, as docs/howto/compile.md says; 0: all of it Python.
ARG COMPILE=1
ARG EXTRAS=ws,redis,postgresql,amqp
RUN RVOIP_COMPILE=${COMPILE} /opt/rvoip/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /dist . \
    && /opt/rvoip/bin/pip install --no-cache-dir "$(echo /dist/rvoip-*.whl)[${EXTRAS}]" \
    # The list of plugins, which nobody can write later on.
    && /opt/rvoip/bin/twistd --help >/dev/null \
    && /opt/rvoip/bin/pip uninstall --yes pip setuptools

FROM ${BASE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 rvoip \
    && useradd --system --uid 10001 --gid rvoip --home-dir /var/lib/rvoip --shell /usr/sbin/nologin rvoip \
    && install --directory --owner=rvoip --group=rvoip --mode=0700 /var/lib/rvoip
COPY --from=build /opt/rvoip /opt/rvoip
COPY tap/docker/rvoip.toml /etc/rvoip/rvoip.toml
ENV PATH=/opt/rvoip/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER rvoip
WORKDIR /var/lib/rvoip
# Accounts, bindings and the key of the proxy.
VOLUME /var/lib/rvoip
EXPOSE 5060/udp 5060/tcp 5061/tcp
# SIGTERM drains for up to [service] drain_max seconds: give it as long (docker stop --time 45).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s \
    CMD ["rvoip", "status", "--config", "/etc/rvoip/rvoip.toml"]
ENTRYPOINT ["twistd", "--nodaemon", "--pidfile="]
CMD ["rvoip-proxy", "--config", "/etc/rvoip/rvoip.toml"]
