//! Fast scanning of JSON text for the messages that clients usually send.
//!
//! Most of a call's cost outside SQLite would be reading its envelope with a general JSON parser. This
//! scanner knows only what usual messages are made of and gives up on everything else, so that the general
//! parser decides about it and words every error. What the scanner accepts is always valid JSON.

use wide::u8x16;

/// How deep params may be nested before the scanner gives up.
const MAX_DEPTH: u32 = 16;

/// The members of a usual call or notification, each as JSON text unless said otherwise.
#[derive(Debug, PartialEq, Eq)]
pub struct Usual<'a> {
    /// A string, an integer or null.
    pub id: Option<&'a str>,
    /// The content of a string without escapes.
    pub method: &'a str,
    /// Any value.
    pub params: Option<&'a str>,
}

/// Reads a JSON-RPC 2.0 call or notification without unknown or repeated members; `None` for anything else,
/// valid or not.
#[must_use]
pub fn usual_message(text: &str) -> Option<Usual<'_>> {
    let mut scanner = Scanner { text, at: 0 };
    let (mut version, mut id, mut method, mut params) = (None, None, None, None);
    scanner.take(b'{')?;
    loop {
        scanner.skip_blanks();
        scanner.take(b'"')?;
        // The first letter tells the members apart.
        let twice = match scanner.peek()? {
            b'i' => id.replace(scanner.name(*b"id\"")?.id()?).is_some(),
            b'm' => method.replace(scanner.name(*b"method\"")?.plain_string()?).is_some(),
            b'p' => params.replace(scanner.name(*b"params\"")?.value(MAX_DEPTH)?).is_some(),
            b'j' => version.replace(scanner.name(*b"jsonrpc\"")?.word("\"2.0\"")?).is_some(),
            _ => return None,
        };
        if twice {
            return None;
        }
        scanner.skip_blanks();
        if scanner.take(b',').is_none() {
            break;
        }
    }
    scanner.take(b'}')?;
    (version.is_some() && scanner.at == text.len()).then_some(())?;
    Some(Usual { id, method: method?, params })
}

/// The first byte that a JSON string escapes or ends at: a quote, a backslash or a control character; with
/// `OR_ED` also 0xED, with which surrogates begin in WTF-8. Looks at many bytes at a time, because large
/// values are all scanning.
#[must_use]
pub fn find_special<const OR_ED: bool>(bytes: &[u8]) -> Option<usize> {
    const LANES: usize = 16;
    const BLOCK: usize = 4 * LANES;
    let mut plain = 0;
    for block in bytes.as_chunks::<BLOCK>().0 {
        // One after the other, because a loop around so little work would be a third of it.
        let ([a, b, c, d], _) = block.as_chunks::<LANES>() else { break };
        let hits = special_lanes::<OR_ED>(a) | special_lanes::<OR_ED>(b) | special_lanes::<OR_ED>(c) | special_lanes::<OR_ED>(d);
        if hits.any() {
            break;
        }
        plain += BLOCK;
    }
    let (lanes, rest) = bytes[plain..].as_chunks::<LANES>();
    for lanes in lanes {
        let hits = special_lanes::<OR_ED>(lanes).to_bitmask();
        if hits != 0 {
            return Some(plain + hits.trailing_zeros() as usize);
        }
        plain += LANES;
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\' || (OR_ED && *byte == 0xED);
    rest.iter().position(special).map(|found| plain + found)
}

/// Has all bits of the special bytes set, and none of the others.
#[inline]
fn special_lanes<const OR_ED: bool>(lanes: &[u8; 16]) -> u8x16 {
    let lanes = u8x16::new(*lanes);
    // With this bit turned over the quote comes right after the control characters, and the blank does not.
    let turned = lanes ^ u8x16::splat(b'"' ^ b' ');
    let hits = turned.min(u8x16::splat(b' ')).simd_eq(turned) | lanes.simd_eq(u8x16::splat(b'\\'));
    if OR_ED { hits | lanes.simd_eq(u8x16::splat(0xED)) } else { hits }
}

/// A place in a JSON text. Its methods step over one thing and return its text, or give up with `None`.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Steps over a member's name, given with the quote at its end, and its colon. That its length is known when
    /// this is compiled makes it a few comparisons of words.
    #[inline]
    fn name<const N: usize>(&mut self, name: [u8; N]) -> Option<&mut Self> {
        (self.text.as_bytes().get(self.at..)?.first_chunk() == Some(&name)).then(|| self.at += N)?;
        self.after_colon()
    }

    fn after_colon(&mut self) -> Option<&mut Self> {
        self.skip_blanks();
        self.take(b':')?;
        self.skip_blanks();
        Some(self)
    }

    /// A string without escapes; its content.
    fn plain_string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        self.at += find_special::<false>(&self.text.as_bytes()[start..])?;
        self.take(b'"')?;
        Some(&self.text[start..self.at - 1])
    }

    fn id(&mut self) -> Option<&'a str> {
        matches!(self.peek()?, b'"' | b'-' | b'0'..=b'9' | b'n').then_some(())?;
        self.value(0)
    }

    fn value(&mut self, depth: u32) -> Option<&'a str> {
        let start = self.at;
        match self.peek()? {
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.integer()?,
            b'{' | b'[' => self.members(depth.checked_sub(1)?)?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => return None,
        }
        Some(&self.text[start..self.at])
    }

    fn members(&mut self, depth: u32) -> Option<()> {
        let named = self.peek() == Some(b'{');
        let end = if named { b'}' } else { b']' };
        self.at += 1;
        self.skip_blanks();
        if self.take(end).is_some() {
            return Some(());
        }
        loop {
            self.skip_blanks();
            if named {
                self.string()?;
                self.after_colon()?;
            }
            self.value(depth)?;
            self.skip_blanks();
            if self.take(b',').is_none() {
                return self.take(end);
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            self.at += find_special::<false>(&self.text.as_bytes()[self.at..])?;
            if self.take(b'"').is_some() {
                return Some(());
            }
            self.take(b'\\')?;
            match self.peek()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                b'u' => {
                    let digits = self.text.as_bytes().get(self.at + 1..self.at + 5)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then(|| self.at += 5)?;
                }
                _ => return None,
            }
        }
    }

    /// A number without fraction and exponent.
    fn integer(&mut self) -> Option<()> {
        self.take(b'-');
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let digits = self.at - start;
        let leading_zero = digits > 1 && self.text.as_bytes()[start] == b'0';
        (digits > 0 && !leading_zero && !matches!(self.peek(), Some(b'.' | b'e' | b'E'))).then_some(())
    }

    #[inline]
    fn word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_messages_are_read() {
        let text = r#"{ "jsonrpc" : "2.0","id":"a\u00e9","params":{"a":[1,{"b":"\\\"x"}],"c":-5},"method":"storage/getItem"}"#;
        let message = usual_message(text).expect("nothing in it is unusual");
        assert_eq!(message.id, Some(r#""a\u00e9""#));
        assert_eq!(message.method, "storage/getItem");
        assert_eq!(message.params, Some(r#"{"a":[1,{"b":"\\\"x"}],"c":-5}"#));
    }

    #[test]
    fn the_unusual_is_left_to_the_general_parser() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"jsonrpc":"1.0","method":"m"}"#,
            r#"{"jsonrpc":"2.0","method":"m","method":"m"}"#,
            r#"{"jsonrpc":"2.0","method":"m","id":{}}"#,
            r#"{"jsonrpc":"2.0","method":"m","id":1.5}"#,
            r#"{"jsonrpc":"2.0","method":"m","id":01}"#,
            r#"{"jsonrpc":"2.0","method":"m","id":-}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":["\x"]}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":[1,]}"#,
            r#"{"jsonrpc":"2.0","method":"m"} x"#,
            "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":[\"\n\"]}",
        ] {
            assert_eq!(usual_message(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_json(params in r#"[\[\]{}",:0-9a-z\\ .\x0a-]{0,12}"#) {
            let text = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{params}}}"#);
            if let Some(message) = usual_message(&text) {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
                prop_assert_eq!(message.params, Some(params.trim_matches([' ', '\n'])));
            }
        }

        #[test]
        fn the_first_special_byte_is_found(bytes in proptest::collection::vec(prop_oneof![8 => 0x20_u8..0x22, 1 => any::<u8>()], 0..200)) {
            let plain = bytes.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\' | 0xED));
            prop_assert_eq!(find_special::<true>(&bytes), plain);
            let plain = bytes.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(find_special::<false>(&bytes), plain);
        }
    }
}
