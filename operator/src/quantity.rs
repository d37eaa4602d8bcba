//! Amounts of bytes and times, as people and Kubernetes write them.
//!
//! The library for this (kube_quantity) does not know exponents such as `1e9`, which the rules of our schema let pass, nor
//! does it round up.

/// Binary and decimal units.
const UNITS: [(&str, u128); 12] = [
    ("Ei", 1 << 60),
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("E", 1_000_000_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1000),
];

/// Text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not {1}")]
pub struct Malformed(String, &'static str);

/// Bytes of a quantity such as `1.5Gi` or `1e9`; what is not whole is rounded up, as Kubernetes does.
///
/// # Errors
/// It is none, or does not fit.
pub fn bytes(text: &str) -> Result<u64, Malformed> {
    let wrong = || Malformed(text.to_owned(), "a quantity of bytes, such as 512Mi or 2Gi");
    let unit = UNITS.iter().find(|(suffix, _)| text.ends_with(suffix));
    let (number, (multiplier, divisor)) = match (unit, text.split_once(['e', 'E'])) {
        (Some((suffix, unit)), _) => (text.strip_suffix(suffix).unwrap_or(text), (*unit, 1)),
        (None, Some((number, exponent))) => {
            let exponent: i32 = exponent.parse().map_err(|_| wrong())?;
            let power = 10_u128.checked_pow(exponent.unsigned_abs()).filter(|p| *p <= 1 << 64).ok_or_else(wrong)?;
            (number, if exponent < 0 { (1, power) } else { (power, 1) })
        }
        (None, None) => match text.strip_suffix('m') {
            Some(number) => (number, (1, 1000)),
            None => (text, (1, 1)),
        },
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + part.len() == 0 || part.len() > 9 || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let scale = 10_u128.pow(u32::try_from(part.len()).unwrap_or(9));
    let number: u128 = format!("{whole}{part}").parse().map_err(|_| wrong())?;
    let total = number.checked_mul(multiplier).ok_or_else(wrong)?.div_ceil(scale * divisor);
    u64::try_from(total).map_err(|_| wrong())
}

/// Bytes as Kubernetes writes them, so that what was applied and what is there are the same text.
#[must_use]
pub fn text(bytes: u64) -> String {
    let unit = UNITS.iter().take(6).find(|(_, unit)| bytes > 0 && u128::from(bytes) % unit == 0);
    match unit {
        Some((suffix, unit)) => format!("{}{suffix}", u128::from(bytes) / unit),
        None => bytes.to_string(),
    }
}

/// Seconds of a time such as `90s`, `5m` or `1h30m`.
///
/// # Errors
/// It is none.
pub fn seconds(text: &str) -> Result<u64, Malformed> {
    let wrong = || Malformed(text.to_owned(), "a time, such as 60s or 5m");
    let (mut total, mut number) = (0_u64, String::new());
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(wrong()),
        };
        let count: u64 = std::mem::take(&mut number).parse().map_err(|_| wrong())?;
        total = count.checked_mul(unit).and_then(|more| total.checked_add(more)).ok_or_else(wrong)?;
    }
    if text.is_empty() || !number.is_empty() {
        return Err(wrong());
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, expected) in [
            ("0", 0),
            ("1024", 1024),
            ("1Ki", 1024),
            ("1k", 1000),
            ("64Mi", 64 << 20),
            ("1.5Gi", 3 << 29),
            ("1e3", 1000),
            ("1E3", 1000),
            ("2E", 2_000_000_000_000_000_000),
            ("1500m", 2),
            ("0.1", 1),
            ("15Ei", 15 << 60),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "Gi", "1GiB", "-1", "+1", "1..5", "1 Gi", "16Ei", "1e99", "x", "1.1.1", "é"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_written_as_kubernetes_does() {
        for (bytes, expected) in
            [(0, "0"), (1000, "1000"), (1024, "1Ki"), (1 << 30, "1Gi"), (3 << 29, "1536Mi"), (1025, "1025")]
        {
            assert_eq!(text(bytes), expected);
        }
    }

    #[test]
    fn times() {
        for (text, expected) in [("0s", 0), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("1h1m1s", 3661)] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "5", "m", "5d", "-1s", "99999999999999999999s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
