//! How the two versions read numbers from a command line.

use super::Version;

impl Version {
    /// A signed 32-bit argument: expiry times and lengths.
    pub(super) fn i32(self, token: &[u8]) -> Option<i32> {
        match self {
            Self::V1_6_38 => strtol(token),
            Self::V1_6_45 => strict_signed(token),
        }
    }

    /// An unsigned 64-bit argument: deltas and CAS values.
    pub(super) fn u64(self, token: &[u8]) -> Option<u64> {
        match self {
            Self::V1_6_38 => strtoull(token),
            Self::V1_6_45 => strict(token, 22),
        }
    }

    /// The argument of the meta flag `F`.
    pub(super) fn flag_u32(self, token: &[u8]) -> Option<u32> {
        match self {
            Self::V1_6_38 => client_flags(token),
            Self::V1_6_45 => strict(token, 11),
        }
    }

    /// An unsigned 32-bit argument of an admin command.
    pub(super) fn u32(self, token: &[u8]) -> Option<u32> {
        self.flag_u32(token)
    }
}

/// Client flags of the classic storage commands, in both versions: 64 bits are read and 32 are kept.
pub(super) fn client_flags(token: &[u8]) -> Option<u32> {
    strtoull(token).map(|flags| flags as u32)
}

/// The C library's way with a sign and leading white space; also how the digits of a value are read.
pub(super) fn strtoull(token: &[u8]) -> Option<u64> {
    let (negative, magnitude) = scan(token)?;
    let magnitude = u64::try_from(magnitude).ok()?;
    if !negative {
        return Some(magnitude);
    }
    // negated numbers wrap, and pass as long as the result does not look negative
    let wrapped = magnitude.wrapping_neg();
    (wrapped <= i64::MAX as u64).then_some(wrapped)
}

/// 64 bits are read and 32 are kept.
fn strtol(token: &[u8]) -> Option<i32> {
    let (negative, magnitude) = scan(token)?;
    let magnitude = i128::try_from(magnitude).ok()?;
    let number = if negative { -magnitude } else { magnitude };
    i64::try_from(number).ok().map(|number| number as i32)
}

/// Sign and magnitude of a number that ends at white space, a zero byte or the token's end.
fn scan(token: &[u8]) -> Option<(bool, u128)> {
    let is_space = |b: u8| b == 0x0b || b.is_ascii_whitespace();
    let start = token.iter().take_while(|&&b| is_space(b)).count();
    let rest = token.get(start..).unwrap_or_default();
    let (negative, digits) = match rest.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, rest),
    };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let ends_well = digits.get(count).is_none_or(|&b| b == 0 || is_space(b));
    if count == 0 || !ends_well {
        return None;
    }
    let magnitude = digits
        .iter()
        .take(count)
        .fold(0u128, |sum, &b| sum.saturating_mul(10).saturating_add(u128::from(b - b'0')).min(1 << 100));
    Some((negative, magnitude))
}

/// Digits only, at most `max_len` bytes, no overflow.
fn strict<T: TryFrom<i128>>(token: &[u8], max_len: usize) -> Option<T> {
    if token.len() > max_len {
        return None;
    }
    let mut sum = 0i128;
    for &b in token {
        if !b.is_ascii_digit() {
            return None;
        }
        sum = sum * 10 + i128::from(b - b'0');
    }
    T::try_from(sum).ok()
}

/// As [`strict`], with a sign that counts for the length; a lone "-" is zero.
fn strict_signed(token: &[u8]) -> Option<i32> {
    match token.split_first() {
        Some((b'-', digits)) => {
            let magnitude: i64 = strict(digits, 10)?;
            i32::try_from(-magnitude).ok()
        }
        _ => strict(token, 11),
    }
}
