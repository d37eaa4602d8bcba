//! Bytes of a metadump.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidecar::protocol::dump::{self, DumpLine};

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((line, used))) = dump::parse(rest) {
        assert!((1..=rest.len()).contains(&used));
        assert_eq!(dump::parse(&rest[..used - 1]), Ok(None));
        if let DumpLine::Item(item) = line {
            let mut key = Vec::new();
            item.key.decode_into(&mut key);
            assert!((1..=250).contains(&key.len()));
        }
        rest = &rest[used..];
    }
});
