//! `e2e`: runs the pair and checks it from outside.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use e2e::differential::fuzz;
use e2e::memcached::{self, Suite};
use e2e::{application, bench, cluster, demo};

/// Runs a replicated pair of memcached and checks it from outside.
#[derive(Parser)]
#[command(version)]
enum Arguments {
    /// Print the path of a memcached that is new enough, fetching Debian's if there is none
    Memcached {
        /// Where it shall come from
        #[arg(long, value_enum, default_value = "any")]
        suite: Suite,
    },
    /// Run a pair as processes on this machine and show what it does; needs no root and leaves nothing running
    DemoLocal,
    /// Install the operator in the cluster of KUBECONFIG and show what a pair does
    Demo,
    /// Remove what `demo` put there
    DemoDown,
    /// Be a client of memcached; the cluster tests run this in a pod
    #[command(subcommand)]
    Client(application::Action),
    /// Measure what the pair costs, as ratios to memcached itself
    Bench(bench::Options),
    /// The same in the cluster of KUBECONFIG: a pair beside a memcached in a pod, under load from a third
    BenchCluster {
        /// Fewer and shorter rounds. Also by QUICK=1 in the environment
        #[arg(long)]
        quick: bool,
    },
    /// Ask memcached and a memcached behind the sidecar the same at random until an answer differs; show the smallest case
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    match arguments {
        Arguments::Memcached { suite } => {
            println!("{}", memcached::find(suite)?.path.display());
            Ok(())
        }
        Arguments::DemoLocal => demo::run(),
        Arguments::Demo => wait_for(cluster::demo::run()),
        Arguments::DemoDown => wait_for(cluster::demo::remove()),
        Arguments::Client(action) => application::run(&action),
        Arguments::Bench(options) => {
            anyhow::ensure!(bench::run(&options)?, "targets were missed");
            Ok(())
        }
        Arguments::BenchCluster { quick } => wait_for(cluster::bench::run(bench::is_quick(quick))),
        Arguments::Fuzz(options) => {
            anyhow::ensure!(fuzz::run(&options)?, "a difference was found");
            Ok(())
        }
    }
}

/// Runs what needs an executor of futures.
fn wait_for(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(work)
}
