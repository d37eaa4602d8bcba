//! Meta commands with all their flags.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::words::{announced, key, line_end, word};

/// Flags of `mg`. The times are far enough from each other and from those of [`SET`] that no second that goes by decides
/// whether a token is won.
const GET: &[&str] = &[
    "v",
    "v",
    "v",
    "k",
    "c",
    "f",
    "s",
    "t",
    "h",
    "l",
    "u",
    "q",
    "O7",
    "Oabc",
    "T0",
    "T100",
    "T1000",
    "T-1",
    "R10",
    "R300",
    "C<cas:@a>",
    "C<cas:@b>",
    "C<old:@a>",
];
const SET: &[&str] = &[
    "k",
    "c",
    "b",
    "s",
    "q",
    "O7",
    "F0",
    "F5",
    "F4294967295",
    "T0",
    "T100",
    "T1000",
    "T-1",
    "MS",
    "MR",
    "ME",
    "MA",
    "MP",
    "Mset",
    "Ma",
    "Mp",
    "N0",
    "N600",
    "I",
    "C<cas:@a>",
    "C<cas:@b>",
    "C<old:@a>",
    "C<old:@b>",
    "C1",
];
/// Never `x` without `I`: memcached keeps the cas number then, and ours is a new one as for all writes.
const DELETE: &[&str] =
    &["q", "k", "O7", "I", "I", "T100", "T1000", "x I", "C<cas:@a>", "C<cas:@b>", "C<old:@a>", "C1"];
const ARITHMETIC: &[&str] = &[
    "N0",
    "N600",
    "J0",
    "J7",
    "J18446744073709551615",
    "D0",
    "D1",
    "D7",
    "D100",
    "D18446744073709551615",
    "T0",
    "T100",
    "T1000",
    "M+",
    "M-",
    "MI",
    "MD",
    "Mincr",
    "v",
    "v",
    "t",
    "c",
    "k",
    "q",
    "O7",
    "C<cas:@a>",
    "C<cas:@b>",
    "C<old:@a>",
];
/// Those that no verb takes, or not so. An opaque that is too long is not among them: `mg` and `ma` do other things
/// then than memcached; see [`alone`] for the others. Nor is `E0`: a cas number of the client's own that several items
/// may have.
const ODD: &[&str] = &[
    "Tx",
    "T",
    "T-5",
    "T2592001",
    "T4102444800",
    "N",
    "Nx",
    "Rx",
    "R",
    "Cx",
    "C",
    "C-1",
    "C0",
    "C18446744073709551616",
    "C18446744073709551615",
    "E",
    "Ex",
    "F",
    "Fx",
    "F-1",
    "F4294967296",
    "D",
    "Dx",
    "J",
    "Jx",
    "S3",
    "S",
    "O",
    "M",
    "MX",
    "MSX",
    "P",
    "L1",
    "y",
    "1",
    "-",
    "\u{1}",
    "vx",
    "kx",
    "qq",
    "i",
    "O1234567890123456789012345678901",
];

/// A key of a verb, with its `b` if it is in base64. Of bytes that a line can name: those with a blank, a line feed or a
/// NUL are echoed in base64 always, by memcached not always.
fn name(plain: impl Strategy<Value = &'static str> + Clone) -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        24 => plain.prop_map(str::to_owned),
        5 => select(&["<b64:@a> b", "<b64:@b> b", "<b64:@\u{1}> b", "<b64:@\u{ff}> b"][..]).prop_map(str::to_owned),
        1 => select(&["Y b", "@ b", "=== b", "YQ== b b", "<b64:@a>"][..]).prop_map(str::to_owned),
    ]
}

/// Any key that there is, those that may be empty too.
fn any_key() -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![9 => key(), 1 => super::one_of(&["@v", "@w"])]
}

/// Flags from a list, each of them once as a rule. `own`: with cas numbers of the client's own.
fn flags(usual: &'static [&'static str], own: bool) -> impl Strategy<Value = String> + Clone {
    let flag = word(usual, ODD);
    let mine = if own { 3 } else { 0 };
    let number = prop_oneof![10 => Just(""), mine => Just("E<own>")];
    (vec(flag, 0..6), number, proptest::bool::weighted(0.03)).prop_map(move |(mut flags, number, twice)| {
        if !number.is_empty() {
            // What is stale then depends on the order of numbers, which ours are not in.
            flags.retain(|flag| *flag != "I" && !flag.starts_with('E'));
            flags.push(number);
        }
        let mut seen = Vec::new();
        flags.retain(|flag| {
            let letter = flag.as_bytes().first().copied();
            let new = !seen.contains(&letter);
            seen.push(letter);
            new || twice
        });
        flags.iter().map(|flag| format!(" {flag}")).collect()
    })
}

/// A command; `own`: some with a cas number of the client's own. Then no set marks a value as stale by comparing.
pub(super) fn command(lines: usize, own: bool) -> impl Strategy<Value = String> {
    let stored = (name(any_key()), announced(lines), flags(SET, own), line_end());
    let set = stored.prop_map(move |(key, (value, length), flags, end)| {
        let flags = if own { flags.replace(" I", "") } else { flags };
        let (key, b) = base64_flag(&key);
        format!("ms {key} {length}{b}{flags}{end}{value}\r\n")
    });
    let empty = (super::one_of(&["@v", "@w"]), flags(SET, false))
        .prop_map(|(key, flags)| format!("ms {key} 0{}\r\n\r\n", flags.replace(" I", "")));
    let get = (name(any_key()), flags(GET, own), line_end());
    let vivify = (super::one_of(&["@v", "@v", "@w"]), flags(GET, own), select(&["N0", "N600", "N30", "N-1"][..]));
    // Without a number of the client's own: memcached forgets it where the counter gets longer.
    let counted = (name(key()), flags(ARITHMETIC, false), line_end());
    let deleted = (name(any_key()), flags(DELETE, own), line_end());
    prop_oneof![
        30 => set,
        2 => empty,
        30 => get.prop_map(|(key, flags, end)| format!("mg {key}{flags}{end}")),
        5 => vivify.prop_map(|(key, flags, life)| format!("mg {key} {life}{flags}\r\n")),
        14 => counted.prop_map(|(key, flags, end)| format!("ma {key}{flags}{end}")),
        14 => deleted.prop_map(|(key, flags, end)| format!("md {key}{flags}{end}")),
        4 => (name(any_key()), word(&["", ""], &[" b", " x", " k", "\u{1}"])).prop_map(|(key, rest)| format!("me {key}{rest}\r\n")),
        3 => Just("mn\r\n".to_owned()),
        4 => alone(),
    ]
}

/// A `b` behind the key goes behind the length.
fn base64_flag(key: &str) -> (&str, &str) {
    match key.split_once(" b") {
        Some((key, "")) => (key, " b"),
        Some((key, _)) => (key, " b b"),
        None => (key, ""),
    }
}

/// Lines that are no commands, or have one odd thing.
fn alone() -> impl Strategy<Value = String> {
    select(
        &[
            "mg\r\n",
            "mg \r\n",
            "ms\r\n",
            "ms @a\r\n",
            "ms @a x\r\n",
            "ms @a -1\r\n",
            "ms @a 2x\r\n12\r\n",
            "ms @a 2 \r\n12\r\n",
            "ms  @a  2  T0\r\n12\r\n",
            "ms @a S2\r\n12\r\n",
            "ms @a 99999999999999999999\r\n",
            "md\r\n",
            "ma\r\n",
            "me\r\n",
            "me \r\n",
            "mn x\r\n",
            "mx @a\r\n",
            "m @a\r\n",
            "MG @a v\r\n",
            "mgv @a\r\n",
            " mg @a v\r\n",
            "mg  @a  v  k\r\n",
            "mg @a\tv\r\n",
            "mg @a x v\r\n",
            "ma @a x v\r\n",
            "ms @a 1 x\r\n1\r\n",
            "mg @a v\u{0}k\r\n",
            "md @a O123456789012345678901234567890123\r\n",
            "ms @a 1 O123456789012345678901234567890123\r\n1\r\n",
            "get @a\r\n",
            "gets @a @b @c @d\r\n",
            "set @a 0 0 2\r\n12\r\n",
            "flush_all\r\n",
            "quit\r\n",
        ][..],
    )
    .prop_map(str::to_owned)
}

/// Commands to damage: no cas numbers, of whose pattern damage could change what it may depend on; no time that could
/// become short; nothing that is empty.
pub(super) fn plain() -> impl Strategy<Value = String> + Clone {
    let flags = |usual: &'static [&'static str]| {
        let robust = |flag: &&str| !flag.contains(['<', 'x']) && !flag.starts_with(['T', 'N', 'R', 'E', 'c']);
        let list: Vec<&str> = usual.iter().copied().filter(robust).chain(["T86400", "T0"]).collect();
        vec(select(list), 0..5).prop_map(|flags| flags.iter().map(|flag| format!(" {flag}")).collect::<String>())
    };
    let stored = (key(), super::words::value(0), flags(SET));
    prop_oneof![
        5 => stored.prop_map(|(key, value, flags)| format!("ms {key} {}{flags}\r\n{value}\r\n", value.len())),
        5 => (key(), flags(GET)).prop_map(|(key, flags)| format!("mg {key}{flags}\r\n")),
        2 => (key(), flags(ARITHMETIC)).prop_map(|(key, flags)| format!("ma {key}{flags}\r\n")),
        2 => (key(), flags(DELETE)).prop_map(|(key, flags)| format!("md {key}{flags}\r\n")),
        1 => key().prop_map(|key| format!("me {key}\r\n")),
        1 => Just("mn\r\n".to_owned()),
        1 => key().prop_map(|key| format!("get {key}\r\n")),
    ]
}
