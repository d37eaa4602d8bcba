//! Bytes of memcached on a shared connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidecar::protocol::{Response, response};

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((answer, used))) = response::parse(rest) {
        assert!((1..=rest.len()).contains(&used));
        // What was enough is just enough.
        assert_eq!(response::parse(&rest[..used]), Ok(Some((answer, used))));
        assert_eq!(response::parse(&rest[..used - 1]), Ok(None));
        match answer {
            Response::Value(value) => {
                assert_eq!(value.raw.len(), used);
                assert_eq!(value.header_len + value.data.len() + 2, used);
            }
            Response::Meta(meta) => {
                let _ = (
                    meta.flags.cas(),
                    meta.flags.ttl(),
                    meta.flags.client_flags(),
                );
                let _ = (
                    meta.debug_key(),
                    meta.debug_cas(),
                    meta.debug_exp(),
                    meta.flags.size(),
                );
                assert!(meta.flags.iter().all(|(flag, _)| meta.flags.has(flag)));
            }
            Response::End | Response::Error { .. } | Response::Line(_) => {}
        }
        rest = &rest[used..];
    }
});
