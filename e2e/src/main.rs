//! `e2e`: runs the pair and checks it from outside.

use anyhow::Result;
use clap::Parser;
use e2e::memcached::{self, Suite};

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
}

fn main() -> Result<()> {
    match Arguments::parse() {
        Arguments::Memcached { suite } => {
            println!("{}", memcached::find(suite)?.path.display());
            Ok(())
        }
    }
}
