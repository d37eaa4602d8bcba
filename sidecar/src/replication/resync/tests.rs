//! What the steps of the simulation do not hold apart: between the line of a dump and the fetch that follows from it.

use super::*;
use crate::replication::record::Expiry;
use crate::replication::testing::{now, replicator};

/// The items that the log tells of, with their ends.
fn told(replicator: &Replicator) -> Vec<(Vec<u8>, Version, Expiry)> {
    let record_len = |bytes: &[u8]| Some(Record::decode(bytes).ok()?.1);
    let journal = replicator.shared.journal();
    let mut cursor = journal.log.seek(journal.log.base(), record_len).unwrap();
    let mut told = Vec::new();
    while let Some((mut bytes, _)) = journal.log.read(&mut cursor, usize::MAX, record_len).unwrap() {
        while !bytes.is_empty() {
            let (record, len) = Record::decode(bytes).unwrap();
            if let Record::Have { key, version, expiry } = record {
                told.push((key.to_vec(), version, expiry));
            }
            bytes = &bytes[len..];
        }
    }
    told
}

/// A client may give an item another end while its line waits: an old one would undo that on the other side.
#[test]
fn a_digest_tells_of_the_end_that_an_item_has_when_it_is_told() {
    let mut replicator = replicator();
    let version = replicator.shared.next_version(now(2));
    let plan = Plan { kind: ResyncKind::Incremental, newer_than: None, digest: Some(version) };
    replicator.resync_start(plan, now(2));
    // the table first, which is empty
    (0..2).for_each(|_| replicator.turn(now(2)));
    assert!(matches!(replicator.take_dump_command(), Some(DumpCommand::Start(_))));
    replicator.upstream_output().clear();
    assert_eq!(replicator.upstream_input(b"OK\r\n", now(2)), Ok(4), "lru_crawler enable");

    let line = |key: &str| {
        let version = version.raw();
        format!("key={key} exp=1700000900 la=1700000000 cas={version} fetch=no cls=1 size=64 flags=0\n")
    };
    let dump = ["touched", "gone", "stored-again"].map(line).concat();
    assert_eq!(replicator.dump_input(dump.as_bytes(), now(2)), Ok(dump.len()));
    let asked = String::from_utf8(std::mem::take(replicator.upstream_output())).unwrap();
    assert_eq!(asked.matches("touched").count(), 1, "{asked}");

    // What has become of them meanwhile: another end, nothing, another item.
    let me = |key: &str, exp: i64, cas: u64| format!("ME {key} exp={exp} la=0 cas={cas} fetch=no cls=1 size=64\r\n");
    let later = replicator.shared.next_version(now(3)).raw();
    let answers = me("touched", 30, version.raw()) + "EN\r\n" + &me("stored-again", 900, later);
    assert_eq!(replicator.upstream_input(answers.as_bytes(), now(5)), Ok(answers.len()));
    let ends = expiry_of_ttl(30, now(5));
    assert_eq!(told(&replicator), [(b"touched".to_vec(), version, ends)]);
}
