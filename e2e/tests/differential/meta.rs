//! The meta commands: every flag with edge values, and the edge cases by their numbers in the list of them.

use anyhow::Result;
use e2e::memcached::Suite;

use crate::endpoints::Endpoints;
use crate::script::Case;

/// Every verb, on a key that is there and one that is not.
const VERBS: &[&str] =
    &["mg K", "md K", "ma K", "me K", "mg M", "md M", "ma M", "me M", "mg YQ== b", "ms K 2", "ms M 2"];

/// What a flag may look like.
// A number with E is there once: ours is another one, and it must not look like one that was there before.
const FLAGS: &[&str] = &[
    "",
    "b",
    "c",
    "f",
    "h",
    "k",
    "l",
    "q",
    "s",
    "t",
    "u",
    "v",
    "x",
    "I",
    "O",
    "O1",
    "Oabc k",
    "k Oabc",
    "P",
    "L1",
    "T0",
    "T-1",
    "T100",
    "T2592000",
    "T2592001",
    "T4102444800",
    "T",
    "Tx",
    "N0",
    "N-1",
    "N100",
    "N",
    "R0",
    "R30",
    "R-1",
    "R",
    "F0",
    "F5",
    "F-1",
    "F4294967295",
    "F4294967296",
    "F",
    "C0",
    "C1",
    "C9999999999999999999",
    "C",
    "C-1",
    "C18446744073709551616",
    "E0",
    "E5000000000000",
    "E18446744073709551615",
    "E",
    "Ex",
    "M",
    "MI",
    "MD",
    "M+",
    "M-",
    "ME",
    "MA",
    "MP",
    "MR",
    "MS",
    "MX",
    "MSS",
    "D",
    "D0",
    "D7",
    "Dx",
    "D18446744073709551615",
    "J",
    "J0",
    "J77",
    "Jx",
    "S3",
    "y",
    "1",
    "v v",
    "v c t f s k O7",
    "O7 k s f t c v",
    "T30 t",
    "t T30",
    "N30 t v",
    "N30 T60 t",
    "T60 N30 t",
    "N0 v q",
    "N30 v c",
    "R60 T100 t v",
    "I T30",
    "I q",
    "I c",
    "x I",
    "x I T30 F9",
    "x k O5",
    "x q",
    "q k O5",
    "v q",
    "C0 q",
    "MD N0 J5 v",
    "MD D100 v t c",
    "N0 J9 q",
    "N100 J9 v t c k",
    "MA N0 E6000000000000 s c",
    "MP N60 s",
    "MA s c",
    "MA q",
    "ME c",
    "MR c s",
    "MS I C1",
    "C1 I c",
    "F7 T100 c s k b",
    "O1234567890123456789012345678901",
    "O12345678901234567890123456789012",
    "q O12345678901234567890123456789012",
    "vlong klong qlong",
    "h l",
    "h l t u",
    "u v",
    "c c",
    "b v f h k l O1 q s t u x I T0 N0 R0",
    "b v f h k l O1 q s t u x I T0 N0 R0 F0",
    "b v f h k l O1 q s t u x I T0 N0 R0 F0 C0",
];

/// A product of verbs and flags, each line behind one that makes sure of what is there, and before one that shows it.
fn products() -> Vec<Case> {
    let mut cases = Vec::new();
    for verb in VERBS {
        let mut case = Case::new(verb, "with all flags");
        for flags in FLAGS {
            let line = format!("{verb} {flags}\r\n10\r\n");
            let line = line.replace('K', "there").replace(" M ", " missing ").replace(" M\r", " missing\r");
            case = case
                .ask("ms there 2 F3\r\n10\r\nmd missing q\r\nmd YQ== b q\r\nms YWI= 2 b T100\r\n10\r\nmn\r\n")
                .ask(line)
                .ask("mg there v f t s k c u\r\nmg missing v f t s k c u\r\nmg YQ== b v f t s k c u\r\nget there missing a\r\n")
                .ask("mg there k h\r\nmg missing k h\r\nmg a k h\r\nme there\r\nme missing\r\nme a\r\n");
        }
        cases.push(case);
    }
    cases
}

/// A case of lines between bars, each sent when the one before is answered.
fn one_by_one(case: Case, lines: &str) -> Case {
    lines.split('|').fold(case, |case, line| case.ask(format!("{line}\r\n")))
}

fn edges() -> Vec<Case> {
    let case = Case::new;
    let large = "v".repeat(1024 * 1024);
    let mut too_large = case("32", "ms of every mode that is too large drops the old value");
    for mode in ["", " MS", " ME", " MR", " MA", " MP", " MA N0", " C5", " q", " O1", " b"] {
        let (key, b) = if mode == " b" { ("ZTMy", " b") } else { ("e32", "") };
        too_large = too_large.ask(format!(
            "ms {key} 3{b}\r\nold\r\nms {key} {}{mode}\r\n{large}\r\nmg {key}{b} v\r\nget e32\r\n",
            large.len()
        ));
    }
    vec![
        case("21", "no-op and quiet")
            .ask("mn\r\nmn foo\r\n mn\r\n")
            .ask("mg e21 q v\r\nmg e21 q v k O9\r\nms e21 1 q\r\nx\r\nmg e21 q v k O9\r\nmn\r\n")
            .ask("ms e21 1 q ME\r\ny\r\nms e21z 1 q MR\r\ny\r\nms e21 1 q C1\r\ny\r\nms e21z 1 q C1\r\ny\r\nmn\r\n")
            .ask("ms e21 1 q\r\nxyz\r\nms e21 x q\r\nmn\r\n")
            .ask("md e21 q\r\nmd e21 q\r\nmd e21 q k O9\r\nmd e21 q C5\r\nmn\r\n")
            .ask("ma e21 q\r\nma e21 q N0 J5\r\nma e21 q v\r\nma e21 q C1\r\nma e21 v c\r\nmn\r\n")
            .shows("MN\r\n"),
        case("22", "errors in flags")
            .ask("ms e22 1\r\nx\r\nmg e22 v v\r\nmg e22 O12345678901234567890123456789012\r\nmg Y b v\r\n")
            .ask("ms YTIy 1 b\r\nx\r\nmg a22 k v\r\nmg YTIy b k v\r\nms a22 1\r\ny\r\nmg YTIy b k v\r\nmg a22 k v\r\n")
            .ask("me YTIy\r\nme YTIy b\r\nme YTIy b x\r\nme a22\r\nms YTIy 1 b\r\nx\r\nme a22\r\nme YTIy b b\r\n")
            .ask("ms IAoK 2 b\r\nhi\r\nmg IAoK b k v\r\nmg IAoK b O1 k s v\r\nmg IAoK b t k\r\nme IAoK b b\r\nma IAoK b N0 k\r\nmd IAoK b k O2\r\nmd IAoK b k O2\r\n")
            .ask("ms IAoK 1 b k s O1\r\n!\r\nms IAoK 1 b ME O1 k\r\n!\r\nms IAoK 1 b MA s k\r\n!\r\nmg IAoK b v\r\nmd IAoK b k\r\n")
            .ask("ma AAEC b N0 J41 k\r\nmg AAEC b v\r\nmg AAEC b T30 t\r\nmd AAEC b I\r\nmg AAEC b v\r\nmd AAEC b\r\n")
            .shows("CLIENT_ERROR duplicate flag")
            .shows("CLIENT_ERROR opaque token too long")
            .shows("CLIENT_ERROR error decoding key"),
        case("23", "vivify")
            .ask("mg e23 N30 v t\r\nmg e23 N30 v t\r\nget e23\r\nmg e23 v\r\n")
            .ask("ms e23 1 T100\r\nx\r\nmg e23 N30 v t\r\nmg e23z N-1\r\nmg e23z v\r\nmg e23y N0 T50 t k\r\nmg e23y t\r\n")
            .shows(" W\r\n")
            .shows(" Z\r\n"),
        case("24", "a read with a comparison")
            .ask("ms e24 3 F1\r\nabc\r\nmg e24 c k v\r\n")
            .ask("mg e24 C<cas:e24> v c\r\nmg e24 C1 v c\r\nmg e24 C<cas:e24> v T30 t\r\n"),
        case("25", "stale")
            .ask("ms e25 3 T200\r\nabc\r\nmd e25 I T30\r\nmg e25 v t\r\nmg e25 v\r\nget e25\r\nmg e25\r\n")
            .ask("md e25 I\r\nget e25\r\nmg e25 v s\r\nmg e25 v q\r\nms e25 3\r\nnew\r\nmg e25 v\r\n")
            .ask("mg e25 c k\r\n")
            .ask("md e25 I C<cas:e25>\r\nmg e25 c k\r\n")
            .ask("md e25 I C<old:e25>\r\nms e25 2 C<old:e25> I\r\nol\r\nmg e25 v t c k\r\nmg e25 v\r\n")
            .ask("ms e25 2 C<old:e25>\r\nol\r\nms e25 2 C9999999999999999999 I\r\nnw\r\nmg e25 v\r\n")
            .ask("md e25 x\r\nmg e25 v f s t\r\nmd e25 x I T60\r\nmg e25 v f s t\r\nmg e25\r\nmd e25 q I\r\nmg e25\r\n")
            .shows(" X W\r\n")
            .shows(" Z X\r\n"),
        // One by one: what a read-back takes is given back behind its answer.
        one_by_one(
            case("25", "what does not change a stale value leaves its token"),
            "ms t25 1 T200\r\n5|md t25 I|ma t25 C1|mg t25 v|md t25 I|ms t25 1 MA C1\r\nx|mg t25 v|ms t25 1\r\nx|md t25 I|\
             ma t25|mg t25 v|md t25 I|incr t25 1|mg t25 v|md t25 I|touch t25 100|mg t25 v|md t25 I|gat 100 t25|mg t25 v|\
             ms t25 1\r\n5|md t25 I|ma t25 v|mg t25 v|md t25 I|incr t25 1|mg t25 v|md t25 I|me t25|get t25|mg t25 v|\
             md t25 I|append t25 0 0 1\r\n1|mg t25 v|md t25 I|md t25 C1|mg t25 v|md t25 I|md t25 I C1|mg t25 v|\
             md t25 I|add t25 0 0 1\r\n1|mg t25 v|md t25 I|cas t25 0 0 1 1\r\n1|mg t25 v|md t25 I|ms t25 1 ME\r\n1|mg t25 v",
        )
        .shows(" X W\r\n"),
        case("25", "recache")
            .ask("ms e25r 1 T20\r\nx\r\nmg e25r R10 v\r\nmg e25r R30 v\r\nmg e25r R30 v\r\nmg e25r v\r\nms e25r 1 T20\r\nx\r\nmg e25r R30\r\n")
            .ask("ms e25r 1\r\nx\r\nmg e25r R30 v\r\n")
            .shows(" W\r\n"),
        case("26", "ms and its modes")
            .ask("ms e26 S1\r\nx\r\nms e26 1 MA N0 E5 s\r\na\r\nms e26 1 MA N0 E5 s\r\nb\r\nmg e26 v\r\n")
            .ask("ms e26 2 MP s c\r\n<<\r\nms e26p 2 MP N60 s\r\n<<\r\nmg e26p v t\r\nms e26q 2 MA\r\n<<\r\nmg e26 v s\r\n")
            .ask("ms e26 1 ME\r\nx\r\nms e26e 1 ME\r\nx\r\nms e26 1 MR\r\ny\r\nms e26r 1 MR\r\ny\r\nms e26 1 MX\r\ny\r\nmg e26 v\r\n")
            .ask("mg e26 c k\r\n")
            .ask("ms e26 1 C<cas:e26> c k\r\nz\r\nms e26 1 C1 k\r\ny\r\nms e26 1 MA C1\r\ny\r\nms e26x 1 C1\r\ny\r\nmg e26 v\r\n"),
        case("28", "meta commands as the first bytes of a connection")
            .ask_on(1, "mg e28m v\r\n")
            .ask_on(2, "mn\r\n")
            .ask_on(3, "ms e28m 1\r\nv\r\n")
            .ask_on(4, "me missing\r\n")
            .ask_on(6, "ma e28m\r\n")
            .ask_on(5, "md e28m I\r\n")
            .ask_on(1, b"\x80\r\nmg e28m v\r\n")
            .ask_on(2, b"\x80\x0a\r\nmn\r\n")
            .shows("MN\r\n"),
        case("28", "meta commands and keys of any bytes")
            .ask(b"ms e28\x01\x02\xff\x80 1\r\nv\r\nmg e28\x01\x02\xff\x80 k v\r\nget e28\x01\x02\xff\x80\r\n")
            .ask(b"ms e28\x7f\t\x0b 1 k O\x01\r\nv\r\nmg e28\x7f\t\x0b v k O\xff\x80\r\nme e28\x7f\t\x0b\r\n")
            .ask(b"ma e28\x80 N0 J5 k\r\nma e28\x80 v k\r\nmd e28\x80 I k\r\nmg e28\x80 k\r\nmd e28\x80 k\r\nmd e28\x80 k\r\n")
            .shows("HD"),
        case("29", "a client's own cas numbers are replaced by ours")
            .ask("ms e29 1 E1000\r\nx\r\nmg e29 v\r\nms e29 1 E5\r\ny\r\nmg e29 v\r\ntouch e29 100\r\nmg e29 v t\r\nms e29 1 E0\r\nz\r\nmg e29 v\r\n"),
        too_large.shows("SERVER_ERROR object too large for cache").one_segment(),
        case("33", "a read that is not to count takes the win token all the same")
            .ask("ms e33 1\r\nx\r\nmd e33 I\r\nme e33\r\nmg e33 u v\r\nmg e33 u v\r\nmg e33 v\r\n")
            .shows(" X W\r\n"),
        case("34", "the greatest cas number of a client; for ever")
            .ask("ms e34 1 E18446744073709551615 T0\r\nx\r\nmg e34 v t\r\n")
            .shows("t-1"),
        // One by one: see `known.rs` for what an answer under way does to a counter.
        one_by_one(
            case("ma", "counters"),
            "ma m1|ma m1 N0|ma m1 v|ma m1 D10 v t|ma m1 MD D5 v|ma m1 MD D100 v|get m1|ma m1 T100|mg m1 t v|ma m1 M+ v|\
             ma m1 M- v|ma m1 MI D18446744073709551615 v|ms m1 3 T50\r\nabc|ma m1|ma m1 q|ms m1 2 T50\r\n99|ma m1 v c k|\
             mg m1 v c k|ma m1 C<cas:m1> v|ma m1 C<cas:m1> v|ma m1 C1|mg m1 v s t|ma m2 N100 J7 t v c|mg m2 v t|\
             ma m1 O12345678901234567890123456789012|mg m1 v|ma missing O12345678901234567890123456789012|\
             ma e25n N0 J5|md e25n I|ma e25n v|mg e25n v|mg e25n v|ma IAoL b N0 J41 k O1 v|ma IAoL b v O1 k t|mg IAoL b v",
        ),
        case("meta", "with classic commands")
            .ask("set b1 5 0 3\r\nabc\r\nmg b1 v f s t\r\nms b1 2 F7 T100\r\nxy\r\nget b1\r\ngets b1\r\nmg b1 c k\r\n")
            .ask("cas b1 0 0 1 <cas:b1>\r\nz\r\nms b1 1 C<cas:b1>\r\ny\r\nappend b1 0 0 1\r\n!\r\nmg b1 v\r\ndelete b1\r\nmg b1 v k\r\n")
            .ask("incr b2 1\r\nma b2 N0 J9 v\r\nincr b2 1\r\ntouch b2 50\r\nmg b2 v t\r\nflush_all\r\nmg b2 v k\r\nms b2 1\r\n1\r\nmg b2 v\r\n"),
        case("meta", "long values, in pieces").ask({
            let mut lines = String::new();
            for length in [16_383, 16_384, 65_520, 131_072, 900_000] {
                let value: String = ('a'..='w').cycle().take(length).collect();
                lines += &format!("ms p{length} {length} q\r\n{value}\r\nmg p{length} v s O1 k\r\nmg p{length} s\r\nmg p{length} v\r\nmd p{length} I\r\nmg p{length} v\r\nmg p{length} v\r\n");
            }
            lines + "mn\r\n"
        })
        .one_segment(),
        case("meta", "a client that dies in the middle of a value")
            .ask("ms d1 3\r\nold\r\n")
            .abandon("ms d1 10\r\nhalf")
            .last("ms d1 3\r\nne")
            .ask("mg d1 v\r\n"),
    ]
}

fn all(suite: Suite) -> Result<()> {
    let endpoints = Endpoints::start("meta", suite, &["-t", "1", "-o", "no_lru_maintainer"])?;
    endpoints.compare_all(&edges())?;
    endpoints.compare_all(&products())
}

#[test]
fn every_meta_flag_on_1_6_38() -> Result<()> {
    all(Suite::Trixie)
}

#[test]
fn every_meta_flag_on_1_6_45() -> Result<()> {
    all(Suite::Forky)
}
