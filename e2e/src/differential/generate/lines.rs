//! Lines become steps.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::history::Step;

/// Stands for a connection that no other step has.
pub(super) const OF_ITS_OWN: usize = usize::MAX;

/// Some commands on a connection.
pub(super) fn batch(command: BoxedStrategy<String>) -> impl Strategy<Value = Vec<Step>> {
    (connection(), vec(command, 1..12)).prop_map(|(on, commands)| split(on, &commands))
}

fn connection() -> impl Strategy<Value = usize> + Clone {
    select(&[0, 1, 2, OF_ITS_OWN][..])
}

/// A command with a key that is too long, or just not, alone: before such a key memcached throws away answers that it
/// has not sent, and which those are depends on how the bytes arrive.
pub(super) fn long_key() -> impl Strategy<Value = Vec<Step>> {
    let form = select(
        &[
            "get K\r\n",
            "get @a K\r\n",
            "gets K @a\r\n",
            "gat 0 K\r\n",
            "set K 0 0 1\r\n1\r\n",
            "add K 0 0 1 noreply\r\n1\r\n",
            "append K 0 0 1\r\n1\r\n",
            "cas K 0 0 1 5\r\n1\r\n",
            "incr K 1\r\n",
            "delete K\r\n",
            "delete K noreply\r\n",
            "touch K 0\r\n",
            "mg K\r\n",
            "mg K v k\r\n",
            "ms K 1\r\n1\r\n",
            "ms K 1 k q\r\n1\r\n",
            "md K\r\n",
            "ma K N0 J5 v k\r\n",
            "me K\r\n",
            "mg <b64:K> b k v\r\n",
            "ms <b64:K> 1 b k\r\n1\r\n",
            "me <b64:K> b\r\n",
        ][..],
    );
    // The prefix is as long as those of `history`.
    let length = prop_oneof![Just(250_usize), Just(251), 180..300_usize];
    (connection(), form, length).prop_map(|(on, form, length)| {
        let key = format!("@{}", "k".repeat(length - 9));
        vec![Step::Lines { on, lines: form.replace('K', &key).into_bytes() }]
    })
}

/// A read whose answer has not been sent holds the item, and then memcached does not pad a shorter number with spaces
/// but stores a shorter value. Whether it has been sent is a matter of timing, so arithmetic behind a read waits for it;
/// so it does behind what the sidecar reads back (other arithmetic, touch, append, prepend and their like).
///
/// Such a read-back of a stale item takes its win token and gives it back at once, but not before the next request: a
/// meta read waits for the answer.
pub(super) fn split(on: usize, commands: &[String]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut read, mut read_back) = (true, false);
    for command in commands {
        let arithmetic = ["incr", "decr", "ma"].iter().any(|verb| command.starts_with(verb));
        let waits = read && arithmetic || read_back && command.trim_start().starts_with("mg");
        match steps.last_mut() {
            Some(Step::Lines { lines, .. }) if !waits => lines.extend_from_slice(command.as_bytes()),
            _ => {
                steps.push(Step::Lines { on, lines: command.clone().into_bytes() });
                (read, read_back) = (false, false);
            }
        }
        let line = command.lines().next().unwrap_or_default();
        let stores = ["set", "add", "replace", "cas", "delete", "ms", "md", "mn"];
        let plain = stores.iter().any(|verb| line.starts_with(verb)) && !line.contains(" M") && !line.contains(" I");
        read |= arithmetic || !plain;
        let changes = ["append", "prepend", "touch", "ms", "md"].iter().any(|verb| line.starts_with(verb));
        read_back |= arithmetic || changes && !plain;
    }
    steps
}
