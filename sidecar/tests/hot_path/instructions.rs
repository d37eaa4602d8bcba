//! Instructions of one get and one set, counted by callgrind: unlike times they are the same on a busy machine.
//!
//! The test runs itself under valgrind twice, with different numbers of requests; the difference is what the requests took.
//! The build is that of the tests, with overflow checks, so the numbers are for comparing only.

use std::process::Command;

use super::rig::Rig;

/// Recorded instructions of one request. Write the new number here when a change is meant, and say why in its commit.
const RECORDED: [(&str, u64); 2] = [("get", 2540), ("set", 4570)];
/// What may be added to the recorded number, in percent.
const TOLERANCE: u64 = 10;
const FEW: u64 = 2_000;
const MANY: u64 = 12_000;
/// Tells the test that it is the one that is counted: the kind of request and how many.
const COUNTED: &str = "RMC_COUNTED_REQUESTS";

#[test]
#[allow(clippy::disallowed_methods, reason = "this program is started by itself")]
fn requests_take_no_more_than_recorded() {
    if let Ok(counted) = std::env::var(COUNTED) {
        let (kind, count) = counted.split_once(' ').unwrap();
        let (mut rig, count) = (Rig::new(), count.parse().unwrap());
        match kind {
            "get" => rig.gets(count),
            _ => rig.sets(count),
        }
        return;
    }
    let mut wrong = Vec::new();
    for (kind, recorded) in RECORDED {
        let each = (count(kind, MANY) - count(kind, FEW)) / (MANY - FEW);
        println!("one {kind}: {each} instructions, recorded are {recorded}");
        if each * 100 > recorded * (100 + TOLERANCE) {
            wrong.push(format!("one {kind} takes {each} instructions, more than {recorded} and {TOLERANCE} %"));
        }
        // Else the guard would let pass what takes the gain back.
        if each * (100 + TOLERANCE) < recorded * 100 {
            wrong.push(format!("one {kind} takes {each} instructions, less than {recorded}: record the new number"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
}

/// The instructions of this program with so many requests.
fn count(kind: &str, requests: u64) -> u64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "instructions::requests_take_no_more_than_recorded", "--test-threads=1"]);
    let output = command.env(COUNTED, format!("{kind} {requests}")).output();
    let output = output.expect("valgrind counts the instructions; on Debian: apt-get install valgrind");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let collected = text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.unwrap_or_else(|| panic!("no count: {text}"))
}
