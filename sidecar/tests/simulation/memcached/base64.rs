//! Base64 as memcached reads and writes binary keys.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn value(b: u8) -> Option<u8> {
    match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        b'=' => Some(0),
        _ => None,
    }
}

/// The decoded bytes; foreign bytes are skipped, and what stands behind the padding is ignored.
pub(super) fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let known: Vec<u8> = encoded.iter().copied().filter(|&b| value(b).is_some()).collect();
    if known.is_empty() || !known.len().is_multiple_of(4) {
        return None;
    }
    let mut decoded = Vec::with_capacity(known.len() / 4 * 3);
    for block in known.chunks_exact(4) {
        let bits = block.iter().fold(0u32, |bits, &b| bits << 6 | u32::from(value(b).unwrap_or(0)));
        decoded.extend_from_slice(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
        match block.iter().filter(|&&b| b == b'=').count() {
            0 => {}
            padding @ 1..=2 => {
                decoded.truncate(decoded.len() - padding);
                break;
            }
            _ => return None,
        }
    }
    (!decoded.is_empty()).then_some(decoded)
}

/// Appends the encoded bytes.
pub(super) fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    for block in bytes.chunks(3) {
        let byte = |i: usize| u32::from(block.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            out.push(if i <= block.len() { ALPHABET[(bits >> (18 - 6 * i) & 63) as usize] } else { b'=' });
        }
    }
}
