//! Stories of meta commands.

use sidecar::rules::Rules;

use crate::marks::OWN_CAS;
use crate::scenarios::{expect, flushed_behind_a_newer_write, plan};
use crate::world::World;

/// Both sides hold `k0` with the value `old`, and a moment has passed.
fn both_hold_an_item() -> Result<World, String> {
    let mut world = World::new(plan(Rules::HOLD));
    world.same_clocks();
    world.heal()?;
    world.tell(0, "set k0 0 0 3\r\nold\r\n", "STORED")?;
    world.heal()?;
    world.pass_time(1000);
    Ok(world)
}

/// While a flush is swept, a meta command finds nothing of what is flushed, and all of what is newer.
#[test]
fn meta_commands_before_the_sweep() -> Result<(), String> {
    for (request, answer) in [
        ("mg k0 v c", "EN"),
        ("mg k0", "EN"),
        ("mg k0 O7 k v", "EN O7 kk0"),
        ("mg azA= b k v O7", "EN kazA= b O7"),
        ("mg k0 v q k\r\nmg k1 v q k\r\nmn", "VA 3 kk1\r\nnew\r\nMN"),
        ("mg k1 v q\r\nmg k0 v\r\nmg k1 s", "VA 3\r\nnew\r\nEN\r\nHD s3"),
        ("mg k0 R100 v", "EN"),
        ("mg k0 T100 v t", "EN"),
        ("mg k0 T100 v q\r\nmn", "MN"),
        ("mg k0 N0 v s", "VA 0 s0 W"),
        ("me k0", "EN"),
        ("me azA= b b", "EN"),
        ("md k0", "NF"),
        ("md k0 I", "NF"),
        ("md k0 x", "NF"),
        ("ma k0 v", "NF"),
        ("ma k0 N0 J5 v", "VA 1\r\n5"),
        ("ms k0 1 ME s\r\nx", "HD s1"),
        ("ms k0 1 MR\r\nx", "NS"),
        ("ms k0 1 MA\r\nx", "NS"),
        ("ms k0 1 MA N0\r\nx\r\nmg k0 v", "HD\r\nVA 1\r\nx"),
        ("ms k0 1 C1\r\nx", "NF"),
        ("ms k0 1 I C1\r\nx", "NF"),
        ("ms k0 1\r\nx\r\nmg k0 v", "HD\r\nVA 1\r\nx"),
        ("ms k0 2000 q\r\nLARGE\r\nmg k0 v", "SERVER_ERROR object too large for cache\r\nEN"),
    ] {
        let mut world = flushed_behind_a_newer_write(Rules::HOLD)?;
        world.trouble(1, |memcached| memcached.set_crawler_busy(true));
        world.block([false; 2]);
        world.exchange(0)?;
        expect(&world, 1, "k0", Some("old"))?;
        let request = request.replace("LARGE", &"x".repeat(2000));
        world.tell(1, &format!("{request}\r\n"), answer)?;
        world.tell(1, "mg k1 v\r\n", "VA 3\r\nnew")?;
        world.heal()?;
        if world.value(1, "k0").as_deref() == Some("old") {
            return Err(format!("{request}: what was flushed is there"));
        }
    }
    Ok(())
}

/// A key that no line can name has its own way to `me`.
#[test]
fn me_of_a_binary_key_before_the_sweep() -> Result<(), String> {
    // "a b"
    const KEY: &str = "YSBi";
    let mut world = World::new(plan(Rules::HOLD));
    world.same_clocks();
    world.heal()?;
    world.tell(1, &format!("ms {KEY} 3 b\r\nold\r\n"), "HD")?;
    world.heal()?;
    world.block([true; 2]);
    world.tell(0, "flush_all\r\n", "OK")?;
    world.pass_time(1000);
    world.tell(1, "set k1 0 0 3\r\nnew\r\n", "STORED")?;
    world.trouble(1, |memcached| memcached.set_crawler_busy(true));
    world.block([false; 2]);
    world.exchange(0)?;
    expect(&world, 1, "a b", Some("old"))?;
    world.tell(1, &format!("mg {KEY} b v k\r\nme k1x\r\n"), &format!("EN k{KEY} b\r\nEN"))?;
    world.ask_only(1, &format!("me {KEY} b b\r\n"));
    world.run_all(1)?;
    expect(&world, 1, "a b", None)
}

/// memcached gives a number that it replaces a CAS of its own, and takes the version only when it is told once more.
#[test]
fn a_read_behind_a_compared_counter_sees_its_version() -> Result<(), String> {
    let mut world = World::new(plan(Rules::HOLD));
    world.heal()?;
    world.tell(0, "set k0 0 0 1\r\n9\r\n", "STORED")?;
    // Each is a digit longer than the one before.
    for (round, delta) in [9, 90, 900, 9000].into_iter().enumerate() {
        let seen = world.answer(0, "mg k0 c\r\n")?;
        let cas = seen.strip_prefix("HD c").ok_or(seen.clone())?;
        let line = [format!("ma k0 D{delta} C{cas} v c"), format!("ma k0 D{delta} C{cas} q\r\nmn")];
        let answer = world.answer(0, &format!("{}\r\nmg k0 c\r\n", line[round % 2]))?;
        let shown = answer.lines().last().and_then(|line| line.strip_prefix("HD c")).and_then(|cas| cas.parse().ok());
        if shown.is_none_or(|cas: u64| cas < OWN_CAS) {
            return Err(format!("memcached's own number is shown: {answer:?}"));
        }
        let after = world.answer(0, "mg k0 c\r\n")?;
        if after.strip_prefix("HD c").and_then(|cas| cas.parse().ok()) != shown {
            return Err(format!("{shown:?} was shown, and then {after}"));
        }
    }
    Ok(())
}

/// A stale item is brought by two commands. If the sidecar is killed between them and the item is lost where it came from, then
/// what is left does not pass for it.
#[test]
fn a_stale_item_that_came_by_half_is_another() -> Result<(), String> {
    let cas = |world: &mut World, side| {
        let seen = world.answer(side, "me k0\r\n")?;
        let cas = seen.split(' ').find_map(|word| word.strip_prefix("cas=")?.parse::<u64>().ok());
        cas.ok_or(seen)
    };
    for commands in 1..=3 {
        let mut world = both_hold_an_item()?;
        world.tell(0, "md k0 I\r\n", "HD")?;
        let stale = cas(&mut world, 0)?;
        world.hand_over(0)?;
        world.kill_after(1, commands)?;
        world.restart_memcached(0);
        world.restart_sidecar(0, false, false);
        world.heal()?;
        for side in 0..2 {
            expect(&world, side, "k0", Some("old"))?;
            let is_stale = cas(&mut world, side)? == stale;
            let seen = world.answer(side, "mg k0\r\n")?;
            if (is_stale, seen.as_str()) != (commands == 3, if is_stale { "HD X W" } else { "HD" }) {
                return Err(format!("replica {side} after {commands} commands: {seen:?}"));
            }
        }
    }
    Ok(())
}

/// An answer of the wrong kind costs the replicator its connection, and not the record that it was for.
#[test]
fn a_wrong_answer_to_the_replicator() -> Result<(), String> {
    // To the first command, whichever that is.
    let answers = [&b"STAT pid 1\r\n"[..], b"VALUE k0 0 1\r\nx\r\n", b"MN\r\n", b"nonsense\r\n"];
    let mut wrong = 0;
    for (request, told) in [
        ("set k0 0 0 3\r\nnew\r\n", "STORED"),
        ("touch k0 100\r\n", "TOUCHED"),
        ("md k0 I\r\n", "HD"),
        ("delete k0\r\n", "DELETED"),
    ] {
        for answer in answers {
            let mut world = both_hold_an_item()?;
            world.tell(0, request, told)?;
            world.hand_over(0)?;
            if world.wrong_answer(1, answer).is_err() {
                continue;
            }
            wrong += 1;
            world.heal().map_err(|error| format!("{request:?}, {answer:?}: {error}"))?;
            world.tell(1, "set k0 0 0 5\r\nafter\r\n", "STORED")?;
            world.heal()?;
            expect(&world, 0, "k0", Some("after"))?;
        }
    }
    // Some answers fit.
    if wrong < 12 { Err(format!("only {wrong} answers were wrong")) } else { Ok(()) }
}
