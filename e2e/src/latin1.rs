//! Bytes as text and back, one character each, for files that people read: `#[serde(with = "latin1")]`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// A byte becomes the character of its number.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&bytes.iter().map(|&byte| char::from(byte)).collect::<String>())
}

/// Characters beyond U+00FF are an error.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let byte = |letter: char| u8::try_from(letter).map_err(|_| D::Error::custom(format!("{letter:?} is no byte")));
    text.chars().map(byte).collect()
}
