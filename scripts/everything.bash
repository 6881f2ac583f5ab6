# Read by the scripts that build: all crates with all features, in each of them alike. One that chose others would
# build most of the dependencies again.
everything=(--workspace --features server/otel --locked)
