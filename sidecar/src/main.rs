//! `memcached-sidecar`: the program.

use std::process::ExitCode;

use sidecar::config::Config;
use sidecar::life::access::Access;
use sidecar::{life, logging};

fn main() -> ExitCode {
    let config = match Config::from_process() {
        Ok(config) => config,
        Err(stop) => return stop.report(),
    };
    let access = match Access::load(&config) {
        Ok(access) => access,
        Err(stop) => return stop.report(),
    };
    logging::init(config.log_format, config.log_level);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => match runtime.block_on(life::start::run(config, access)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        },
        Err(error) => failed(&error.into()),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // With its causes, in one line.
    tracing::error!("{error:#}");
    ExitCode::FAILURE
}
