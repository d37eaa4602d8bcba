//! What clients ask by meta commands: stale marks, win tokens, vivify, comparisons.

use crate::client::Asked;

/// What a request is made of.
pub(crate) struct Parts<'a> {
    /// The key as it stands in the line.
    pub(crate) name: &'a str,
    /// As classic commands take it, `-1` for one in the past.
    pub(crate) exptime: &'a str,
    /// A value like no other.
    pub(crate) value: &'a str,
    /// A CAS number that was the key's once.
    pub(crate) token: u64,
}

/// A random request: its line, with a value where it has one.
pub(crate) fn request(rng: &mut fastrand::Rng, parts: &Parts<'_>) -> (Asked, String) {
    let Parts { name, exptime, value, token } = *parts;
    let ended = exptime == "-1";
    let gone_if = |ended: bool, asked| if ended { Asked::Remove } else { asked };
    // It depends on what is there.
    let open_if = |ended: bool, asked| if ended { Asked::Touch } else { asked };
    let vivified = if ended { Asked::Gets } else { Asked::Vivify };
    let flags = rng.u32(0..3);
    let set = |flags: &str, value: &str| format!("ms {name} {} c {flags}\r\n{value}\r\n", value.len());
    let recache = rng.u32(1..150);
    let number = rng.u32(1..2000);
    match rng.u32(0..100) {
        0..=15 => (Asked::Gets, format!("mg {name} c v t\r\n")),
        16..=21 => (Asked::Gets, format!("mg {name} s c f u\r\n")),
        22..=31 => (Asked::Gets, format!("mg {name} c v R{recache}\r\n")),
        32..=34 => (Asked::Gat, format!("mg {name} R{recache} T{exptime} c\r\n")),
        35..=41 => (vivified, format!("mg {name} N{exptime} c v\r\n")),
        42..=43 => (vivified, format!("mg {name} N{exptime} R{recache} c t\r\n")),
        44..=54 => (gone_if(ended, Asked::Fresh), set(&format!("T{exptime} F{flags}"), value)),
        55..=57 => (gone_if(ended, Asked::Fresh), set(&format!("T{exptime} ME"), value)),
        58..=59 => (gone_if(ended, Asked::Fresh), set(&format!("T{exptime} MR"), value)),
        60..=63 => (gone_if(ended, Asked::Fresh), set(&format!("T{exptime} C{token}"), value)),
        // An older value ends with the item that it takes the place of.
        64..=69 => (open_if(ended, Asked::Write), set(&format!("I T{exptime} F{flags} C{token}"), value)),
        70..=71 => (Asked::Fresh, set("MA", "a")),
        72 => (open_if(ended, Asked::Fresh), set(&format!("MP N{exptime}"), "1")),
        73..=84 => (Asked::Write, format!("md {name} I\r\n")),
        85..=87 => (gone_if(ended, Asked::Write), format!("md {name} I T{exptime}\r\n")),
        88 => (Asked::Write, format!("md {name} I C{token}\r\n")),
        89 => (gone_if(ended, Asked::Write), format!("md {name} x I T{exptime}\r\n")),
        90 => (Asked::Write, format!("md {name} x\r\n")),
        91 => (Asked::Remove, format!("md {name} C{token}\r\n")),
        92..=93 => (Asked::Delete, format!("md {name}\r\n")),
        // What is there may have an end of its own, which is left alone.
        94..=95 => (open_if(ended, Asked::Write), format!("ma {name} N{exptime} J{number} c v\r\n")),
        96..=97 => (Asked::Write, format!("ma {name} D{number} t v c\r\n")),
        98 => (Asked::Write, format!("ma {name} MD D{number} c\r\n")),
        _ => (Asked::Write, format!("ma {name} D{number} C{token} c\r\n")),
    }
}
