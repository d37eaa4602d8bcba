//! The meta commands across the pair: what is done by one protocol on one side is seen by another on the other, with the
//! stale marks, win tokens and binary keys that belong to an item.

use anyhow::{Context, Result, ensure};
use e2e::memcached::{Suite, find};
use e2e::process::{Pair, PairOptions, Replica};

/// Commands on one side, with `K` for the key, and what readers of the other side get then, once each.
struct Row {
    commands: &'static [&'static str],
    reads: &'static [(&'static str, &'static str)],
}

const fn row(commands: &'static [&'static str], reads: &'static [(&'static str, &'static str)]) -> Row {
    Row { commands, reads }
}

const ROWS: &[Row] = &[
    row(&["ms K 3 F7\r\nabc"], &[("get K", "VALUE K 7 3|abc|END"), ("mg K v f s k", "VA 3 f7 s3 kK|abc")]),
    row(&["set K 7 0 3\r\nabc"], &[("mg K v f t", "VA 3 f7 t-1|abc")]),
    row(&["ms K 1 ME\r\nx", "ms K 1 ME\r\ny"], &[("mg K v", "VA 1|x")]),
    row(&["ms K 1\r\nx", "ms K 2 MR F9\r\nyz"], &[("mg K v f", "VA 2 f9|yz")]),
    row(&["ms K 1\r\nx", "ms K 2 MA\r\nyz", "ms K 1 MP\r\n<"], &[("get K", "VALUE K 0 4|<xyz|END")]),
    row(&["ms K 1 MA N0\r\nx", "append K 0 0 1\r\ny"], &[("mg K v", "VA 2|xy")]),
    row(&["ms K 1 E5\r\nx", "ms K 1 E4\r\ny"], &[("mg K v", "VA 1|y")]),
    row(&["ms K 1\r\nx", "ms K 1 T-1\r\ny"], &[("mg K v", "EN")]),
    row(&["ms K 1\r\nx", "ms K 1 C1\r\ny", "md K C1"], &[("mg K v", "VA 1|x")]),
    row(&["ms K 1\r\nx", "md K q"], &[("mg K v", "EN"), ("get K", "END")]),
    row(
        // A number that got shorter would have a blank behind it or none: memcached drops it where another answer still
        // refers to the item, and the one before may.
        &["ma K N0 J5", "ma K D20", "ma K MD D7 q", "incr K 1"],
        &[("mg K v", "VA 2|19"), ("get K", "VALUE K 0 2|19|END")],
    ),
    row(&["ms K 1\r\nx", "mg K T-1"], &[("mg K v", "EN")]),
    row(&["mg K N60 v"], &[("mg K v", "VA 0 Z|"), ("get K", "VALUE K 0 0||END")]),
    row(&["mg K N0"], &[("mg K t", "HD t-1 Z")]),
    row(&["ms K 1 T20\r\nx", "mg K R30"], &[("mg K R30 v", "VA 1 Z|x")]),
    row(&["ms K 1 T20\r\nx", "mg K R30 T0"], &[("mg K t v", "VA 1 t-1 Z|x")]),
    row(
        &["ms K 1 F3\r\nx", "md K I"],
        &[("get K", "VALUE K 3 1|x|END"), ("mg K v f", "VA 1 f3 X W|x"), ("mg K", "HD Z X")],
    ),
    row(&["ms K 1\r\nx", "md K I", "mg K"], &[("mg K v", "VA 1 Z X|x")]),
    row(&["ms K 1\r\nx", "md K I T60", "mg K u v"], &[("mg K u v", "VA 1 Z X|x")]),
    row(&["ms K 1\r\nx", "md K I", "ms K 1\r\ny"], &[("mg K v", "VA 1|y")]),
    row(&["ms K 1\r\nx", "md K I", "mg K", "md K I"], &[("mg K v", "VA 1 X W|x")]),
    row(&["ms K 2\r\nxy", "md K x"], &[("mg K v f", "VA 0 f0|")]),
    row(&["ms K 2\r\nxy", "md K x I T60"], &[("mg K v", "VA 0 X W|")]),
    row(&["ma K N0 J5", "md K I", "ma K"], &[("mg K v", "VA 1 X W|6")]),
    row(&["ms K 1\r\nx", "LARGE"], &[("mg K v", "EN")]),
];

fn lines(replica: &Replica, request: &str) -> Result<String> {
    let mut client = replica.client()?;
    client.send(format!("{request}\r\nversion\r\n").as_bytes())?;
    let mut lines = Vec::new();
    loop {
        let line = client.line()?;
        if line.starts_with("VERSION ") {
            return Ok(lines.join("|"));
        }
        lines.push(line);
    }
}

/// Waits until the other side has applied everything. Each round trip of a write behind is one that the writes before have
/// had with memcached too, and none takes more than three.
fn settled(from: &Replica, to: &Replica) -> Result<()> {
    let mut client = from.client()?;
    for round in 0..4 {
        let marker = client.gets("marker")?.map_or(0, |value| value.cas) + round;
        client.set("marker", &marker.to_string())?;
        to.wait_value("marker", Some(&marker.to_string()))?;
    }
    Ok(())
}

fn perform(from: &Replica, row: &Row, key: &str) -> Result<()> {
    for command in row.commands {
        let large = format!("ms K 1048576 MA\r\n{}", "x".repeat(1_048_576));
        let command = if *command == "LARGE" { &large } else { *command };
        let answer = lines(from, &command.replacen('K', key, 1))?;
        ensure!(!answer.contains("CLIENT_ERROR"), "{command}: {answer}");
    }
    Ok(())
}

fn look(to: &Replica, row: &Row, key: &str) -> Result<()> {
    for (read, expected) in row.reads {
        let seen = lines(to, &read.replacen('K', key, 1)).with_context(|| format!("{:?}", row.commands))?;
        ensure!(seen == expected.replace('K', key), "{:?}: {read}: {seen}", row.commands);
    }
    Ok(())
}

#[test]
fn each_meta_command_in_both_directions() -> Result<()> {
    for suite in Suite::TESTED {
        let memcached = find(suite)?;
        let pair = Pair::start(&PairOptions::new(&format!("meta-{}", memcached.version), &memcached))?;
        crate::both_directions(&pair, |from, to, direction| {
            for (number, row) in ROWS.iter().enumerate() {
                perform(from, row, &format!("{direction}:{number}"))?;
            }
            settled(from, to)?;
            ROWS.iter().enumerate().try_for_each(|(number, row)| look(to, row, &format!("{direction}:{number}")))
        })?;
        pair.wait_equal()?;
    }
    Ok(())
}

/// A replica that has lost its content gets the items back with all that readers see of them.
#[test]
fn a_resync_brings_stale_marks_and_win_tokens() -> Result<()> {
    for suite in Suite::TESTED {
        let memcached = find(suite)?;
        let mut pair = Pair::start(&PairOptions::new(&format!("meta-resync-{}", memcached.version), &memcached))?;
        for (number, row) in ROWS.iter().enumerate() {
            perform(&pair.a, row, &format!("row:{number}"))?;
        }
        for command in ["ms YP8= 1 b\r\nx", "ms IAoK 1 b T1000\r\ny", "md YP8= b I", "ms Yg== 1 b\r\nz"] {
            lines(&pair.a, command)?;
        }
        settled(&pair.a, &pair.b)?;
        pair.b.kill();
        pair.b.memcached.start()?;
        pair.b.sidecar.start()?;
        pair.wait_up()?;
        pair.b.wait_ready()?;
        settled(&pair.a, &pair.b)?;
        ROWS.iter().enumerate().try_for_each(|(number, row)| look(&pair.b, row, &format!("row:{number}")))?;
        for (read, expected) in [
            ("mg IAoK b v k", "VA 1 kIAoK b|y"),
            ("mg YP8= b v k", "VA 1 kYP8= b X W|x"),
            ("mg b v k", "VA 1 kYg== b|z"),
            ("get b", "VALUE b 0 1|z|END"),
        ] {
            let seen = lines(&pair.b, read)?;
            ensure!(seen == expected, "{read}: {seen}");
        }
        // What was read for the peer has taken no token from the readers of the other side.
        let stale = ROWS.iter().position(|row| row.commands == ["ms K 1\r\nx", "md K I", "mg K", "md K I"]);
        let key = format!("row:{}", stale.context("a row")?);
        settled(&pair.b, &pair.a)?;
        let seen = lines(&pair.a, &format!("mg {key} v"))?;
        // The reader of the other side has it, and this side was told.
        ensure!(seen == "VA 1 Z X|x", "{seen}");
        ensure!(lines(&pair.a, "mg YP8= b v")? == "VA 1 Z X|x");
    }
    Ok(())
}

/// Edge 22: keys of any bytes, one of which ends a line.
#[test]
fn binary_keys_replicate() -> Result<()> {
    let pair = crate::pair("meta-binary")?;
    for (from, to, key) in [(&pair.a, &pair.b, "YSAKAGE="), (&pair.b, &pair.a, "YiAKAGI=")] {
        for command in [
            "ms K 2 b F5 T500\r\n10",
            "ma K b D5",
            "ms K 1 b MA\r\n0",
            "md K b I",
            "mg K b",
            "ma K b D5",
            "mg K b T100",
        ] {
            let answer = lines(from, &command.replacen('K', key, 1))?;
            ensure!(answer.starts_with("HD"), "{command}: {answer}");
        }
        settled(from, to)?;
        let seen = lines(to, &format!("mg {key} b v f k"))?;
        ensure!(seen.starts_with(&format!("VA 3 f5 k{key} b")) && seen.ends_with("|155"), "{seen}");
        ensure!(lines(to, &format!("md {key} b k"))? == format!("HD k{key} b"));
        settled(to, from)?;
        ensure!(lines(from, &format!("mg {key} b v k"))? == format!("EN k{key} b"));
    }
    pair.wait_equal()
}

/// Edge 25, both sides at once: whoever asks first on either side wins, and everybody knows once the sides have talked.
#[test]
fn a_win_on_one_side_is_known_on_the_other() -> Result<()> {
    let pair = crate::pair("meta-win")?;
    crate::both_directions(&pair, |from, to, key| {
        lines(from, &format!("ms {key} 1\r\nx"))?;
        lines(from, &format!("md {key} I"))?;
        settled(from, to)?;
        ensure!(lines(to, &format!("mg {key} v"))? == "VA 1 X W|x");
        settled(to, from)?;
        ensure!(lines(from, &format!("mg {key} v"))? == "VA 1 Z X|x");
        lines(to, &format!("ms {key} 1\r\ny"))?;
        settled(to, from)?;
        ensure!(lines(from, &format!("mg {key} v"))? == "VA 1|y");
        Ok(())
    })
}

/// The token was won while the link was down, and the backlog could not hold what came after.
#[test]
fn a_win_survives_a_backlog_that_overflows() -> Result<()> {
    let pair = Pair::start(&crate::options("meta-overflow")?.sidecar(&["--backlog", "8m"]))?;
    lines(&pair.a, "ms won 1\r\nx\r\nms free 1\r\nx\r\nmd won I\r\nmd free I")?;
    settled(&pair.a, &pair.b)?;
    pair.link.cut();
    pair.a.wait_linked(false)?;
    ensure!(lines(&pair.a, "mg won")? == "HD X W");
    let mut client = pair.a.client()?;
    let value = "x".repeat(1000);
    (0..12_000).try_for_each(|number| client.set(&format!("fill:{number}"), &value))?;
    pair.link.heal();
    pair.a.wait_linked(true)?;
    pair.wait_equal()?;
    settled(&pair.a, &pair.b)?;
    ensure!(lines(&pair.b, "mg won")? == "HD Z X");
    ensure!(lines(&pair.b, "mg free")? == "HD X W");
    Ok(())
}
