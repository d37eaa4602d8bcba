//! Numbers as memcached reads them, which is in two ways: C's `strtol` family and plain digits.

/// Sign, magnitude and the bytes read; `None` for no digits.
#[inline]
fn c_number(text: &[u8]) -> Option<(bool, Option<u64>, usize)> {
    let mut at = text.iter().take_while(|byte| is_space(**byte)).count();
    let negative = match text.get(at) {
        Some(b'-') => {
            at += 1;
            true
        }
        Some(b'+') => {
            at += 1;
            false
        }
        _ => false,
    };
    let first_digit = at;
    let mut magnitude = Some(0u64);
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        magnitude = magnitude.and_then(|sum| sum.checked_mul(10)?.checked_add(u64::from(digit)));
        at += 1;
    }
    (at > first_digit).then_some((negative, magnitude, at))
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// A number must be followed by white space or the end.
fn ends_well(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|byte| *byte == 0 || is_space(*byte))
}

/// `strtol` into 32 bits: everything that fits into 64 bits is accepted, then cut.
pub(super) fn c_i32(text: &[u8]) -> Option<i32> {
    let (negative, magnitude, end) = c_number(text)?;
    let magnitude = magnitude?;
    let value = if negative { 0i64.checked_sub_unsigned(magnitude)? } else { i64::try_from(magnitude).ok()? };
    ends_well(text, end).then_some(value as i32)
}

/// `strtoull`: a minus sign negates modulo 2^64, and only a result in the upper half is refused.
pub(super) fn c_u64(text: &[u8]) -> Option<u64> {
    let (negative, magnitude, end) = c_number(text)?;
    let magnitude = magnitude?;
    let value = if negative { magnitude.wrapping_neg() } else { magnitude };
    if negative && value > i64::MAX as u64 {
        return None;
    }
    ends_well(text, end).then_some(value)
}

/// `strtoul` into 32 bits, cut.
pub(super) fn c_u32(text: &[u8]) -> Option<u32> {
    c_u64(text).map(|value| value as u32)
}

/// Digits only, at most 22 of them.
pub(super) fn plain_u64(text: &[u8]) -> Option<u64> {
    if text.len() > 22 {
        return None;
    }
    digits(text)
}

/// An optional minus and digits, at most 11 bytes. A lone `-` is 0.
pub(super) fn plain_i32(text: &[u8]) -> Option<i32> {
    if text.len() > 11 {
        return None;
    }
    match text.strip_prefix(b"-") {
        Some(rest) => i32::try_from(0i64.checked_sub_unsigned(digits(rest)?)?).ok(),
        None => i32::try_from(digits(text)?).ok(),
    }
}

/// Digits to a number; nothing is 0.
#[inline]
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_numbers_are_those_of_strtol() {
        for (text, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("+5", Some(5)),
            ("\t5", Some(5)),
            ("5\tx", Some(5)),
            ("5\0x", Some(5)),
            ("5x", None),
            ("", None),
            ("-", None),
            ("+-5", None),
            ("4294967298", Some(2)),
            ("2147483648", Some(i32::MIN)),
            ("9223372036854775807", Some(-1)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(0)),
            ("-9223372036854775809", None),
            ("00000000000000000000000000007", Some(7)),
        ] {
            assert_eq!(c_i32(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn c_unsigned_wraps_a_minus() {
        for (text, value) in [
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("-0", Some(0)),
            ("-18446744073709551615", Some(1)),
            ("-9223372036854775809", Some(i64::MAX as u64)),
            ("-9223372036854775808", None),
        ] {
            assert_eq!(c_u64(text.as_bytes()), value, "{text:?}");
        }
        assert_eq!(c_u32(b"4294967296"), Some(0));
        assert_eq!(c_u32(b"4294967297"), Some(1));
    }

    #[test]
    fn plain_numbers_are_digits_of_bounded_length() {
        for (text, value) in [
            ("0", Some(0)),
            ("-", Some(0)),
            ("-2147483648", Some(i32::MIN)),
            ("-2147483649", None),
            ("2147483647", Some(i32::MAX)),
            ("2147483648", None),
            ("00000000001", Some(1)),
            ("000000000001", None),
            ("+1", None),
            ("--1", None),
            ("1 ", None),
        ] {
            assert_eq!(plain_i32(text.as_bytes()), value, "{text:?}");
        }
        for (text, value) in [
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("0018446744073709551615", Some(u64::MAX)),
            ("00018446744073709551615", None),
            ("-0", None),
        ] {
            assert_eq!(plain_u64(text.as_bytes()), value, "{text:?}");
        }
    }
}
