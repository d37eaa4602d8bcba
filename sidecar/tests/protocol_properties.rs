//! Properties of the protocol layer: nothing panics, and nothing depends on how TCP cuts the bytes.

mod protocol_inputs;
mod protocol_session;

use proptest::prelude::*;
use protocol_session::{Patience, Seen, session, session_of};
use sidecar::protocol::binary::Sasl;
use sidecar::protocol::{Dialect, Limits, Parser, binary, dump, response};

fn limits() -> impl Strategy<Value = Limits> {
    (any::<bool>(), any::<bool>(), 60..300u64).prop_map(|(modern, flush_enabled, item_size_max)| Limits {
        item_size_max,
        dialect: if modern { Dialect::Modern } else { Dialect::Legacy },
        flush_enabled,
    })
}

/// Anything, commands, or commands with a wrong byte.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let damaged =
        (protocol_inputs::lines(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut input, at, byte)| {
            let at = at.index(input.len());
            input[at] = byte;
            input
        });
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..300),
        4 => protocol_inputs::lines(),
        2 => damaged,
    ]
}

fn answers() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        prop::sample::select(vec![
            "END\r\n",
            "HD\r\n",
            "HD c5 t-1\r\n",
            "EN\r\n",
            "MN\r\n",
            "STORED\r\n",
            "10\r\n",
            "OK\r\n",
            "VALUE k 1 2 3\r\nab\r\n",
            "VA 0 f0\r\n\r\n",
            "ERROR\r\n",
            "SERVER_ERROR x\r\n",
            "ME k exp=-1 la=1 cas=2\r\n",
            "key=k%20 exp=-1 la=1 cas=2 size=3 flags=4\n",
        ])
        .prop_map(|line| line.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

/// A few requests of the binary protocol, right or not.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![9 => 0..0x25_u8, 1 => any::<u8>()];
    let extras = prop_oneof![4 => prop::sample::select(vec![0_usize, 4, 8, 20]), 1 => 0..30_usize];
    let key = prop_oneof![6 => "[ak\u{1} ]{0,3}", 1 => "PLAIN", 1 => "k{240,260}", 1 => "[a-z]{30,34}"];
    let value = prop_oneof![4 => Just(0), 4 => 0..30_usize, 1 => 0..2000_usize];
    let wrong = prop_oneof![20 => Just((0_i64, 0_i64)), 1 => (-3..300_i64, -3..70_000_i64)];
    let packet = (opcode, extras, key, value, wrong, any::<u64>(), any::<u32>());
    let bytes = packet.prop_map(|(opcode, extras, key, value, (key_off, body_off), cas, opaque)| {
        let body = extras + key.len() + value;
        let mut bytes = vec![0x80, opcode];
        bytes.extend_from_slice(&((key.len() as i64 + key_off) as u16).to_be_bytes());
        bytes.extend_from_slice(&[extras as u8, 0, 0, 0]);
        bytes.extend_from_slice(&((body as i64 + body_off) as u32).to_be_bytes());
        bytes.extend_from_slice(&opaque.to_be_bytes());
        bytes.extend_from_slice(&(cas % 3).to_be_bytes());
        bytes.extend((0..extras).map(|at| (cas >> (at % 8 * 8)) as u8));
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend(std::iter::repeat_n(b'v', value));
        bytes
    });
    prop::collection::vec(bytes, 1..6).prop_map(|packets| packets.concat())
}

proptest! {
    #[test]
    fn steps_do_not_depend_on_segments(
        input in input(),
        pieces in prop::collection::vec(1..40usize, 1..8),
        limits in limits(),
    ) {
        let whole = session(&input, &[input.len()], Patience::None, &limits);
        let eager = session(&input, &pieces, Patience::None, &limits);
        let patient = session(&input, &pieces, Patience::AsTold, &limits);
        let bytes = session(&input, &[1], Patience::None, &limits);
        prop_assert_eq!(&whole, &eager);
        prop_assert_eq!(&whole, &patient);
        prop_assert_eq!(&whole, &bytes);
    }

    #[test]
    fn steps_of_packets_do_not_depend_on_segments(
        input in packets(),
        pieces in prop::collection::vec(1..40usize, 1..8),
        sasl in prop::sample::select(vec![Sasl::Off, Sasl::Granted, Sasl::Locked, Sasl::Begun]),
        limits in limits(),
    ) {
        let see = |pieces: &[usize], patience| {
            let mut parser = Parser::new();
            parser.set_sasl(sasl);
            session_of(parser, &input, pieces, patience, &limits)
        };
        let whole = see(&[input.len()], Patience::None);
        prop_assert_eq!(&whole, &see(&pieces, Patience::None));
        prop_assert_eq!(&whole, &see(&pieces, Patience::AsTold));
        prop_assert_eq!(&whole, &see(&[1], Patience::None));
        for seen in whole {
            let locked = sasl == Sasl::Locked || sasl == Sasl::Begun;
            if let (true, Seen::AskedBinary(request, _)) = (locked, &seen) {
                use binary::Command::{Refused, Sasl, SaslList, Version};
                prop_assert!(matches!(request.command, Refused(_) | Sasl(_) | SaslList | Version), "{:?}", request);
            }
        }
    }

    #[test]
    fn long_gets_do_not_depend_on_segments(
        keys in prop::collection::vec("[a-z]{1,60}", 1..300),
        blanks in 1..4usize,
        pieces in prop::collection::vec(1..3000usize, 1..8),
        limits in limits(),
    ) {
        let input = format!("gets {}\r\nversion\r\n", keys.join(&" ".repeat(blanks)));
        let input = input.as_bytes();
        let whole = session(input, &[input.len()], Patience::None, &limits);
        prop_assert_eq!(whole.len(), 2);
        prop_assert_eq!(&whole, &session(input, &pieces, Patience::None, &limits));
        prop_assert_eq!(&whole, &session(input, &pieces, Patience::AsTold, &limits));
    }

    #[test]
    fn an_answer_is_complete_once(input in answers()) {
        let mut rest = input.as_slice();
        while let Ok(Some((response, used))) = response::parse(rest) {
            prop_assert!((1..=rest.len()).contains(&used));
            for cut in 0..used {
                prop_assert_eq!(response::parse(&rest[..cut]), Ok(None));
            }
            prop_assert_eq!(response::parse(&rest[..used]), Ok(Some((response, used))));
            rest = &rest[used..];
        }
    }

    #[test]
    fn a_line_of_a_dump_is_complete_once(input in answers()) {
        let mut rest = input.as_slice();
        while let Ok(Some((line, used))) = dump::parse(rest) {
            prop_assert!((1..=rest.len()).contains(&used));
            prop_assert_eq!(dump::parse(&rest[..used - 1]), Ok(None));
            if let dump::DumpLine::Item(item) = line {
                let mut key = Vec::new();
                item.key.decode_into(&mut key);
                prop_assert!((1..=250).contains(&key.len()));
            }
            rest = &rest[used..];
        }
    }
}
