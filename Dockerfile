# One static binary in an empty image, for amd64 and arm64:
#   docker buildx build --platform linux/amd64,linux/arm64 -t pillion:dev .
# Whatever the platform, the compiler runs on the one of the machine and nothing is emulated.
FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95-slim-bookworm AS build
RUN cargo install --locked --root /usr/local cargo-auditable@0.7.7
WORKDIR /build
ARG TARGETARCH
RUN case "$TARGETARCH" in \
      amd64) rust=x86_64 debian=x86-64 ;; \
      arm64) rust=aarch64 debian=aarch64 ;; \
      *) echo "no image is made for $TARGETARCH" >&2; exit 1 ;; \
    esac \
    && rustup target add "$rust-unknown-linux-gnu" \
    # The machine's own C compiler answers to this name too.
    && { command -v "$rust-linux-gnu-gcc" || { apt-get update \
      && apt-get install -y --no-install-recommends "gcc-$debian-linux-gnu" "libc6-dev-$TARGETARCH-cross" \
      && rm -rf /var/lib/apt/lists/*; }; } \
    && mkdir .cargo && printf '%s\n' \
      '[build]' "target = \"$rust-unknown-linux-gnu\"" \
      "[target.$rust-unknown-linux-gnu]" "linker = \"$rust-linux-gnu-gcc\"" \
      'rustflags = ["-C", "target-feature=+crt-static"]' > .cargo/config.toml \
    && ln -s "target/$rust-unknown-linux-gnu/release/pillion" built

COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY charts/pillion/files/crds.yaml charts/pillion/files/crds.yaml
COPY engine engine
COPY manifests/templates manifests/templates
COPY src src
ARG REVISION=unknown
# Cargo goes by the time of a file, and what is kept from the last build may be newer than the source.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target,sharing=locked \
    find charts engine src manifests -type f -exec touch {} + \
    && PILLION_REVISION="$REVISION" cargo auditable build --locked --release --features otlp --bin pillion \
    && cp built /pillion

FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Pillion" \
      org.opencontainers.image.description="A Kubernetes sidecar injector: native sidecars, probes and shared volumes from templates" \
      org.opencontainers.image.url="https://pillion.dev" \
      org.opencontainers.image.documentation="https://pillion.dev" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY LICENSE /LICENSE
# For collectors of traces with a public certificate; the API server's authority comes with the ServiceAccount.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /pillion /pillion
# By number, so that the kubelet can see that it is not root.
USER 65532:65532
EXPOSE 8443 9402
ENTRYPOINT ["/pillion"]
