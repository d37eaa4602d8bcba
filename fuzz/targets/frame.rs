//! Bytes from the replication port: frames, and the records in their batches. What is understood is written back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidecar::replication::message::{Frame, MAX_FRAME};
use sidecar::replication::record::Record;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((frame, used))) = Frame::decode(rest, MAX_FRAME) {
        assert!((1..=rest.len()).contains(&used));
        assert!(matches!(Frame::decode(&rest[..used - 1], MAX_FRAME), Ok(None)));
        if let Frame::Batch { records, .. } = &frame {
            check_records(records);
        }
        let mut written = Vec::new();
        frame.encode(&mut written);
        // Bytes behind the known fields belong to later releases; they are skipped.
        let again = Frame::decode(&written, MAX_FRAME).expect("our own frame").expect("a whole frame");
        assert_eq!(format!("{:?}", again.0), format!("{frame:?}"));
        rest = &rest[used..];
    }
});

fn check_records(mut rest: &[u8]) {
    while let Ok((record, used)) = Record::decode(rest) {
        assert!((1..=rest.len()).contains(&used));
        let mut written = Vec::new();
        record.encode(&mut written);
        let (again, length) = Record::decode(&written).expect("our own record");
        assert_eq!((format!("{again:?}"), length), (format!("{record:?}"), written.len()));
        rest = &rest[used..];
    }
}
