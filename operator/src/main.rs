//! `memcached-operator`: the program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use operator::reference;

/// Makes replicating pairs of memcached out of custom resources.
#[derive(Debug, Parser)]
#[command(name = "memcached-operator", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the custom resource definition
    Crd,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
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

fn print_crd() -> anyhow::Result<()> {
    use std::io::Write;
    std::io::stdout().lock().write_all(reference::crd_yaml()?.as_bytes())?;
    Ok(())
}
