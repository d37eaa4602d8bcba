//! Random conversations with few keys and values, so that commands meet.

use std::fmt;

use proptest::{collection::vec, prelude::*};

/// Every key that a conversation can store under, as a meta command names it.
pub(crate) const KEYS: [&str; 5] = ["a", "key2", "k%41~\u{e9}", "YQ==", LONGEST];
const LONGEST: &str = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    01234567890123456789012345678901234567890123456789";

#[derive(Clone)]
pub(crate) struct Conversation {
    pub(crate) turns: Vec<Turn>,
}

/// The report of a difference shows the bytes; a dump of their numbers would drown it.
impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} turns", self.turns.len())
    }
}

/// What is sent in one write.
#[derive(Debug, Clone)]
pub(crate) enum Turn {
    Pipeline(Vec<Vec<u8>>),
    Dump(&'static str),
}

/// Stands for the running second plus 100 in a command.
const SOON: &str = "$SOON";

impl Turn {
    pub(crate) fn bytes(&self, time: u64) -> Vec<u8> {
        match self {
            Turn::Pipeline(commands) => {
                let mut bytes = Vec::new();
                for command in commands {
                    push_timed(&mut bytes, command, SOON, time + 100);
                }
                bytes.extend_from_slice(b"mn\r\n");
                bytes
            }
            Turn::Dump(what) => format!("lru_crawler metadump {what}\r\n").into_bytes(),
        }
    }
}

/// Appends a command with the time in the place of its mark.
pub(crate) fn push_timed(bytes: &mut Vec<u8>, command: &[u8], mark: &str, time: u64) {
    match command.windows(mark.len()).position(|window| window == mark.as_bytes()) {
        Some(at) => {
            bytes.extend_from_slice(&command[..at]);
            bytes.extend_from_slice(time.to_string().as_bytes());
            push_timed(bytes, &command[at + mark.len()..], mark, time);
        }
        None => bytes.extend_from_slice(command),
    }
}

/// Turns of commands. Each command is built from a few random bytes: a tree of proptest's own choices is far slower.
pub(crate) fn conversation() -> impl Strategy<Value = Conversation> {
    let turn = vec(vec(any::<u8>(), BYTES_PER_COMMAND), 1..30);
    vec((any::<u8>(), turn), 1..4).prop_map(|turns| Conversation {
        turns: turns.into_iter().map(|(kind, commands)| build_turn(kind, &commands)).collect(),
    })
}

const BYTES_PER_COMMAND: usize = 24;

fn build_turn(kind: u8, commands: &[Vec<u8>]) -> Turn {
    match kind {
        0..230 => Turn::Pipeline(commands.iter().map(|bytes| build(&mut Choices(bytes))).collect()),
        230..243 => Turn::Dump("hash"),
        243.. => Turn::Dump("all"),
    }
}

/// Random bytes that decide. Zero, to which proptest shrinks, takes the first of each list.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> usize {
        let (&byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(byte)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.byte() % list.len()]
    }

    /// One time in `n`.
    fn rarely(&mut self, n: usize) -> bool {
        self.byte() % n == n - 1
    }

    fn key(&mut self) -> &'static str {
        self.pick(&["a", "a", "a", "a", "key2", "key2", KEYS[2], "YQ==", LONGEST])
    }

    fn exptime(&mut self) -> &'static str {
        match self.byte() % 13 {
            0..6 => "0",
            6..12 => self.pick(&["100", "2592000", SOON, "-1", "-2147483648", "1000000000", "2147483647", "2592001"]),
            _ => self.pick(&["x", "", "4294967297", "+5", "-", "00000000005", "000000000005"]),
        }
    }

    fn flags(&mut self) -> &'static str {
        if self.rarely(7) {
            self.pick(&["4294967296", "-1", "x", "", "+3"])
        } else {
            self.pick(&["0", "5", "4294967295"])
        }
    }

    /// Mostly what other commands give by `E`.
    fn cas(&mut self) -> &'static str {
        if self.rarely(5) {
            self.pick(&["0", "18446744073709551615", "18446744073709551616", "x", ""])
        } else {
            self.pick(&["5", "1000000", "1700000000000000"])
        }
    }

    fn noreply(&mut self) -> &'static str {
        self.pick(&["", "", "", "", "", "", " noreply", " extra"])
    }

    fn value(&mut self) -> Vec<u8> {
        let kind = self.byte() % 14;
        let more = self.byte();
        match kind {
            0..8 => NUMBERS[more % NUMBERS.len()].as_bytes().to_vec(),
            8..10 => TEXTS[more % TEXTS.len()].as_bytes().to_vec(),
            // Around both limits, for all lengths of keys and with and without flags. Not exactly around the lesser one:
            // appended to next to nothing it makes a real memcached answer with memory that it has not written.
            10 => vec![b'v'; 600 + more % 112],
            11 => vec![b'v'; 716 + more % 239],
            12 => vec![b'v'; 1720 + more],
            _ => {
                let mut value = vec![b' '; if more < 128 { 900 } else { 965 } + more % 50];
                value[0] = b'5';
                value
            }
        }
    }

    /// Meta flags in any order, almost always each at most once.
    fn meta_flags(&mut self) -> String {
        let mut text = String::new();
        let mut seen = Vec::new();
        for _ in 0..self.pick(&[0, 1, 1, 2, 2, 3, 4, 5, 6]) {
            let flag = match self.byte() % 24 {
                0..10 => self.pick(&PLAIN_FLAGS).to_owned(),
                10..12 => format!("T{}", self.exptime()),
                12..14 => format!("F{}", self.flags()),
                14..17 => format!("E{}", self.cas()),
                17 => format!("C{}", self.cas()),
                18..21 => self.pick(&MODES).to_owned(),
                _ => self.pick(&FLAGS_WITH_NUMBERS).to_owned(),
            };
            let letter = flag.as_bytes().first().copied();
            if !seen.contains(&letter) || self.rarely(50) {
                seen.push(letter);
                text.push(' ');
                text.push_str(&flag);
            }
        }
        text
    }
}

const NUMBERS: [&str; 17] = [
    "0",
    "9",
    "10",
    "99",
    "100",
    "5 ",
    " 5",
    "+7",
    "-1",
    "-0",
    "1x",
    "7 7",
    "007",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "9999999999999999999",
];
const TEXTS: [&str; 6] = ["x", "", "some text", "\0", "5\0", "\u{b}3"];
const PLAIN_FLAGS: [&str; 15] = ["v", "v", "k", "c", "c", "f", "t", "s", "l", "h", "u", "q", "b", "I", "x"];
const MODES: [&str; 12] = ["ME", "MR", "MA", "MP", "MS", "MI", "MD", "M+", "M-", "M", "Mx", "MEE"];
const FLAGS_WITH_NUMBERS: [&str; 22] = [
    "N0",
    "N30",
    "N-1",
    "R30",
    "R200",
    "R0",
    "D0",
    "D1",
    "D7",
    "D18446744073709551615",
    "D",
    "J0",
    "J13",
    "Jx",
    "O1",
    "Oabcdefghijklmnopqrstuvwxyz01234",
    "Oabcdefghijklmnopqrstuvwxyz012345",
    "P1",
    "L1",
    "z",
    "!",
    "5",
];

fn build(choices: &mut Choices<'_>) -> Vec<u8> {
    let line = match choices.byte() % 54 {
        0..8 => return classic_store(choices),
        8..20 => return meta_store(choices),
        20..36 => {
            let name = choices.pick(&["mg", "mg", "mg", "ma", "ma", "md", "me"]);
            format!("{name} {}{}", choices.key(), choices.meta_flags())
        }
        36..40 => {
            let name = choices.pick(&["get", "gets"]);
            let (first, second) = (choices.key(), choices.key());
            format!("{name} {first} {}", choices.pick(&["", second]))
        }
        40..42 => {
            let name = choices.pick(&["gat", "gats"]);
            format!("{name} {} {}", choices.exptime(), choices.key())
        }
        42..45 => {
            let name = choices.pick(&["incr", "decr"]);
            let key = choices.key();
            let delta = choices.pick(&["0", "1", "5", "99", "18446744073709551615", "x", "-1", "+1"]);
            format!("{name} {key} {delta}{}", choices.noreply())
        }
        45..47 => format!("delete {}{}", choices.key(), choices.noreply()),
        47..49 => format!("touch {} {}{}", choices.key(), choices.exptime(), choices.noreply()),
        49 => {
            let delay = choices.pick(&["", "", " 0", " -1", " 1000", " x", " 2592001"]);
            format!("flush_all{delay}{}", choices.noreply())
        }
        50..53 => return choices.pick(&ODD).as_bytes().to_vec(),
        _ => return long_key(choices),
    };
    (line + "\r\n").into_bytes()
}

fn with_value(line: String, value: &[u8]) -> Vec<u8> {
    [line.as_bytes(), b"\r\n", value, b"\r\n"].concat()
}

fn classic_store(choices: &mut Choices<'_>) -> Vec<u8> {
    let mode = choices.pick(&["set", "set", "add", "replace", "append", "prepend", "cas"]);
    let (key, flags, exptime) = (choices.key(), choices.flags(), choices.exptime());
    let value = choices.value();
    let cas = if mode == "cas" { format!(" {}", choices.cas()) } else { String::new() };
    with_value(format!("{mode} {key} {flags} {exptime} {}{cas}{}", value.len(), choices.noreply()), &value)
}

fn meta_store(choices: &mut Choices<'_>) -> Vec<u8> {
    let key = choices.key();
    let value = choices.value();
    with_value(format!("ms {key} {}{}", value.len(), choices.meta_flags()), &value)
}

fn long_key(choices: &mut Choices<'_>) -> Vec<u8> {
    let line = match choices.pick(&["get a ", "mg ", "delete ", "md ", "touch ", "incr ", "set ", "ms "]) {
        "set " => format!("set {LONGEST}x 0 0 3{}\r\nabc", choices.noreply()),
        "ms " => format!("ms {LONGEST}x 3{}\r\nabc", choices.meta_flags()),
        start => format!("{start}{LONGEST}x 1"),
    };
    (line + "\r\n").into_bytes()
}

/// Lines that are wrong, or right in an unusual way.
const ODD: [&str; 59] = [
    "\r\n",
    "\n",
    "x\r\n",
    "GET a\r\n",
    "get\r\n",
    "get a\n",
    "gat 100\r\n",
    "gat\r\n",
    "mg\r\n",
    "ms a\r\n",
    "ms\r\n",
    "me\r\n",
    "md\r\n",
    "ma\r\n",
    "ms a x\r\n",
    "ms a -1\r\n",
    "set a 0 0 -1\r\n",
    "set a 0 0 x\r\n",
    "set a 0 0\r\n",
    "incr a\r\n",
    "touch a\r\n",
    "delete\r\n",
    "delete noreply\r\n",
    "delete a 0\r\n",
    "delete a 0 noreply\r\n",
    "version\r\n",
    "verbosity 0\r\n",
    "verbosity 0 noreply\r\n",
    "verbosity\r\n",
    "verbosity x\r\n",
    "mn\r\n",
    "mn foo\r\n",
    "foo noreply\r\n",
    "stats detail x\r\n",
    "stats foo\r\n",
    "shutdown\r\n",
    "lru_crawler enable\r\n",
    "lru_crawler foo\r\n",
    "lru_crawler metadump foo\r\n",
    "lru_crawler mgdump 0\r\n",
    "set a 0 0 3\r\nabcd\r\n",
    "set a 0 0 3 noreply\r\nabcd\r\n",
    "ms a 3 E1000000\r\nabcd\r\n",
    "ms a 3 q\r\nabcd\r\n",
    "cas a 0 0 1\r\n1\r\n",
    "ms b/8= 2 b k\r\n12\r\n",
    "mg b/8= b k v\r\n",
    "me b/8= b\r\n",
    "me b/8= b x\r\n",
    "md b/8= b q\r\n",
    "ms === 1 b\r\n1\r\n",
    "get  a   key2 \r\n",
    "mg a v  k \r\n",
    " mg a v\r\n",
    " flush_all\r\n",
    // stale items and the right to refresh them
    "ms a 1 E5\r\n1\r\nmd a I T30 E1000000\r\nmg a c\r\nmg a c\r\n",
    "md a I\r\nmg a t\r\nmd a I\r\nmg a v h\r\n",
    "md a I x E1000000\r\nmg a v k\r\nmg a R30 c\r\n",
    "ms a 1 I C5 E9 c\r\n2\r\nmg a c t s\r\nmg a R200 t\r\n",
];
