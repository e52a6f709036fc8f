# One static binary in an empty image: docker build -t pillion:dev .
FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /build
ENV RUSTFLAGS="-C target-feature=+crt-static"

# The dependencies alone, over empty sources: this layer is built again only when they change.
COPY Cargo.toml Cargo.lock ./
COPY engine/Cargo.toml engine/
RUN mkdir -p src benches engine/src engine/benches \
    && echo '//! Empty.' | tee engine/src/lib.rs > src/main.rs && echo 'fn main() {}' >> src/main.rs \
    # Cargo wants every target that the manifests name to be there.
    && touch benches/apiserver.rs benches/floor.rs engine/benches/review.rs \
    && cargo build --locked --release --bin pillion --target "$(rustc -vV | sed -n 's/^host: //p')"

COPY engine engine
COPY manifests/templates manifests/templates
COPY src src
ARG REVISION=unknown
ENV PILLION_REVISION=${REVISION}
# Cargo goes by the time of a file, and the real ones may be older than the empty ones.
# Without --target the static flag would hit build scripts and macros too, which cannot be static.
RUN touch src/main.rs engine/src/lib.rs \
    && cargo build --locked --release --bin pillion --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && cp target/*/release/pillion /pillion

FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Pillion" \
      org.opencontainers.image.description="A Kubernetes sidecar injector" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY LICENSE /LICENSE
COPY --from=build /pillion /pillion
# By number, so that the kubelet can see that it is not root.
USER 65532:65532
EXPOSE 8443 9402
ENTRYPOINT ["/pillion"]
