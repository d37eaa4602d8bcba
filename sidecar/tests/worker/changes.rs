//! Changes of one key side by side: one read-back serves them all, and nothing of them is lost.

use super::rig::{LIMITS, NOW, Rig};
use sidecar::dataplane::expect::SessionId;
use sidecar::dataplane::worker::Content;
use sidecar::replication::record::Record;

const READ_BACK: &str = "mg k v f t c k u";

/// Two clients of one worker send a request each in the same turn.
struct Turn {
    rig: Rig,
    clients: [SessionId; 2],
    /// The commands for memcached.
    sent: Vec<String>,
}

impl Turn {
    fn of(requests: [&str; 2]) -> Self {
        let mut rig = Rig::new();
        let clients = [rig.clients[0], rig.workers[0].open()];
        for (client, request) in clients.into_iter().zip(requests) {
            rig.workers[0].client_input(client, request.as_bytes(), NOW);
        }
        let sent = rig.sent(0).lines().map(str::to_owned).collect();
        Self { rig, clients, sent }
    }

    fn answer(&mut self, answer: &str) {
        assert!(self.rig.answer(answer.as_bytes()), "{answer:?}");
    }

    /// What the clients have been told.
    fn told(&mut self) -> [String; 2] {
        self.clients.map(|client| {
            let session = self.rig.workers[0].session(client).expect("open");
            String::from_utf8_lossy(session.output()).into_owned()
        })
    }

    /// The version that a command gives to the item.
    fn version(&self, command: usize) -> String {
        let version = self.sent[command].split(' ').find_map(|word| word.strip_prefix('E'));
        version.expect("a version").to_owned()
    }

    /// The records in the log: what they are, and of which version.
    fn logged(&self) -> Vec<String> {
        let journal = self.rig.shared.journal();
        let length = |bytes: &[u8]| Record::decode(bytes).ok().map(|(_, length)| length);
        let mut cursor = journal.log.seek(journal.log.base(), length).expect("all is there");
        let read = journal.log.read(&mut cursor, usize::MAX, length).expect("all is there");
        let mut rest = read.map_or(&[][..], |(bytes, _)| bytes);
        let mut records = Vec::new();
        while let Ok((record, length)) = Record::decode(rest) {
            records.push(match record {
                Record::Set { version, value, .. } => format!("set {} {}", version.raw(), value.escape_ascii()),
                Record::Delete { version, .. } => format!("delete {}", version.raw()),
                other => format!("{other:?}"),
            });
            rest = &rest[length..];
        }
        records
    }

    /// Whether another worker may write the key.
    fn is_free(&mut self) -> bool {
        self.rig.workers[1].woken(NOW);
        !self.rig.send(1, b"set k 0 0 1\r\nw\r\n").is_empty()
    }
}

#[test]
fn one_read_back_serves_all_changes_side_by_side() {
    for (requests, commands) in [
        (["incr k 1\r\n", "incr k 2\r\n"], vec!["ma k ", "ma k D0 ", "ma k ", "ma k D0 ", READ_BACK]),
        (["append k 0 0 1\r\na\r\n", "prepend k 0 0 1\r\nb\r\n"], vec!["ms k 1 ", "a", "ms k 1 ", "b", READ_BACK]),
        (["incr k 1\r\n", "append k 0 0 1\r\na\r\n"], vec!["ma k ", "ma k D0 ", "ms k 1 ", "a", READ_BACK]),
        (["append k 0 0 1\r\na\r\n", "ma k q\r\n"], vec!["ms k 1 ", "a", "ma k ", "ma k D0 ", READ_BACK]),
        (
            ["incr k 1\r\nincr k 1\r\n", "decr k 1\r\n"],
            vec!["ma k ", "ma k D0 ", "ma k ", "ma k D0 ", "ma k ", "ma k D0 ", READ_BACK],
        ),
        // Of two keys each has its own, and so has what is not side by side.
        (["incr k 1\r\n", "incr l 1\r\n"], vec!["ma k ", "ma k D0 ", READ_BACK, "ma l ", "ma l D0 ", "mg l "]),
        (
            ["incr k 1\r\nget l\r\n", "incr k 1\r\n"],
            vec!["ma k ", "ma k D0 ", READ_BACK, "get l", "ma k ", "ma k D0 ", READ_BACK],
        ),
        (
            ["incr k 1\r\ndelete k\r\n", "incr k 1\r\n"],
            vec!["ma k ", "ma k D0 ", READ_BACK, "md k", "ma k ", "ma k D0 ", READ_BACK],
        ),
    ] {
        let turn = Turn::of(requests);
        let as_expected = turn.sent.len() == commands.len()
            && turn.sent.iter().zip(&commands).all(|(sent, command)| sent.starts_with(command));
        assert!(as_expected, "{requests:?}: {:?}", turn.sent);
    }
}

#[test]
fn a_read_back_on_its_way_is_not_taken_back() {
    let mut rig = Rig::new();
    for _ in 0..2 {
        rig.workers[0].client_input(rig.clients[0], b"incr k 1\r\n", NOW);
        // Whoever sends may have sent a part of it.
        rig.workers[0].upstream_output();
    }
    let sent = rig.sent(0);
    assert_eq!(sent.lines().count(), 6, "{sent}");
}

/// Who changed the key first is not told before the item is in the log.
#[test]
fn all_are_told_in_their_order_behind_the_read_back() {
    let mut turn = Turn::of(["incr k 1\r\nget l\r\n", "get l\r\n"]);
    turn.answer("VA 1\r\n6\r\nHD\r\n");
    assert_eq!(turn.told(), ["", ""]);

    let mut turn = Turn::of(["incr k 1\r\nincr k 1\r\n", "incr k 2\r\nget l\r\n"]);
    turn.answer("VA 1\r\n6\r\nHD\r\nVA 1\r\n7\r\nHD\r\nVA 1\r\n9\r\nHD\r\n");
    assert_eq!(turn.told(), ["", ""]);
    assert!(!turn.is_free());
    let version = turn.version(5);
    turn.answer(&format!("VA 1 f0 t-1 c{version} kk\r\n9\r\n"));
    assert_eq!(turn.logged(), [format!("set {version} 9")]);
    assert_eq!(turn.told(), ["6\r\n7\r\n", "9\r\n"]);
    turn.answer("END\r\n");
    assert_eq!(turn.told(), ["6\r\n7\r\n", "9\r\nEND\r\n"]);
    for client in turn.clients {
        let session = turn.rig.workers[0].session(client).expect("open");
        session.output().clear();
        assert!(session.is_idle());
    }
    let newest = turn.rig.shared.next_version(NOW);
    assert!(turn.rig.shared.watermark(NOW) >= newest, "nothing is in flight any more");
    assert!(turn.is_free());
}

/// What memcached answers to two changes and their read-back (`{1}`, `{2}`: the versions of the changes), and what is in the
/// log then.
#[test]
fn what_became_of_any_of_them_is_logged() {
    const TOO_LARGE: &str = "SERVER_ERROR object too large for cache\r\n";
    let appends = ["append k 0 0 1\r\na\r\n", "append k 0 0 1\r\nb\r\n"];
    let counts = ["incr k 1\r\n", "incr k 1\r\n"];
    for (requests, answers, logged, again) in [
        (appends, "HD\r\nHD\r\nVA 3 f0 t-1 c{2} kk\r\nxab\r\n", "set {2} xab", false),
        // The second was refused.
        (appends, "HD\r\nNS\r\nVA 2 f0 t-1 c{1} kk\r\nxa\r\n", "set {1} xa", false),
        // The item is gone between them, or before they are read back.
        (appends, "HD\r\nNS\r\nEN\r\n", "delete {2}", false),
        (appends, "HD\r\nHD\r\nEN\r\n", "delete {2}", false),
        (appends, "NS\r\nNS\r\nEN\r\n", "", false),
        (appends, &format!("HD\r\n{TOO_LARGE}EN\r\n"), "delete {2}", false),
        (appends, &format!("{TOO_LARGE}NS\r\nEN\r\n"), "delete {2}", false),
        // memcached lost the version of a counter.
        (counts, "VA 1\r\n6\r\nHD\r\nVA 1\r\n7\r\nHD\r\nVA 1 f0 t-1 c5 kk\r\n7\r\n", "set {2} 7", true),
        (counts, "VA 1\r\n6\r\nHD\r\nNF\r\nNF\r\nVA 1 f0 t-1 c5 kk\r\n6\r\n", "set {2} 6", true),
        (counts, "NF\r\nNF\r\nNF\r\nNF\r\nEN\r\n", "", false),
    ] {
        let mut turn = Turn::of(requests);
        let versions = [turn.version(0), turn.version(2)];
        let fill = |text: &str| text.replace("{1}", &versions[0]).replace("{2}", &versions[1]);
        turn.answer(&fill(answers));
        let expected: Vec<String> = Some(fill(logged)).filter(|record| !record.is_empty()).into_iter().collect();
        assert_eq!(turn.logged(), expected, "{answers:?}");
        let sent = turn.rig.sent(0);
        assert_eq!(sent.starts_with(&format!("ma k D0 E{} C5\r\nme k", versions[1])), again, "{answers:?}: {sent}");
        assert_eq!(turn.is_free(), !again, "{answers:?}");
    }
}

/// The answers to the changes are there, the read-back is not: nobody is told, and what is there is found out.
#[test]
fn with_the_connection_all_of_them_are_in_doubt() {
    let mut turn = Turn::of(["incr k 1\r\n", "incr k 1\r\n"]);
    turn.answer("VA 1\r\n6\r\nHD\r\nVA 1\r\n7\r\n");
    turn.rig.workers[0].upstream_lost();
    for client in turn.clients {
        assert!(turn.rig.workers[0].session(client).is_some_and(|session| session.closing()));
        turn.rig.workers[0].close(client);
    }
    turn.rig.workers[0].upstream_connected(LIMITS, Content::Same, NOW);
    assert_eq!(turn.rig.sent(0), format!("{READ_BACK}\r\n"));
    assert!(!turn.is_free());
    let version = turn.version(2);
    turn.answer(&format!("VA 1 f0 t-1 c{version} kk\r\n7\r\n"));
    assert_eq!(turn.logged(), [format!("set {version} 7")]);
    assert!(turn.is_free());
}

/// memcached lost the version of a counter, and then the connection is lost: it gets one all the same.
#[test]
fn a_counter_without_a_version_gets_one_after_the_connection_is_back() {
    for (answers, value, again) in [
        ("", "7", true),
        ("VA 1\r\n7\r\n", "7", true),
        ("VA 1\r\n7\r\nHD\r\n", "7 ", true),
        ("VA 1\r\n7\r\nHD\r\nVA 1 f0 t-1 c5 kk\r\n7\r\n", "7", true),
        ("", "text", false),
    ] {
        let mut turn = Turn::of(["incr k 1\r\n", "get l\r\n"]);
        let version = turn.version(0);
        turn.answer(answers);
        turn.rig.sent(0);
        turn.rig.workers[0].upstream_lost();
        turn.rig.workers[0].upstream_connected(LIMITS, Content::Same, NOW);
        assert_eq!(turn.rig.sent(0), format!("{READ_BACK}\r\n"), "{answers:?}");
        turn.answer(&format!("VA {} f0 t-1 c5 kk\r\n{value}\r\n", value.len()));
        let sent = turn.rig.sent(0);
        assert_eq!(sent == format!("ma k D0 E{version} C5\r\nme k\r\n"), again, "{answers:?}: {sent}");
        let logged = turn.logged();
        assert_eq!(logged.contains(&format!("set {version} {value}")), again, "{answers:?}: {logged:?}");
        if again {
            turn.answer(&format!("HD\r\nME k exp=-1 la=0 cas={version} fetch=no cls=1 size=64\r\n"));
        }
        assert!(turn.is_free(), "{answers:?}");
    }
}

/// Whoever is answered finds that the win token is given back.
#[test]
fn all_wait_until_the_win_token_is_given_back() {
    let mut turn = Turn::of(["incr k 1\r\n", "incr k 1\r\n"]);
    let version = turn.version(2);
    turn.answer(&format!("VA 1\r\n6\r\nHD\r\nVA 1\r\n7\r\nHD\r\nVA 1 f0 t-1 c{version} kk X W\r\n7\r\n"));
    assert_eq!(turn.rig.sent(0), format!("md k I C{version} E{version}\r\n"));
    let withheld = |turn: &mut Turn| {
        turn.clients.map(|client| turn.rig.workers[0].session(client).is_some_and(|session| session.is_withheld()))
    };
    assert_eq!(withheld(&mut turn), [true; 2]);
    turn.answer("HD\r\n");
    assert_eq!(withheld(&mut turn), [false; 2]);
    assert_eq!(turn.told(), ["6\r\n", "7\r\n"]);
    assert!(turn.is_free());
}

/// A read of ours takes the token of a stale item, and before that is given back the item gets another version, which inherits
/// that it is taken: it is given back to that one, and only to that one.
#[test]
fn a_token_that_moved_on_is_given_back_where_it_is() {
    const REFUSED: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
    let gives_back = |sent: &str| sent.lines().filter(|line| line.starts_with("md k I C")).map(str::to_owned).collect();
    // What follows before the give-back, what memcached says to it, and the versions that get the token: the first one, and
    // that of the command at this line, if at all.
    for (behind, answers, moved_to) in [
        ("incr k 1\r\n", "VA 1\r\n6\r\nHD\r\nVA 1 f0 t-1 c{} kk X Z\r\n6\r\n", Some(0)),
        ("ms k 1 I C1\r\nv\r\n", "VA 1 f0 t-1 c5 kk X Z\r\n5\r\nHD\r\n", Some(1)),
        ("ms k 1 I C6\r\nv\r\n", "VA 1 f0 t-1 c5 kk X Z\r\n5\r\nEX\r\n", None),
        // It stays the same item.
        ("incr k 1\r\n", &format!("{REFUSED}{REFUSED}VA 1 f0 t-1 c5 kk X Z\r\n5\r\n"), None),
        // Somebody else makes it free, and another one takes it.
        (
            "md k I\r\nincr k 1\r\n",
            "VA 1 f0 t-1 c5 kk X Z\r\n5\r\nHD\r\nVA 1\r\n6\r\nHD\r\nVA 1 f0 t-1 c{} kk X Z\r\n6\r\n",
            None,
        ),
    ] {
        let mut rig = Rig::new();
        rig.send(0, b"incr k 1\r\n");
        let sent = rig.send(0, behind.as_bytes());
        let versions: Vec<&str> = sent
            .lines()
            .map(|line| line.split(' ').find_map(|word| word.strip_prefix('E')).unwrap_or_default())
            .collect();
        let last = versions.iter().rev().find(|version| !version.is_empty()).copied().unwrap_or_default();
        assert!(rig.answer(format!("{REFUSED}{REFUSED}VA 1 f0 t-1 c5 kk X W\r\n5\r\n").as_bytes()), "{behind:?}");
        assert!(rig.answer(answers.replace("{}", last).as_bytes()), "{behind:?}");
        let given: Vec<String> = gives_back(&rig.sent(0));
        let mut expected = vec!["md k I C5 E5".to_owned()];
        expected.extend(moved_to.map(|line: usize| format!("md k I C{0} E{0}", versions[line])));
        assert_eq!(given, expected, "{behind:?} {answers:?}");
    }
}
