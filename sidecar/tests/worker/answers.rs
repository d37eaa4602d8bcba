//! What a worker makes of memcached's answers. Of one that is no answer to what was sent: the connection is given up, whoever
//! asked is told so by the end of its own, and no stripe stays held.

use super::rig::{LIMITS, NOW, Rig};
use sidecar::dataplane::worker::Content;

/// What is there of `k`.
const HERE: &str = "ME k exp=-1 la=0 cas=5 fetch=no cls=1 size=64\r\n";

/// A request on `k`, how memcached answers what comes before the wrong answer (`|`: the worker has its turn between; `ME`: what
/// is [`HERE`]), and whether the request is a write.
const REQUESTS: [(&[u8], &str, bool); 32] = [
    (b"get k\r\n", "", false),
    (b"gets k a b\r\n", "VALUE a 0 1 5\r\nx\r\n", false),
    (b"gat 5 k\r\n", "", true),
    (b"set k 0 0 1\r\nv\r\n", "", true),
    (b"add k 0 0 1\r\nv\r\n", "", true),
    (b"cas k 0 0 1 5\r\nv\r\n", "", true),
    (b"append k 0 0 1\r\nv\r\n", "", true),
    (b"append k 0 0 1\r\nv\r\n", "HD\r\n", true),
    (b"incr k 1\r\n", "", true),
    (b"incr k 1\r\n", "VA 1\r\n5\r\n", true),
    (b"incr k 1\r\n", "VA 1\r\n5\r\nHD\r\n", true),
    (b"delete k\r\n", "", true),
    (b"touch k 5\r\n", "", true),
    (b"version\r\n", "", false),
    (b"mg k v\r\n", "", false),
    (b"mg k v c k\r\n", "", false),
    (b"me k\r\n", "", false),
    (b"mg k T5\r\n", "", true),
    (b"mg k N5 v\r\n", "", true),
    (b"ms k 1\r\nv\r\n", "", true),
    (b"ms k 1 MA\r\nv\r\n", "", true),
    (b"ms k 1 MA\r\nv\r\n", "HD\r\n", true),
    (b"ms k 1 C5 I\r\nv\r\n", "", true),
    (b"ms k 1 C5 I\r\nv\r\n", "EN\r\n", true),
    (b"md k\r\n", "", true),
    (b"md k q\r\n", "", true),
    (b"md k x\r\n", "", true),
    (b"md k I\r\n", "VA 1 f0 t-1 c5 kk\r\nv\r\n", true),
    (b"ma k v\r\n", "", true),
    (b"ma k C5 v\r\n", "ME|VA 1\r\n5\r\nHD\r\n", true),
    (b"\x80\x01\0\x01\x08\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0kv", "", true),
    (b"\x80\x1d\0\x01\x04\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05k", "", true),
];

/// None of them fits any of the requests.
const WRONG: [&[u8]; 3] = [b"MN\r\n", b"STAT pid 1\r\n", HERE.as_bytes()];

/// What any answer is good for.
fn fits(request: &[u8], before: &str, wrong: &[u8]) -> bool {
    let any = request.starts_with(b"incr") && before == "VA 1\r\n5\r\n";
    any || request.starts_with(b"version") && wrong.starts_with(b"STAT")
        || request.starts_with(b"me") && wrong.starts_with(b"M")
}

#[test]
fn what_was_in_flight_is_found_out_and_its_stripe_released() {
    for (request, before, is_write) in REQUESTS {
        for wrong in WRONG.into_iter().filter(|wrong| !fits(request, before, wrong)) {
            let about = format!("{} {before:?} {}", request.escape_ascii(), wrong.escape_ascii());
            let mut rig = Rig::new();
            assert_ne!(rig.send(0, request), "", "{about}");
            for answers in before.split('|').filter(|answers| !answers.is_empty()) {
                let answers = if answers == "ME" { HERE } else { answers };
                assert!(rig.answer(answers.as_bytes()), "{about}");
                rig.sent(0);
            }
            assert!(!rig.answer(wrong), "{about}");
            rig.workers[0].upstream_lost();
            let client = rig.clients[0];
            assert!(rig.workers[0].session(client).is_some_and(|session| session.closing()), "{about}");
            rig.workers[0].close(client);
            rig.workers[0].upstream_connected(LIMITS, Content::Same, NOW);
            let asked = rig.sent(0);
            assert_eq!(asked, if is_write { "mg k v f t c k u\r\n" } else { "" }, "{about}");
            let waits = rig.send(1, b"set k 0 0 1\r\nw\r\n");
            assert_eq!(waits.is_empty(), is_write, "{about}: another write waits for the one in doubt");
            if is_write {
                let logged = rig.shared.journal().log.next();
                assert!(rig.answer(b"VA 1 f0 t-1 c5 kk\r\nv\r\n"), "{about}");
                assert!(rig.shared.journal().log.next() > logged, "{about}: what is there is logged");
                rig.workers[1].woken(NOW);
                assert!(rig.sent(1).starts_with("ms k 1"), "{about}: the other write goes on");
            }
        }
    }
}

/// The look before a write while a flush is swept changes nothing: there is nothing to find out.
#[test]
fn a_look_before_a_write_holds_nothing() {
    for request in ["delete k\r\n", "add k 0 0 1\r\nv\r\n", "ma k\r\n"] {
        let mut rig = Rig::new();
        let flush = rig.shared.next_version(NOW);
        rig.shared.begin_sweep(flush);
        assert_eq!(rig.send(0, request.as_bytes()), "me k\r\n");
        assert!(!rig.answer(b"STORED\r\n"));
        rig.workers[0].upstream_lost();
        rig.workers[0].upstream_connected(LIMITS, Content::Same, NOW);
        assert_eq!(rig.sent(0), "");
        assert!(rig.send(1, b"set k 0 0 1\r\nw\r\n").starts_with("ms k 1"));
    }
}

/// A look of ours at a stale item takes its win token: whoever is answered finds that it is given back.
#[test]
fn an_answer_waits_until_the_win_token_is_given_back() {
    let refused = "NS\r\nVA 1 f0 t-1 c5 kk W\r\nv\r\n";
    for (request, answer, told) in [
        ("touch k 5\r\n", "HD c5 W\r\n", "TOUCHED\r\n"),
        ("append k 0 0 1\r\nv\r\n", refused, "NOT_STORED\r\n"),
        ("gat 5 k\r\nappend k 0 0 1\r\nv\r\n", &format!("END\r\n{refused}"), "END\r\nNOT_STORED\r\n"),
    ] {
        for lost in [false, true] {
            let mut rig = Rig::new();
            rig.send(0, request.as_bytes());
            assert!(rig.answer(answer.as_bytes()), "{request:?}");
            assert!(rig.sent(0).starts_with("md k I "), "{request:?}");
            let client = rig.clients[0];
            assert!(rig.workers[0].session(client).is_some_and(|session| session.is_withheld()), "{request:?}");
            if lost {
                rig.workers[0].upstream_lost();
            } else {
                assert!(rig.answer(b"HD\r\n"), "{request:?}");
            }
            let session = rig.workers[0].session(client).expect("open");
            assert_eq!((session.is_withheld(), session.closing()), (false, lost), "{request:?}");
            assert_eq!(String::from_utf8_lossy(session.output()), told);
        }
    }
}

/// memcached may lose the version of a counter that it changes, and then others read its own small number until the version is
/// set once more. Behind a comparison that cannot be done blindly: so it is known before whether it succeeds.
#[test]
fn a_counter_behind_a_comparison_is_looked_at_first() {
    let binary = |cas: u8| {
        let mut packet = b"\x80\x05\0\x01\x14\0\0\0\0\0\0\x15\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        packet.extend_from_slice(&[cas, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, b'k']);
        packet
    };
    for (request, fits) in
        [(b"ma k C5 v\r\n".to_vec(), true), (b"ma k C6 v\r\n".to_vec(), false), (binary(5), true), (binary(6), false)]
    {
        let about = request.escape_ascii().to_string();
        let mut rig = Rig::new();
        assert_eq!(rig.send(0, &request), "me k\r\n", "{about}");
        assert_eq!(rig.send(1, b"set k 0 0 1\r\nv\r\n"), "", "{about}: the stripe is held");
        assert!(rig.answer(HERE.as_bytes()), "{about}");
        let sent = rig.sent(0);
        let lines: Vec<&str> = sent.lines().collect();
        assert!(lines.first().is_some_and(|line| line.starts_with("ma k ") && line.contains(" C")), "{about}: {sent}");
        let again = lines.get(1).is_some_and(|line| line.starts_with("ma k D0 E"));
        assert_eq!((again, lines.len()), (fits, if fits { 3 } else { 2 }), "{about}: {sent}");
        assert_eq!(lines.last(), Some(&"mg k v f t c k u"), "{about}");
        let version = lines[0].split(' ').find_map(|word| word.strip_prefix('E')).expect("a version");
        let answers = match fits {
            true => format!("VA 1\r\n6\r\nHD\r\nVA 1 f0 t-1 c{version} kk\r\n6\r\n"),
            false => "EX\r\nVA 1 f0 t-1 c5 kk\r\n5\r\n".to_owned(),
        };
        assert!(rig.answer(answers.as_bytes()), "{about}");
        rig.workers[1].woken(NOW);
        assert!(rig.sent(1).starts_with("ms k 1"), "{about}: the stripe is free again");
    }
}
