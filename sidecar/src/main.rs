//! `memcached-sidecar`: the program.

use sidecar::config::Config;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Config::from_process() {
        Ok(config) => {
            println!("{config:?}");
            ExitCode::SUCCESS
        }
        Err(stop) => stop.report(),
    }
}
