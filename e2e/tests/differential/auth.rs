//! Authentication: memcached started with `-Y FILE`, and the sidecar with `--auth-file FILE`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::client::Address;
use e2e::memcached::{Suite, find};
use e2e::process::{Process, TempDir, sidecar_executable};
use e2e::wait::wait_for;

use crate::compare::CasPairs;
use crate::endpoints::Endpoints;
use crate::script::{self, Case, Cut, Step};

/// Every form of a line that memcached takes.
const USERS: &str = "web:secret\r\nweb:next secret\nempty:\n:nobody\ncolon:a:b\n blank : x \n#c:d\nlast:end";

fn login(user: &str, password: &str) -> String {
    let token = format!("{user} {password}");
    format!("set auth 0 0 {}\r\n{token}\r\n", token.len())
}

/// What a client sends, piece by piece, each behind the answer to the one before: of what is answered in one turn before a
/// login, memcached sends the last answer only (it writes them all into the same place). Ours are all sent.
fn pieces(name: &str, pieces: &[&str]) -> Case {
    let mut case = Case::new("27", name);
    if let Some((last, first)) = pieces.split_last() {
        case.steps.extend(first.iter().map(|piece| Step::Await(0, piece.as_bytes().to_vec(), b"\r\n".to_vec())));
        case.steps.push(Step::Last(0, last.as_bytes().to_vec()));
    }
    case
}

/// What is sent before a client is let in.
fn before(suite: Suite) -> Vec<Case> {
    let good = login("web", "secret");
    let good = good.as_str();
    let one_line = [
        "get k",
        "gets k",
        "set k 0 0 1",
        "delete k",
        "incr k 1",
        "flush_all",
        "stats",
        "stats replication",
        "version",
        "watch",
        "lru_crawler metadump all",
        "shutdown",
        "config get cluster",
        "mg k v",
        "mg YQ== b v",
        "md k I",
        "ma k",
        "mn",
        "me k",
        "quit",
        "q",
        "",
        "nonsense",
        "GET / HTTP/1.1",
        "set k 0 0 -1",
        "set k 0 0 x",
        "set k 0 0",
    ];
    // a line, what would be its value, and on which version it is a login
    let with_value = [
        ("add k 0 0 10", "web secret", None),
        ("ms k 1", "very long value", None),
        ("ms k 10", "web secret", None),
        ("ms k 10 q", "web secret", None),
        ("SET k 0 0 10", "web secret", None),
        (" set k 0 0 10", "web secret", Some(Suite::Trixie)),
        ("setx k 0 0 10", "web secret", Some(Suite::Forky)),
        ("set k 0 0 10x", "web secret", None),
        ("set k 0 0 +10", "web secret", Some(Suite::Trixie)),
        ("set \0 0 0 10", "web secret", Some(Suite::Forky)),
    ];
    let logins = [
        "set k 0 0 10\r\nweb secret\r\n",
        "set  k  0  0  10 \r\nweb secret\r\n",
        "set k a b 10\r\nweb secret\r\n",
        "set k 0 0 10 noreply\r\nweb secret\r\n",
        "set k 0 0 10 a b c d e f g\r\nweb secret\r\n",
        "set k 0 0 010\r\nweb secret\r\n",
        "set k 0 0 0\r\n\r\n",
        "set k 0 0 8\r\nweb secret",
        "set k 0 0 9\r\nweb secret\r",
        "set k 0 0 11\r\nweb secret\r\n\n",
        "set k 0 0 9\r\nwebsecret\r\n",
        "set k 0 0 10\r\nweb secreT\r\n",
        "set k 0 0 11\r\nweb  secret\r\n",
        "set k 0 0 11\r\n web secret\r\n",
        "set k 0 0 11\r\nweb secret \r\n",
        "set k 0 0 15\r\nweb next secret\r\n",
        "set k 0 0 15\r\nweb secret more\r\n",
        "set k 0 0 12\r\nweb\0x secret\r\n",
        "set k 0 0 12\r\nweb secret\0x\r\n",
        "set k 0 0 5\r\nempty\r\n",
        "set k 0 0 6\r\nempty \r\n",
        "set k 0 0 7\r\n nobody\r\n",
        "set k 0 0 9\r\ncolon a:b\r\n",
        "set k 0 0 9\r\ncolon:a b\r\n",
        "set k 0 0 10\r\n blank  x  \r\n",
        "set k 0 0 4\r\n#c d\r\n",
        "set k 0 0 8\r\nlast end\r\n",
        "set k 0 0 7\r\nlast en\r\n",
        "set k 0 0 101\nweb secret\r\n",
        "set k 0 0 10\r\nweb secret\nx",
        "set k 0 0 10\r\nweb se",
    ];
    let mut cases = Vec::new();
    for line in one_line {
        cases.push(pieces(&format!("{line:?}"), &[&format!("{line}\r\n")]));
        // those two are not answered before more comes
        if !["", "set k 0 0 1"].contains(&line) {
            cases.push(pieces(&format!("{line:?} and a login"), &[&format!("{line}\r\n"), good]));
        }
    }
    for (line, value, login_on) in with_value {
        let name = format!("{line:?} with {value:?}");
        let (line, value) = (format!("{line}\r\n"), format!("{value}\r\n"));
        cases.push(match login_on {
            Some(on) if on == suite => pieces(&name, &[&(line + &value)]).shows("STORED"),
            _ => pieces(&name, &[&line, &value]),
        });
    }
    if suite == Suite::Trixie {
        // 1.6.45 takes the last byte of the line for a carriage return, and then answers twice
        cases.push(pieces("a bare line feed", &["set k 0 0 10\nweb secret\r\n"]).shows("STORED"));
    }
    cases.extend(logins.map(|login| pieces(&format!("{login:?}"), &[login])));
    let wrong = [login("web", "wrong"), login("nobody", "secret")];
    cases.extend([
        pieces("a login, and everything works", &[good, "set k 1 0 1\r\nv\r\n", "get k\r\nversion\r\n"])
            .shows("STORED")
            .shows("VALUE k 1 1\r\nv"),
        pieces("wrong, then right", &[&wrong[0], &wrong[1], good, "get k\r\n"])
            .shows("CLIENT_ERROR authentication failure")
            .shows("STORED"),
        pieces("strangers are told", &["get k\r\n"]).shows("CLIENT_ERROR unauthenticated"),
        pieces(
            "meta commands behind a login",
            &[good, "ms meta 1 k\r\nv\r\n", "mg meta v k\r\nmn\r\n", "md meta q\r\nmg meta v\r\n"],
        )
        .shows("VA 1 kmeta\r\n"),
        pieces("a meta set is no second login", &[good, "ms auth 10\r\nweb secret\r\n", "mg auth v\r\n"])
            .shows("VA 10\r\nweb secret"),
        pieces("a second login is a value like any other", &[good, good, "get auth\r\n"]).shows("web secret"),
        pieces("nothing of a login is stored", &[good, "delete auth\r\n", "get k0\r\n"]),
        pieces("the text protocol it is, for ever", &[good, "\u{80}\r\n", "get k\r\n"]),
        pieces("commands right behind a login", &[&(good.to_owned() + "set k 0 0 1\r\nv\r\nget k\r\n")]),
        pieces("a line that does not end", &[&"x".repeat(2049)]).one_segment(),
        pieces("a get that does not end", &[&("get ".to_owned() + &"k".repeat(2100))]).one_segment(),
        pieces("a long line that ends", &[&("x".repeat(3000) + "\r\n")]).one_segment(),
        pieces("a login in a long line", &[&format!("set {} 0 0 10\r\nweb secret\r\n", "k".repeat(1500))]),
        pieces("a long value", &[&format!("set k 0 0 8000\r\nweb {}\r\n", "s".repeat(7996))]),
        pieces(
            "a value as long as memcached's buffer",
            &[&format!("set k 0 0 16000\r\nweb {}\r\n", "s".repeat(15_996))],
        ),
        pieces("nothing", &[""]),
        pieces("a byte", &["s"]),
        pieces("two bytes", &["\r\n"]),
    ]);
    cases
}

/// 1.6.38 has no bound here: it waits for ever.
fn bounds() -> Vec<Case> {
    let too_long = "CLIENT_ERROR auth token too long";
    vec![
        pieces("more than the longest value", &["set k 0 0 16385\r\n", "get other\r\n"]).shows(too_long),
        pieces("4 GiB", &["set k 0 0 4294967295\r\n", "get other\r\n"]).shows(too_long),
        pieces("more than 4 GiB", &["set k 0 0 4294967296\r\n"]).shows("CLIENT_ERROR unauthenticated"),
        pieces("digits without end", &["set k 0 0 000000000010\r\n", "web secret\r\n"]),
    ]
}

fn same_as_memcached(test: &str, suite: Suite, cases: &[Case]) -> Result<()> {
    let directory = TempDir::new()?;
    let (users, socket) = (directory.path().join("users"), directory.path().join("clients.sock"));
    std::fs::write(&users, USERS)?;
    let users = users.display().to_string();
    let listen = format!("unix:{}", socket.display());
    let endpoints =
        Endpoints::start_apart(test, suite, &["-Y", &users], &["--auth-file", &users, "--listen", &listen])?;
    endpoints.compare_all(cases)?;
    // who comes by the unix socket is asked the same
    for case in cases {
        let expected = endpoints.reference(case, Cut::Whole)?;
        let seen = script::run(case, &Address::Unix(socket.clone()), &find(suite)?.version.to_string(), Cut::Whole)?;
        CasPairs::default().compare(&expected, &seen).map_err(anyhow::Error::msg).with_context(|| case.to_string())?;
    }
    Ok(())
}

#[test]
fn authentication_on_1_6_38() -> Result<()> {
    same_as_memcached("auth", Suite::Trixie, &before(Suite::Trixie))
}

#[test]
fn authentication_on_1_6_45() -> Result<()> {
    same_as_memcached("auth", Suite::Forky, &[before(Suite::Forky), bounds()].concat())
}

/// 1.6.38 is not imitated where it would wait for a stranger's gigabytes for ever.
#[test]
fn strangers_are_bounded_on_1_6_38() -> Result<()> {
    let directory = TempDir::new()?;
    let users = directory.path().join("users");
    std::fs::write(&users, USERS)?;
    let users = users.display().to_string();
    let endpoints = Endpoints::start_apart("auth-bounds", Suite::Trixie, &[], &["--auth-file", &users])?;
    let seen = script::run(&bounds()[0], &endpoints.ours(), "1.6.38", Cut::Whole)?;
    ensure!(seen.contains(b"CLIENT_ERROR auth token too long\r\n"), "{seen:?}");
    ensure!(seen.contains(b"CLIENT_ERROR unauthenticated\r\n"), "{seen:?}");
    Ok(())
}

/// How a program that was started with a file of users ends: `None` is that it does not.
fn ends(command: &mut Command, runs: impl Fn(&str) -> bool, log: &Path) -> Result<Option<i32>> {
    let mut process = Process::spawn("program", command, log)?;
    wait_for("the program to run or to end", Duration::from_secs(20), || {
        if process.is_running() {
            return runs(&process.output()).then_some(None);
        }
        let status = process.wait_exit(Duration::from_secs(1)).ok()?;
        Some(Some(status.code().unwrap_or(-1)))
    })
}

/// What memcached refuses is refused, and what is accepted memcached accepts.
#[test]
fn files_that_memcached_refuses() -> Result<()> {
    let directory = TempDir::new()?;
    let users = directory.path().join("users");
    for (text, good) in [
        (USERS, true),
        ("u:p", true),
        (":", true),
        ("", false),
        ("\n", false),
        ("u:p\n\n", false),
        ("# users\nu:p\n", false),
        ("u:p\nnobody\n", false),
    ] {
        std::fs::write(&users, text)?;
        for suite in Suite::TESTED {
            let socket = directory.path().join("memcached.sock");
            let mut memcached = Command::new(find(suite)?.path);
            memcached.args(["-u", "root", "-vv", "-s"]).arg(&socket).arg("-Y").arg(&users);
            let log = directory.path().join("memcached.log");
            let _ = std::fs::remove_file(&log);
            let end = ends(&mut memcached, |output| output.contains("server listening"), &log)?;
            ensure!(end.is_none() == good, "memcached {suite:?} with {text:?}: {end:?}");
        }
        let mut sidecar = Command::new(sidecar_executable()?);
        sidecar.args(["--memcached", "unix:/nonexistent", "--pair-id", "x", "--replica-id", "0"]);
        sidecar.args(["--insecure-replication", "--admin-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
        sidecar.args(["--replication-listen", "127.0.0.1:0", "--auth-file"]).arg(&users);
        let log = directory.path().join("sidecar.log");
        let _ = std::fs::remove_file(&log);
        let end = ends(&mut sidecar, |output| output.contains("waiting for memcached"), &log)?;
        let said = std::fs::read_to_string(&log)?;
        ensure!(end == if good { None } else { Some(2) }, "the sidecar with {text:?}: {end:?} {said}");
        ensure!(
            good || said.lines().count() == 1 && said.contains("--auth-file: ") && !said.contains("nobody"),
            "{said}"
        );
    }
    Ok(())
}
