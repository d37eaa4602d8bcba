//! Every command with every number and kind of arguments: a product of commands and tails.

use anyhow::Result;
use e2e::memcached::Suite;

use crate::endpoints::Endpoints;
use crate::script::Case;

const COMMANDS: &[&str] = &[
    "get",
    "gets",
    "gat",
    "gats",
    "set",
    "add",
    "replace",
    "append",
    "prepend",
    "cas",
    "incr",
    "decr",
    "delete",
    "touch",
    "flush_all",
    "version",
    "verbosity",
    "bget",
    "cache_memlimit",
    "lru",
    "lru_crawler",
    "slabs",
    "misbehave",
    "debugtime",
    "debugitem",
    "extstore",
    "refresh_certs",
    "stat",
    "statss",
    "nonsense",
    "ge",
    "getx",
    "SET",
];

/// `K` is a key that exists with the value 10, `M` one that does not.
const TAILS: &[&str] = &[
    "",
    " ",
    " noreply",
    " K",
    " M",
    " K K M K",
    " K noreply",
    " K 0",
    " K 1",
    " K 5 noreply",
    " K x",
    " K -1",
    " 0 K",
    " 100 K M",
    " x K",
    " -1 K",
    " K 0 0",
    " K 0 0 x",
    " K 0 0 -1",
    " K 0 0 1",
    " K 5 0 1",
    " K x 0 1",
    " K 0 x 1",
    " K 0 0 1 noreply",
    " M 0 0 1",
    " M 0 0 1 noreply",
    " K 0 -1 1",
    " K 0 0 1 1",
    " K 0 0 1 0",
    " K 0 0 1 x",
    " K 0 0 1 1 noreply",
    " K 0 0 1 noreply noreply",
    " K 0 0 2",
    " K 0 0 0",
    " K 0 0 01",
    " K 0 0 1 1 1 1",
    " enable",
    " help",
    " mode flat",
    " tune 10 25 0.1 2.0",
    " automove 1",
    " reassign 1 1",
    " sleep 100",
    " tocrawl 0",
    " crawl x",
    " metadump",
    " 0",
    " 1",
    " 1 noreply",
    " 64",
    " a b c d e f g h i j k",
];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for command in COMMANDS {
        let mut case = Case::new(command, "with all tails");
        // A delayed flush is a matter of time, see timed.rs.
        let delayed = |tail: &str| *command == "flush_all" && [" 1", " 64", " 1 noreply"].contains(&tail);
        for tail in TAILS.iter().filter(|tail| !delayed(tail)) {
            let tail = tail.replace('K', "present").replace('M', "missing");
            // Whether a line takes data is told by what follows: data is either stored or an unknown command.
            case = case
                .ask("set present 0 0 2\r\n10\r\ndelete missing\r\n")
                .ask(format!("{command}{tail}\r\n1\r\nget present missing\r\n"));
        }
        cases.push(case);
    }
    cases
}

/// Commands one after the other in one write, on several connections.
fn pipelines() -> Vec<Case> {
    let mut long = String::new();
    for number in 0..2000 {
        let key = number % 7;
        long += &match number % 11 {
            0 => format!("set p{key} {number} 0 4\r\n{number:04}\r\n"),
            1 => format!("get p{key}\r\n"),
            2 => format!("incr p{key} {number}\r\n"),
            3 => format!("append p{key} 0 0 1\r\n5\r\n"),
            4 => format!("delete p{}\r\n", (key + 3) % 7),
            5 => format!("add p{key} 0 100 2\r\n17\r\n"),
            6 => format!("gat 1000 p{key} p{}\r\n", (key + 1) % 7),
            7 => format!("set p{key} 0 0 3 noreply\r\nabc\r\n"),
            8 => "get p0 p1 p2 p3 p4 p5 p6\r\n".to_owned(),
            9 => format!("prepend p{key} 0 0 2 noreply\r\n12\r\n"),
            _ => format!("touch p{key} 50\r\nwrong p{key}\r\n"),
        };
    }
    vec![
        Case::new("pipeline", "two thousand commands").ask(&long).ask("gets p0 p1 p2 p3 p4 p5 p6\r\n"),
        Case::new("pipeline", "all answers come before the end of the connection").last(&long),
        Case::new("pipeline", "several connections")
            .ask_on(1, "set q 0 0 1\r\n1\r\n")
            .ask_on(2, "incr q 5\r\nget q\r\n")
            .ask_on(3, "append q 0 0 1\r\n0\r\nincr q 1\r\n")
            .ask_on(1, "gets q\r\n")
            .ask_on(2, "cas q 0 0 1 <cas:q>\r\n7\r\n")
            .ask_on(1, "cas q 0 0 1 <cas:q>\r\n8\r\nget q\r\n"),
        Case::new("pipeline", "large values between small ones").ask(format!(
            "set r 0 0 500000\r\n{}\r\nget r\r\nappend r 0 0 1\r\nx\r\nget r r\r\ndelete r\r\nget r\r\n",
            "v".repeat(500_000)
        )),
        long_values(),
    ]
}

/// Values that arrive in pieces, of lengths at which a piece ends before, within and behind the end of a value.
fn long_values() -> Case {
    let lengths = [16_383, 16_384, 65_490, 65_503, 65_504, 65_505, 65_506, 65_520, 131_072, 900_000];
    let mut case = Case::new("pipeline", "long values");
    let mut all = String::new();
    for length in lengths {
        let value: String = ('a'..='w').cycle().take(length).collect();
        case = case.ask(format!("set l{length} 7 0 {length}\r\n{value}\r\nget l{length}\r\n"));
        all += &format!(" l{length}");
    }
    case.ask(format!("get{all} missing\r\ngets{all}\r\ngat 1000{all}\r\ngats 1000 missing{all}\r\nversion\r\n"))
        .last(format!("get{all}\r\nget{all}\r\nversion\r\nquit\r\n"))
}

fn all(suite: Suite) -> Result<()> {
    let endpoints = Endpoints::start("commands", suite, &[])?;
    endpoints.compare_all(&cases())?;
    endpoints.compare_all(&pipelines())
}

#[test]
fn every_command_with_every_tail_on_1_6_38() -> Result<()> {
    all(Suite::Trixie)
}

#[test]
fn every_command_with_every_tail_on_1_6_45() -> Result<()> {
    all(Suite::Forky)
}
