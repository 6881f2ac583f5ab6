//! `simmall`: a self-hosted mall for SIM data plans.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::cli::main()
}
