//! `memcached-operator`: the program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use operator::check::Check;
use operator::reference;
use operator::settings::Settings;

/// Makes replicating pairs of memcached out of custom resources.
#[derive(Debug, Parser)]
#[command(name = "memcached-operator", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look after the resources of a cluster
    Run(Settings),
    /// Make a pair, write to one replica, read from the other, remove the pair
    Check(Check),
    /// Print the custom resource definition
    Crd,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(settings) => run(settings),
        Command::Check(arguments) => check(arguments),
        Command::Crd => print_crd(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> anyhow::Result<()> {
    sidecar::logging::init(settings.log_format, settings.log_level);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(operator::run::run(settings))
}

fn check(arguments: Check) -> anyhow::Result<()> {
    sidecar::logging::init(sidecar::config::LogFormat::Human, sidecar::config::LogLevel::Info);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(operator::check::check(arguments))
}

fn print_crd() -> anyhow::Result<()> {
    use std::io::Write;
    std::io::stdout().lock().write_all(reference::crd_yaml()?.as_bytes())?;
    Ok(())
}
