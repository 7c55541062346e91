//! `DOMString`: any sequence of 16-bit units, kept as WTF-8, read from and written to JSON.
//!
//! The HTML standard's keys and values are `DOMString`s, so a lone surrogate is legal in them. Rust's
//! `String` cannot hold one; WTF-8 (UTF-8 that also encodes lone surrogates, as three bytes) can, keeps
//! every well-formed string byte for byte what UTF-8 makes of it, and compares like UTF-8. On the wire a
//! lone surrogate is its JSON escape, `"\ud800"`.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use wide::u8x16;

use crate::scan::find_special;

/// A `DOMString` as WTF-8 bytes, borrowed from the message it came in wherever that has no escapes.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomString<'a>(Cow<'a, [u8]>);

/// What is written for a lone surrogate, the initialization option `illFormedStrings`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IllFormed {
    /// Its JSON escape, exact: `"\ud800"`.
    #[default]
    Escape,
    /// U+FFFD, for hosts whose JSON parser fails on a lone surrogate (Neovim, Emacs).
    Replace,
}

impl<'a> DomString<'a> {
    /// Wraps bytes that are WTF-8: they come from [`DomString`]'s own parser or from a database it wrote.
    #[must_use]
    pub fn from_wtf8(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        DomString(bytes.into())
    }

    /// The WTF-8 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The WTF-8 bytes, owned.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_owned()
    }

    /// A copy that borrows from nothing.
    #[must_use]
    pub fn into_owned(self) -> DomString<'static> {
        DomString(Cow::Owned(self.0.into_owned()))
    }

    /// A view of the same string that borrows from this one.
    #[must_use]
    pub fn borrowed(&self) -> DomString<'_> {
        DomString(Cow::Borrowed(&self.0))
    }

    /// The string for people and for UTF-8 interfaces: lone surrogates become U+FFFD.
    #[must_use]
    pub fn to_string_lossy(&self) -> String {
        let mut json = Vec::with_capacity(self.0.len() + 2);
        write_json(&self.0, IllFormed::Replace, &mut json);
        serde_json::from_slice(&json).expect("what write_json writes with surrogates replaced is a JSON string")
    }
}

impl<'a> From<&'a str> for DomString<'a> {
    fn from(text: &'a str) -> Self {
        DomString(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<String> for DomString<'static> {
    fn from(text: String) -> Self {
        DomString(Cow::Owned(text.into_bytes()))
    }
}

impl fmt::Debug for DomString<'_> {
    /// Prints the JSON form, which shows lone surrogates and control characters.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut json = Vec::with_capacity(self.0.len() + 2);
        write_json(&self.0, IllFormed::Escape, &mut json);
        formatter.write_str(&String::from_utf8_lossy(&json))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for DomString<'a> {
    /// Reads a JSON string with any escapes. The input must be checked to be UTF-8 beforehand: the parser
    /// is asked for bytes, because only that lets lone surrogates through, and so does not check it again.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wtf8;

        impl<'de> Visitor<'de> for Wtf8 {
            type Value = DomString<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(DomString(Cow::Borrowed(bytes)))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(DomString(Cow::Owned(bytes.to_vec())))
            }
        }

        deserializer.deserialize_bytes(Wtf8)
    }
}

impl Serialize for DomString<'_> {
    /// Writes the JSON form, with lone surrogates as [`serialize_as`] says. Only `serde_json` can: its raw values
    /// are the one way for them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = Vec::with_capacity(self.0.len() + 2);
        write_json(&self.0, SERIALIZED_AS.get(), &mut json);
        let json = String::from_utf8(json).map_err(serde::ser::Error::custom)?;
        RawValue::from_string(json).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

thread_local! {
    static SERIALIZED_AS: Cell<IllFormed> = const { Cell::new(IllFormed::Escape) };
}

/// Runs a serialisation in which lone surrogates are written this way.
pub fn serialize_as<T>(ill_formed: IllFormed, serialize: impl FnOnce() -> T) -> T {
    let before = SERIALIZED_AS.replace(ill_formed);
    let done = serialize();
    SERIALIZED_AS.set(before);
    done
}

/// The length of a WTF-8 string in 16-bit units: what the DOM calls its length, and the quota counts.
#[must_use]
pub fn units(wtf8: &[u8]) -> u64 {
    // Every unit begins at a byte that is no continuation byte; a four-byte sequence is two units.
    const LANES: usize = 16;
    let mut total = 0_u64;
    for part in wtf8.chunks(4096) {
        if part.is_ascii() {
            total += part.len() as u64;
            continue;
        }
        let (lanes, rest) = part.as_chunks::<LANES>();
        for lanes in lanes {
            let lanes = u8x16::new(*lanes);
            let continuations = (lanes & u8x16::splat(0xC0)).simd_eq(u8x16::splat(0x80));
            let pairs = lanes.max(u8x16::splat(0xF0)).simd_eq(lanes);
            total += LANES as u64 + u64::from(pairs.to_bitmask().count_ones()) - u64::from(continuations.to_bitmask().count_ones());
        }
        for &byte in rest {
            total += u64::from(byte & 0xC0 != 0x80) + u64::from(byte >= 0xF0);
        }
    }
    total
}

/// Whether bytes are WTF-8: UTF-8, but for lone surrogates.
#[must_use]
pub fn is_wtf8(mut bytes: &[u8]) -> bool {
    loop {
        let Err(error) = std::str::from_utf8(bytes) else { return true };
        match &bytes[error.valid_up_to()..] {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, rest @ ..] => bytes = rest,
            _ => return false,
        }
    }
}

/// Whether a string begins with another one, unit by unit: the first half of a surrogate pair begins the pair.
#[must_use]
pub fn starts_with(wtf8: &[u8], prefix: &[u8]) -> bool {
    if wtf8.starts_with(prefix) {
        return true;
    }
    // A lone high surrogate at the end of the prefix may have its other half in the string.
    let Some((before, [0xED, second @ 0xA0..=0xAF, third])) = prefix.split_last_chunk() else { return false };
    let Some([first, rest @ ..]) = wtf8.strip_prefix(before) else { return false };
    let [a, b, ..] = rest else { return false };
    let [first, a, b, second, third] = [first, a, b, second, third].map(|byte| u16::from(*byte));
    // Its ten bits are what the character has above its last ten, less the 2^16 at which pairs begin.
    let high = (first & 0x07) << 8 | (a & 0x3F) << 2 | (b & 0x30) >> 4;
    first >= 0xF0 && high.wrapping_sub(0x40) == (second & 0x0F) << 6 | (third & 0x3F)
}

/// The WTF-8 of a string of 16-bit units with the low byte first. An odd last byte is no unit.
#[must_use]
pub fn from_utf16le(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    let mut wtf8 = Vec::with_capacity(bytes.len() / 2);
    for character in char::decode_utf16(units) {
        match character {
            Ok(character) => wtf8.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(lone) => {
                // Only surrogates, from U+D800 to U+DFFF, come here: three bytes as UTF-8 would have.
                let [high, low] = lone.unpaired_surrogate().to_be_bytes();
                wtf8.extend([0xE0 | high >> 4, 0x80 | (high & 0xF) << 2 | low >> 6, 0x80 | low & 0x3F]);
            }
        }
    }
    wtf8
}

/// Appends a WTF-8 string to `out` as a JSON string.
pub fn write_json(wtf8: &[u8], ill_formed: IllFormed, out: &mut Vec<u8>) {
    /// Bytes that are looked at before they are copied: few enough to be near the processor still.
    const NEAR: usize = 16 << 10;
    out.reserve(wtf8.len() + 2);
    out.push(b'"');
    let mut rest = wtf8;
    while !rest.is_empty() {
        let near = &rest[..rest.len().min(NEAR)];
        let plain = find_special::<true>(near).unwrap_or(near.len());
        out.extend_from_slice(&near[..plain]);
        rest = &rest[plain..];
        if plain == near.len() {
            continue;
        }
        let length = if rest[0] == 0xED { 3 } else { 1 };
        match rest[0] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            // U+D000 to U+D7FF begin with the same byte as surrogates do and need no escape.
            0xED if rest[1] < 0xA0 => out.extend_from_slice(&rest[..length]),
            0xED if ill_formed == IllFormed::Replace => out.extend_from_slice("\u{FFFD}".as_bytes()),
            0xED => write_unit(0xD000 | u16::from(rest[1] & 0x3F) << 6 | u16::from(rest[2] & 0x3F), out),
            control => write_unit(u16::from(control), out),
        }
        rest = &rest[length..];
    }
    out.push(b'"');
}

/// Appends `\uXXXX`.
fn write_unit(unit: u16, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(DIGITS[usize::from(unit >> shift & 0xF)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> DomString<'_> {
        serde_json::from_str(json).expect("the test's own JSON is a string")
    }

    fn write(string: &DomString<'_>, ill_formed: IllFormed) -> String {
        let mut out = Vec::new();
        write_json(string.as_bytes(), ill_formed, &mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn any_units_round_trip() {
        for json in [
            r#""""#,
            r#""\ud800""#,
            r#""\udfff\ud800""#,
            r#""a\u0000b""#,
            r#""\ud83d\ud83d""#,
            "\"\u{D7FF}\u{D000}한국어\"",
            "\"\u{1F600}\u{FFFF}\u{E000}\"",
            r#""\"\\\n\r\t\b\f\u001f\u007f""#,
            r#""0123456789\u0001abcdefghijklmnop\ud8ab""#,
        ] {
            let string = parse(json);
            let written = write(&string, IllFormed::Escape);
            assert_eq!(parse(&written), string, "{json}");
        }
        assert_eq!(write(&parse(r#""\ud800x""#), IllFormed::Escape), r#""\ud800x""#);
    }

    #[test]
    fn a_pair_of_escapes_is_one_character() {
        assert_eq!(parse(r#""\ud83d\ude00""#), DomString::from("\u{1F600}"));
        assert_eq!(units(parse(r#""\ud83d\ude00""#).as_bytes()), 2);
        assert_eq!(units(parse(r#""\ud83d""#).as_bytes()), 1);
    }

    #[test]
    fn replacing_keeps_the_rest() {
        assert_eq!(write(&parse(r#""a\ud800b""#), IllFormed::Replace), "\"a\u{FFFD}b\"");
    }

    #[test]
    fn utf_16_becomes_the_same_string() {
        for json in [r#""a\ud800b""#, r#""\udfff\ud83d\ude00\ud83d""#, r#""añ€""#, r#""\u0000\uffff""#] {
            let string = parse(json);
            let text: Vec<u16> = crate::transcript::Json::parse(json.as_bytes()).map_or(Vec::new(), |json| match json {
                crate::transcript::Json::String(units) => units,
                _ => Vec::new(),
            });
            let bytes: Vec<u8> = text.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            assert_eq!(from_utf16le(&bytes), string.as_bytes(), "{json}");
        }
    }

    #[test]
    fn units_are_those_of_utf_16() {
        let text = "añ€😀".repeat(100);
        assert_eq!(units(text.as_bytes()), text.encode_utf16().count() as u64);
    }

    #[test]
    fn wtf_8_is_told_from_other_bytes() {
        for json in [r#""""#, r#""a\ud800b\udfff""#, "\"\u{D7FF}añ€😀\"", r#""\udfff\ud800""#] {
            assert!(is_wtf8(parse(json).as_bytes()), "{json}");
        }
        for bytes in [b"a\x80".as_slice(), b"\xC3", b"\xED\xA0", b"\xED\xA0\x80\xFF", b"\xF5\x80\x80\x80", b"\xC0\x80"] {
            assert!(!is_wtf8(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn a_prefix_is_one_of_16_bit_units() {
        let strings = ["", "a", "😀", "a😀", "a😁b", "𐀀", "\u{10FFFF}x", "é€", "\u{D7FF}"];
        let units = strings.map(|text| text.encode_utf16().collect::<Vec<_>>());
        let wtf8 = |units: &[u16]| from_utf16le(&units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>());
        for string in &units {
            for other in &units {
                for end in 0..=other.len() {
                    let prefix = &other[..end];
                    assert_eq!(starts_with(&wtf8(string), &wtf8(prefix)), string.starts_with(prefix), "{string:x?} {prefix:x?}");
                }
            }
        }
    }

    #[test]
    fn only_strings_are_strings() {
        for json in ["1", "[1,2]", "{}", "null", "true"] {
            assert!(serde_json::from_str::<DomString<'_>>(json).is_err(), "{json}");
        }
    }
}
