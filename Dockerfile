# The program alone, in an image without a shell. docker build -t analytics .
# What `analytics --version` says of the commit is an argument of the build, since the context has no repository:
# docker build --build-arg ANALYTICS_COMMIT="$(git log -1 --abbrev=9 --format='%h %cs')" -t analytics .
FROM rust:1-slim-trixie AS build
WORKDIR /source

# The dependencies, in a layer that changes with them only: ours are empty here.
COPY Cargo.toml Cargo.lock ./
COPY access_logs/Cargo.toml access_logs/
COPY api/Cargo.toml api/
COPY bench/Cargo.toml bench/
COPY bots/Cargo.toml bots/
COPY counts/Cargo.toml counts/
COPY entity/Cargo.toml entity/
COPY import/Cargo.toml import/
COPY increments/Cargo.toml increments/
COPY jobs/Cargo.toml jobs/
COPY migration/Cargo.toml migration/
COPY reports/Cargo.toml reports/
COPY storage/Cargo.toml storage/
COPY wolf/Cargo.toml wolf/
RUN mkdir -p src access_logs/src api/src bench/src bots/src counts/src entity/src import/src increments/src \
       jobs/src migration/src reports/src storage/src wolf/src \
    && for folder in */src; do echo '//! Empty.' > "$folder/lib.rs"; done && rm bench/src/lib.rs \
    && printf '//! Empty.\nfn main() {}\n' > src/main.rs && cp src/main.rs bench/src/main.rs \
    && cargo build --release --locked --package analytics

# Our crates, and then the program, which is all that another commit builds anew. What is copied is older than what was
# just built: cargo has to be told that it is new.
COPY access_logs access_logs
COPY api api
COPY bots bots
COPY counts counts
COPY entity entity
COPY import import
COPY increments increments
COPY jobs jobs
COPY migration migration
COPY reports reports
COPY storage storage
COPY wolf wolf
RUN find access_logs api bots counts entity import increments jobs migration reports storage wolf -name '*.rs' \
       -exec touch {} + \
    && cargo build --release --locked --package analytics
COPY build.rs ./
COPY src src
ARG ANALYTICS_COMMIT=""
RUN touch build.rs src/main.rs && cargo build --release --locked --package analytics && mkdir /data

FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build /source/target/release/analytics /usr/local/bin/analytics
# For an SQLite file, which is the default. Who wants to keep it mounts a volume here.
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /data
ENV ANALYTICS_LISTEN=0.0.0.0:8000
EXPOSE 8000
# nonroot
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["analytics", "healthcheck"]
ENTRYPOINT ["analytics"]
CMD ["serve"]
