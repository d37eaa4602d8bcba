//! Base64 as memcached reads and writes the keys of meta commands with the flag `b`.

use super::limits::MAX_KEY;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The longest key, in bytes, that can be named in base64: memcached counts the encoded text.
pub const MAX_BINARY_KEY: usize = MAX_KEY / 4 * 3;

/// Room for a decoded key.
pub type KeyBuffer = [u8; MAX_KEY];

fn value(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        b'=' => 0,
        _ => return None,
    }))
}

/// Decodes as memcached's `base64_decode` does: bytes that are none of base64 are skipped, and what stands behind the
/// padding is ignored. `None`: no key.
pub fn decode<'b>(text: &[u8], buffer: &'b mut KeyBuffer) -> Option<&'b [u8]> {
    let known = || text.iter().copied().filter_map(|byte| value(byte).map(|bits| (byte, bits)));
    let count = known().count();
    if count == 0 || count % 4 != 0 {
        return None;
    }
    let (mut len, mut bits, mut padding) = (0, 0, 0);
    for (number, (byte, six)) in known().enumerate() {
        bits = bits << 6 | six;
        padding += usize::from(byte == b'=');
        if number % 4 != 3 {
            continue;
        }
        let [_, a, b, c] = bits.to_be_bytes();
        buffer.get_mut(len..len + 3)?.copy_from_slice(&[a, b, c]);
        len += 3;
        match padding {
            0 => bits = 0,
            1 | 2 => {
                len -= padding;
                break;
            }
            _ => return None,
        }
    }
    buffer.get(..len)
}

/// Appends the encoded bytes.
pub fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    for block in bytes.chunks(3) {
        let byte = |index: usize| u32::from(block.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let six = (bits >> (18 - 6 * index)) as usize & 63;
            let letter = ALPHABET.get(six).copied().filter(|_| index <= block.len());
            out.push(letter.unwrap_or(b'='));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_read_as_memcached_reads_it() {
        for (text, key) in [
            ("YQ==", Some("a")),
            ("YWI=", Some("ab")),
            ("YWJj", Some("abc")),
            ("Y-Q=_=", Some("a")),
            ("YQ==YQ==", Some("a")),
            ("", None),
            ("YQ", None),
            ("Y===", None),
            ("----", None),
        ] {
            let mut buffer = [0; MAX_KEY];
            assert_eq!(decode(text.as_bytes(), &mut buffer), key.map(str::as_bytes), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(key in prop::collection::vec(any::<u8>(), 1..=MAX_BINARY_KEY)) {
            let mut text = Vec::new();
            encode(&mut text, &key);
            prop_assert!(text.len() <= MAX_KEY);
            let mut buffer = [0; MAX_KEY];
            prop_assert_eq!(decode(&text, &mut buffer), Some(&key[..]));
        }

        #[test]
        fn no_text_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut buffer = [0; MAX_KEY];
            let _ = decode(&text, &mut buffer);
        }
    }
}
