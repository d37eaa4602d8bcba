//! The corpus of `e2e fuzz`.

use anyhow::{Result, ensure};
use e2e::differential::corpus::{parse, run};
use e2e::differential::fuzz::Lane;
use e2e::memcached::Suite;

const CORPUS: &str = include_str!("corpus.jsonl");

#[test]
fn the_corpus_is_answered_alike() -> Result<()> {
    let entries = parse(CORPUS)?;
    for suite in Suite::TESTED {
        let mut lane = Lane::new("corpus", suite)?;
        let mut found = Vec::new();
        for entry in &entries {
            found.extend(run(&mut lane, entry)?.map(|finding| finding.to_string()));
        }
        ensure!(found.is_empty(), "{}", found.join("\n\n"));
    }
    Ok(())
}
