# plenum-operator in an image without shell or package manager, as user 65532. Build from the checkout:
#   docker build -f images/plenum-operator.Dockerfile -t plenum-operator .
# The last stage is also what the test rig builds its image from (tests/k8s/image.py): one list of files.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p plenum-operator

FROM scratch
COPY --from=build /lib64/ld-linux-x86-64.so.2 /lib64/ld-linux-x86-64.so.2
COPY --from=build /lib/x86_64-linux-gnu/libc.so.6 /lib/x86_64-linux-gnu/libc.so.6
COPY --from=build /lib/x86_64-linux-gnu/libm.so.6 /lib/x86_64-linux-gnu/libm.so.6
COPY --from=build /lib/x86_64-linux-gnu/libgcc_s.so.1 /lib/x86_64-linux-gnu/libgcc_s.so.1
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/plenum-operator /usr/local/bin/plenum-operator
COPY images/passwd /etc/passwd
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/plenum-operator"]
