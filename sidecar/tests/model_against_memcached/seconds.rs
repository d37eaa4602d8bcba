//! What happens when time passes.

use crate::commands::push_timed;

pub(crate) enum Step {
    /// Several commands in one write. `{n}` stands for the second of the script's start plus n.
    Send(&'static str),
    /// Exactly these bytes in one write, which memcached has read before the next step.
    Bytes(&'static str),
    /// Seconds to wait.
    Wait(u32),
}

/// A line end per line, and the times.
pub(crate) fn push(bytes: &mut Vec<u8>, commands: &str, begin: u64) {
    for line in commands.lines() {
        let mut line = line.trim().as_bytes().to_vec();
        for seconds in 0..4 {
            let mut timed = Vec::new();
            push_timed(&mut timed, &line, &format!("{{{seconds}}}"), begin + seconds);
            line = timed;
        }
        bytes.extend_from_slice(&line);
        bytes.extend_from_slice(b"\r\n");
    }
}

use Step::{Bytes, Send, Wait};

pub(crate) const SCRIPTS: &[&[Step]] = &[
    // relative and absolute expiry; a dump still lists what expires in this second
    &[
        Send(
            "set a 0 1 1
             1
             set b 0 2 1
             1
             set c 0 0 1
             1
             ms d 1 T1 F7 E77
             1
             set e 0 {2} 1
             1
             set f 0 {1} 1
             1
             set never 0 0 1
             1
             set later 0 100 1
             1
             mg g N1 t
             mg a t
             mg e t",
        ),
        Wait(1),
        Send("lru_crawler metadump hash"),
        Send(
            "mg b t
             mg e t
             mg later t
             gets a d f g
             ma d N0 E5 t c
             me never
             mg later l
             append f 0 0 1
             1
             touch b 2
             gat 1 c
             lru_crawler metadump foo",
        ),
        Wait(1),
        Send(
            "get a b c d e f
             mg b t
             add c 0 0 1
             2
             me never",
        ),
        Wait(1),
        Send("get b c d"),
    ],
    // what was not accessed lately dies lazily, and a deadline in the future lets it live again
    &[
        Send(
            "set old 0 0 1
             1
             set old2 0 0 1
             1",
        ),
        Wait(2),
        Send(
            "set new 0 0 1
             1
             flush_all",
        ),
        Send("lru_crawler metadump hash"),
        Send(
            "get new old2
             set new 0 0 1
             2
             flush_all 1000
             get old old2 new",
        ),
        Wait(1),
        Send("get old old2 new"),
    ],
    // a flush in the future takes what is stored before its time, the same second included
    &[
        Send(
            "set a 0 0 1
             1
             flush_all 2
             set b 0 0 1
             1
             get a b",
        ),
        Wait(1),
        Send(
            "set c 0 0 1
             1
             get a b c",
        ),
        Wait(1),
        Send(
            "get a b c
             set d 0 0 1
             1
             flush_all {1}
             get d",
        ),
    ],
    // an item behind one that was not accessed lately survives a flush
    &[
        Send(
            "set first 0 0 1
             1
             set last 0 0 1
             1",
        ),
        Wait(2),
        Send(
            "add first 0 0 1
             2
             flush_all
             get first last",
        ),
    ],
    // what is held back: answers behind an incomplete value, commands behind a dump
    &[
        Bytes("set a 0 0 1\r\n1\r\nget a\r\nge"),
        Bytes("t a\r\nset b 0 0 5\r\nab"),
        Bytes("cde\r"),
        Bytes("\n"),
        Bytes("get a b\r\nset c 0 0 5000\r\nabc"),
        Bytes("lru_crawler metadump hash\r\n"),
        Bytes("set c 0 0 1 noreply\r\n1\r\nlru_crawler metadump foo\r\n"),
        Bytes("mn\r\nlru_crawler metadump hash\r\nmn\r\nget a\r\n"),
        Bytes("get b\r\n"),
        Bytes("lru_crawler metadump hash\r\nlru_crawler metadump hash\r\n"),
        Bytes("mn\r\n"),
        Bytes("lru_crawler disable\r\n"),
        Bytes("lru_crawler metadump hash\r\n"),
        Bytes("lru_crawler enable\r\nlru_crawler enable\r\n"),
        Bytes("set a 0 0 3\r\n10\r\n\r\nms a 2 E5\r\nabc\r\nset a 0 0 1\r\n1\r\ngets a\r\n"),
        Bytes("decr a 0\r\nget a\r\ndecr a 1\r\nquit\r\nget a\r\n"),
    ],
];
