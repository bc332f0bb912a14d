#!/bin/sh
# klamm as a peer: KLAMM is its binary; with BENCH_TLS_CA, over TLS 1.3 and trusting only that CA. Name verification is the default.
[ -z "$BENCH_TLS_CA" ] || set -- "$@" -X security.protocol=SSL -X ssl.enabled.protocols=TLSv1.3 -X ssl.truststore.type=PEM -X "ssl.truststore.location=$BENCH_TLS_CA"
exec "${KLAMM:?the path of the klamm binary}" perf "$@"
