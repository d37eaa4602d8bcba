//! What clients of the binary protocol write replicates as what text clients write: in both directions, each read by the
//! other protocol.

use anyhow::{Context, Result, ensure};
use e2e::admin;
use e2e::binary::{Packet, opcode::*};
use e2e::client::Client;
use e2e::process::{Pair, Replica};
use e2e::wait::wait_for;

const OK: u16 = 0;
const NOT_FOUND: u16 = 1;
const EXISTS: u16 = 2;
const TOO_LARGE: u16 = 3;

/// The CAS that a row sends.
#[derive(Clone, Copy, Debug)]
enum Cas {
    None,
    /// That of the item, as a text client reads it on the other side
    Right,
    Wrong,
}

/// A request on a key that holds `10` with flags 5 on both sides, the status of its answer, and what both sides hold then:
/// flags and value, or nothing.
struct Row {
    packet: Packet,
    cas: Cas,
    status: u16,
    leaves: Option<(u32, &'static str)>,
}

fn rows() -> Vec<Row> {
    let row = |packet: Packet, cas, status, leaves| Row { packet, cas, status, leaves };
    let store = |opcode, exptime| Packet::store(opcode, "", 7, exptime, "new");
    let join = |opcode| Packet::new(opcode).value("new");
    let count = |opcode, delta| Packet::counter(opcode, "", delta, 4, 0);
    let touch = |opcode, exptime| Packet::new(opcode).words(&[exptime]);
    let large = |opcode| Packet { value: vec![b'x'; 1 << 20], ..Packet::store(opcode, "", 7, 0, "") };
    let (old, new) = (Some((5, "10")), Some((7, "new")));
    let past = 2_592_001;
    vec![
        row(store(SET, 0), Cas::None, OK, new),
        row(store(SET, 0), Cas::Right, OK, new),
        row(store(SET, 0), Cas::Wrong, EXISTS, old),
        row(store(SETQ, 0), Cas::None, OK, new),
        row(store(SETQ, 0), Cas::Wrong, EXISTS, old),
        row(store(SET, past), Cas::None, OK, None),
        row(store(ADD, 0), Cas::None, EXISTS, old),
        row(store(ADDQ, 0), Cas::Right, OK, new),
        row(store(REPLACE, 0), Cas::None, OK, new),
        row(store(REPLACEQ, 1000), Cas::None, OK, new),
        row(join(APPEND), Cas::None, OK, Some((5, "10new"))),
        row(join(APPENDQ), Cas::Right, OK, Some((5, "10new"))),
        row(join(PREPEND), Cas::None, OK, Some((5, "new10"))),
        row(join(PREPENDQ), Cas::Wrong, EXISTS, old),
        row(count(INCREMENT, 7), Cas::None, OK, Some((5, "17"))),
        row(count(INCREMENT, 7), Cas::Right, OK, Some((5, "17"))),
        row(count(INCREMENT, 7), Cas::Wrong, EXISTS, old),
        row(count(INCREMENTQ, 90), Cas::Right, OK, Some((5, "100"))),
        row(count(DECREMENT, 1), Cas::None, OK, Some((5, "9 "))),
        row(count(DECREMENTQ, 100), Cas::None, OK, Some((5, "0 "))),
        row(Packet::new(DELETE), Cas::None, OK, None),
        row(Packet::new(DELETE), Cas::Right, OK, None),
        row(Packet::new(DELETE), Cas::Wrong, EXISTS, old),
        row(Packet::new(DELETEQ), Cas::None, OK, None),
        row(touch(TOUCH, 1000), Cas::None, OK, old),
        row(touch(TOUCH, past), Cas::None, OK, None),
        row(touch(GAT, 1000), Cas::None, OK, old),
        row(touch(GATQ, past), Cas::None, OK, None),
        row(touch(GATK, 1000), Cas::None, OK, old),
        row(touch(GATKQ, u32::MAX), Cas::None, OK, old),
        row(large(SET), Cas::None, TOO_LARGE, None),
        row(large(SETQ), Cas::Wrong, TOO_LARGE, None),
        row(large(ADD), Cas::None, TOO_LARGE, old),
        row(Packet { extras: Vec::new(), ..large(APPEND) }, Cas::None, TOO_LARGE, old),
    ]
}

/// The statuses of the answers up to that of a noop.
fn statuses(client: &mut Client, request: &Packet) -> Result<Vec<u16>> {
    client.send(&[request.bytes(), Packet::new(NOOP).bytes()].concat())?;
    let mut statuses = Vec::new();
    loop {
        let answer = client.next_packet()?.context("closed")?;
        if answer.opcode == NOOP {
            return Ok(statuses);
        }
        statuses.push(answer.status);
    }
}

/// A hit of a binary `get`: flags, value and CAS.
fn read(replica: &Replica, key: &str) -> Result<Option<(u32, String, u64)>> {
    let answer = replica.client()?.packet(&Packet::new(GET).key(key))?;
    match answer.status {
        OK => Ok(Some((answer.flags()?, String::from_utf8_lossy(&answer.value).into_owned(), answer.cas))),
        _ => Ok(None),
    }
}

fn prepare(from: &Replica, to: &Replica, client: &mut Client, key: &str) -> Result<u64> {
    let set = client.packet(&Packet::store(SET, key, 5, 0, "10"))?;
    ensure!(set.status == OK, "{set:?}");
    to.wait_value(key, Some("10"))?;
    let cas = to.client()?.gets(key)?.map(|value| value.cas);
    ensure!(cas == Some(set.cas), "the answer says CAS {}, the other side {cas:?}", set.cas);
    ensure!(read(from, key)?.map(|(.., cas)| cas) == cas);
    Ok(set.cas)
}

fn each_row(from: &Replica, to: &Replica, direction: &str) -> Result<()> {
    let mut client = from.client()?;
    for (number, row) in rows().into_iter().enumerate() {
        let about = format!("{direction} {number}: {:#x} with {:?} CAS", row.packet.opcode, row.cas);
        let key = format!("{direction}:{number}");
        let token = prepare(from, to, &mut client, &key).with_context(|| about.clone())?;
        let cas = match row.cas {
            Cas::None => 0,
            Cas::Right => token,
            Cas::Wrong => token - 1,
        };
        let packet = row.packet.key(&key).cas(cas);
        let quiet = [SETQ, ADDQ, REPLACEQ, APPENDQ, PREPENDQ, INCREMENTQ, DECREMENTQ, DELETEQ].contains(&packet.opcode);
        let expected: &[u16] = if quiet && row.status == OK { &[] } else { &[row.status] };
        let answers = statuses(&mut client, &packet).with_context(|| about.clone())?;
        ensure!(answers == expected, "{about}: {answers:?}");
        for replica in [from, to] {
            let wanted = row.leaves.map(|(_, value)| value);
            replica.wait_value(&key, wanted).with_context(|| about.clone())?;
            let seen = read(replica, &key)?.map(|(flags, value, _)| (flags, value));
            let leaves = row.leaves.map(|(flags, value)| (flags, value.to_owned()));
            ensure!(seen == leaves, "{about}: {seen:?}");
        }
    }
    Ok(())
}

#[test]
fn each_packet_replicates() -> Result<()> {
    let pair = crate::pair("binary-rows")?;
    crate::both_directions(&pair, each_row)?;
    // Keys, values, flags, CAS numbers and ends.
    pair.wait_equal()
}

/// What the commands of the text protocol leave is what packets find on the other side.
#[test]
fn packets_read_what_text_clients_wrote() -> Result<()> {
    let pair = crate::pair("binary-text")?;
    crate::both_directions(&pair, |from, to, key| {
        let mut text = from.client()?;
        ensure!(text.store("set", key, 9, 1000, b"5")? == "STORED");
        ensure!(text.exchange(&format!("incr {key} 37"))? == "42");
        ensure!(text.store("append", key, 0, 0, b"7")? == "STORED");
        let cas = text.gets(key)?.context("no item")?.cas;
        let other = format!("{key}: binary");
        let seen = wait_for(&other, std::time::Duration::from_secs(10), || {
            read(to, key).ok().flatten().filter(|(_, value, _)| value == "427")
        })?;
        ensure!(seen == (9, "427".to_owned(), cas), "{seen:?}");
        // A token of one side in a packet to the other, and back.
        let stored = to.client()?.packet(&Packet::store(SET, key, 1, 0, "mine").cas(cas))?;
        ensure!(stored.status == OK && stored.cas > cas, "{stored:?}");
        from.wait_value(key, Some("mine"))?;
        ensure!(text.cas(key, "yours", cas)? == "EXISTS");
        ensure!(text.cas(key, "yours", stored.cas)? == "STORED");
        to.wait_value(key, Some("yours"))?;
        ensure!(text.exchange(&format!("delete {key}"))? == "DELETED");
        to.wait_value(key, None)?;
        let missing = to.client()?.packet(&Packet::new(GET).key(key))?;
        ensure!(missing.status == NOT_FOUND, "{missing:?}");
        Ok(())
    })?;
    pair.wait_equal()
}

#[test]
fn counters_are_created_on_both_sides() -> Result<()> {
    let pair = crate::pair("binary-counters")?;
    crate::both_directions(&pair, |from, to, key| {
        let mut client = from.client()?;
        let absent = client.packet(&Packet::counter(INCREMENT, key, 1, 10, u32::MAX))?;
        ensure!(absent.status == NOT_FOUND, "{absent:?}");
        let created = client.packet(&Packet::counter(INCREMENT, key, 1, 10, 1000))?;
        ensure!(created.status == OK && created.number()? == 10, "{created:?}");
        to.wait_value(key, Some("10"))?;
        crate::rows::wait_ttl(to, key, 1000)?;
        let cas = to.client()?.gets(key)?.map(|value| value.cas);
        ensure!(cas == Some(created.cas), "{created:?} and {cas:?}");
        let up = to.client()?.packet(&Packet::counter(INCREMENT, key, 5, 0, 0))?;
        ensure!(up.number()? == 15, "{up:?}");
        from.wait_value(key, Some("15"))?;
        ensure!(client.exchange_text(from, &format!("decr {key} 6"))? == "9");
        to.wait_value(key, Some("9 "))
    })?;
    pair.wait_equal()
}

/// A text command on a connection of its own: the first byte of a connection fixes what it speaks.
trait TextBeside {
    fn exchange_text(&self, replica: &Replica, command: &str) -> Result<String>;
}

impl TextBeside for Client {
    fn exchange_text(&self, replica: &Replica, command: &str) -> Result<String> {
        replica.client()?.exchange(command)
    }
}

#[test]
fn a_flush_in_a_packet_replicates() -> Result<()> {
    let pair = crate::pair("binary-flush")?;
    crate::both_directions(&pair, |from, to, key| {
        let mut client = from.client()?;
        let sets: Vec<u8> =
            (0..2000).flat_map(|n| Packet::store(SETQ, format!("{key}:{n}"), 0, 0, "old").bytes()).collect();
        client.send(&sets)?;
        ensure!(statuses(&mut client, &Packet::new(FLUSHQ))?.is_empty());
        let again = Packet::store(SET, format!("{key}:7"), 0, 0, "new");
        let hidden = Packet::new(GETKQ).key(format!("{key}:8"));
        ensure!(statuses(&mut client, &again)? == [OK] && statuses(&mut client, &hidden)?.is_empty());
        to.wait_value(&format!("{key}:7"), Some("new"))?;
        to.wait_value(&format!("{key}:8"), None)?;
        pair.wait_equal()?;
        let left = e2e::contents::read(&mut to.private()?)?.len();
        ensure!(left == 1, "{left} items left");
        ensure!(statuses(&mut client, &Packet::new(FLUSH))? == [OK]);
        to.wait_value(&format!("{key}:7"), None)
    })?;
    pair.wait_equal()
}

#[test]
fn packets_are_counted_and_tell_of_replication() -> Result<()> {
    let pair = crate::pair("binary-stats")?;
    let mut client = pair.a.client()?;
    client.send(&Packet::new(STAT).key("replication").bytes())?;
    let mut stats = Vec::new();
    loop {
        let stat = client.next_packet()?.context("closed")?;
        ensure!(stat.opcode == STAT && stat.status == OK, "{stat:?}");
        if stat.key.is_empty() {
            break;
        }
        stats.push(String::from_utf8(stat.key)?);
    }
    let names: Vec<String> = pair.a.replication_stats()?.into_keys().collect();
    stats.sort();
    ensure!(stats == names, "{stats:?} and {names:?}");
    for opcode in [SET, SETQ] {
        statuses(&mut client, &Packet::store(opcode, "k", 0, 0, "v"))?;
    }
    let series = "rmc_commands_total{command=\"set\",protocol=\"binary\"}";
    wait_for("two sets to be counted", std::time::Duration::from_secs(10), || {
        let seen = admin::metric(&pair.a.sidecar.metrics().ok()?, series)?;
        (seen == 2.0).then_some(())
    })
}

/// A gibibyte is announced by each of many connections, in every shape that announces one, and not sent.
#[test]
fn what_is_announced_and_not_sent_takes_no_memory() -> Result<()> {
    let pair = Pair::start(&crate::options("binary-announced")?.sidecar(&["--max-connections", "2000"]))?;
    let memory = |replica: &Replica| -> Result<f64> {
        let text = replica.sidecar.metrics()?;
        admin::metric(&text, "process_resident_memory_bytes").context("no process_resident_memory_bytes")
    };
    let shapes: Vec<Packet> = [SET, ADDQ, REPLACE, APPEND, PREPENDQ, SASL_AUTH, 0x55, TOUCH, STAT]
        .into_iter()
        .map(|opcode| {
            let extras: &[u32] = match opcode {
                SET | ADDQ | REPLACE => &[0, 0],
                TOUCH => &[0],
                _ => &[],
            };
            Packet { body_off: (1 << 30) - 100, ..Packet::new(opcode).words(extras).key("announced") }
        })
        .chain([Packet { key_off: 16_000, body_off: 16_000, ..Packet::new(GET) }])
        .collect();
    let before = memory(&pair.a)?;
    let mut clients = Vec::new();
    for _ in 0..100 {
        for shape in &shapes {
            let mut client = pair.a.client()?;
            client.send(&[shape.bytes(), vec![b'x'; 100]].concat())?;
            clients.push(client);
        }
    }
    // All of them are read by the time a later one is answered on each worker.
    for _ in 0..8 {
        ensure!(statuses(&mut pair.a.client()?, &Packet::new(VERSION))? == [OK]);
    }
    let taken = memory(&pair.a)? - before;
    let each = taken / clients.len() as f64;
    ensure!(each < 8192.0, "{each} bytes for each of {} clients", clients.len());
    Ok(())
}
