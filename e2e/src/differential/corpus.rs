//! Cases that are kept: a line of JSON each, as `e2e fuzz` prints them, or the seeds of many.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::fuzz::{self, Finding, Lane};
use super::generate::Protocol;
use super::history::History;

/// A line of the corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// the random cases of these seeds
    Seeds {
        /// what is spoken
        protocol: Protocol,
        /// the first one
        seed: u64,
        /// how many
        cases: u64,
    },
    /// a case spelled out
    Case(History),
}

/// Reads a corpus; empty lines and those that begin with `#` are left out. The error names the line.
pub fn parse(text: &str) -> Result<Vec<Entry>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|(at, line)| serde_json::from_str(line).with_context(|| format!("line {}: {line}", at + 1))).collect()
}

/// Runs all cases of a line; `None`: no difference.
pub fn run(lane: &mut Lane, entry: &Entry) -> Result<Option<Finding>> {
    fuzz::run_entry(lane, entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_lines_are_read_and_wrong_ones_named() {
        let text = "# seeds\n{\"protocol\":\"meta\",\"seed\":7,\"cases\":20}\n\n{\"steps\":[{\"on\":0,\"lines\":\"mn\\r\\n\"}]}\n";
        let entries = parse(text).unwrap();
        assert_eq!(entries.first(), Some(&Entry::Seeds { protocol: Protocol::Meta, seed: 7, cases: 20 }));
        assert!(matches!(entries.get(1), Some(Entry::Case(history)) if history.steps.len() == 1));
        assert!(parse("\n{\"protocol\":\"meta\"}").unwrap_err().to_string().starts_with("line 2"));
    }
}
