//! JSON values for comparison: strings as 16-bit units and numbers as the text they came in, so
//! that a lone surrogate, `1.0` or `9007199254740993` is never mistaken for something else.

use std::fmt;

/// How deep a value may nest. Replies are flat; the limit only keeps a broken server from
/// overflowing the stack of whoever reads it.
const DEPTH: usize = 200;

/// A JSON value that keeps everything a comparison must see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, as the text it was written in.
    Number(String),
    /// A string as its 16-bit units, lone surrogates included.
    String(Vec<u16>),
    /// An array.
    Array(Vec<Json>),
    /// An object: names and values in the order they came in.
    Object(Vec<(Vec<u16>, Json)>),
}

impl Json {
    /// Reads one JSON text, strictly as RFC 8259 has it and with no name given twice.
    ///
    /// # Errors
    ///
    /// Says what is wrong and at which byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|fault| format!("not UTF-8: {fault}"))?;
        let mut scanner = Scanner::new(text);
        let value = scanner.value(0)?;
        scanner.end()?;
        Ok(value)
    }

    /// The member `name` of an object; `None` for a value that has no such member.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        members.iter().find(|(own, _)| own.iter().copied().eq(name.encode_utf16())).map(|(_, value)| value)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Boolean(value) => write!(out, "{value}"),
            Self::Number(text) => out.write_str(text),
            Self::String(units) => write!(out, "\"{}\"", escaped(units)),
            Self::Array(items) => {
                out.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if index == 0 { "" } else { "," })?;
                }
                out.write_str("]")
            }
            Self::Object(members) => {
                out.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(out, "{comma}\"{}\":{value}", escaped(name))?;
                }
                out.write_str("}")
            }
        }
    }
}

/// The content of a JSON string literal for these units, in well-formed UTF-8.
pub(super) fn escaped(units: &[u16]) -> String {
    let mut text = String::with_capacity(units.len());
    for unit in char::decode_utf16(units.iter().copied()) {
        let unit = match unit {
            Ok(character @ ('"' | '\\')) => {
                text.extend(['\\', character]);
                continue;
            }
            Ok(character) if character >= ' ' => {
                text.push(character);
                continue;
            }
            Ok(control) => u32::from(control),
            Err(lone) => u32::from(lone.unpaired_surrogate()),
        };
        text.push_str("\\u");
        let digit = |shift: u32| char::from_digit(unit >> shift & 15, 16);
        text.extend([12, 8, 4, 0].into_iter().filter_map(digit));
    }
    text
}

/// Walks over JSON text; shared with the patterns, which are JSON with wildcards.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn skip_blank(&mut self) {
        let blank = |c| matches!(c, ' ' | '\t' | '\r' | '\n');
        self.at += self.rest().len() - self.rest().trim_start_matches(blank).len();
    }

    /// Steps over `token` if it comes next, blanks before it aside.
    pub(super) fn take(&mut self, token: &str) -> bool {
        self.skip_blank();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    pub(super) fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) {
            return Ok(());
        }
        Err(self.fault(&format!("expected `{token}`")))
    }

    /// A run of letters, digits and hyphens; empty if none comes next.
    pub(super) fn word(&mut self) -> &'a str {
        self.skip_blank();
        let rest = self.rest();
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    pub(super) fn end(&mut self) -> Result<(), String> {
        self.skip_blank();
        if self.rest().is_empty() {
            return Ok(());
        }
        Err(self.fault("expected the end"))
    }

    pub(super) fn fault(&self, what: &str) -> String {
        let rest: String = self.rest().chars().take(30).collect();
        format!("{what} at byte {}, before `{rest}`", self.at)
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEPTH {
            return Err(self.fault("nested too deep"));
        }
        if self.take("[") {
            let mut items = Vec::new();
            while !self.closed("]", items.is_empty())? {
                items.push(self.value(depth + 1)?);
            }
            return Ok(Json::Array(items));
        }
        if self.take("{") {
            let mut members: Vec<(Vec<u16>, Json)> = Vec::new();
            while !self.closed("}", members.is_empty())? {
                let name = self.string()?;
                if members.iter().any(|(own, _)| *own == name) {
                    return Err(self.fault("a name given twice"));
                }
                self.expect(":")?;
                members.push((name, self.value(depth + 1)?));
            }
            return Ok(Json::Object(members));
        }
        self.scalar()
    }

    /// True at the end of a list; otherwise steps over the comma that must separate its items.
    pub(super) fn closed(&mut self, bracket: &str, first: bool) -> Result<bool, String> {
        if self.take(bracket) {
            return Ok(true);
        }
        if !first {
            self.expect(",")?;
        }
        Ok(false)
    }

    /// A value that is neither an array nor an object.
    pub(super) fn scalar(&mut self) -> Result<Json, String> {
        self.skip_blank();
        match self.rest().bytes().next() {
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take("null") => Ok(Json::Null),
            _ if self.take("true") => Ok(Json::Boolean(true)),
            _ if self.take("false") => Ok(Json::Boolean(false)),
            _ => Err(self.fault("expected a value")),
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        let rest = self.rest();
        let digits = |from: usize| {
            let tail = &rest.as_bytes()[from..];
            tail.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let begin = usize::from(rest.starts_with('-'));
        let whole = digits(begin);
        let mut end = begin + whole;
        let leading_zero = whole > 1 && rest.as_bytes()[begin] == b'0';
        let mut complete = whole > 0 && !leading_zero;
        if rest[end..].starts_with('.') {
            complete &= digits(end + 1) > 0;
            end += 1 + digits(end + 1);
        }
        if rest[end..].starts_with(['e', 'E']) {
            end += 1 + usize::from(rest[end + 1..].starts_with(['+', '-']));
            complete &= digits(end) > 0;
            end += digits(end);
        }
        if !complete {
            return Err(self.fault("a malformed number"));
        }
        self.at += end;
        Ok(Json::Number(rest[..end].to_owned()))
    }

    pub(super) fn string(&mut self) -> Result<Vec<u16>, String> {
        self.expect("\"")?;
        let mut units = Vec::new();
        let rest = self.rest();
        let mut characters = rest.char_indices();
        let mut buffer = [0; 2];
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += index + 1;
                    return Ok(units);
                }
                '\\' => {
                    let (unit, length) = escape(&rest[index + 1..]).ok_or_else(|| self.fault("a malformed escape in the string"))?;
                    units.push(unit);
                    // The escape is ASCII, so characters and bytes count alike.
                    characters.nth(length - 1);
                }
                control if control < ' ' => {
                    return Err(self.fault("a bare control character in the string"));
                }
                other => units.extend_from_slice(other.encode_utf16(&mut buffer)),
            }
        }
        Err(self.fault("a string without an end"))
    }
}

/// The unit that the escape after a backslash stands for, and the escape's length.
fn escape(after: &str) -> Option<(u16, usize)> {
    let unit = match after.bytes().next()? {
        b'"' => b'"',
        b'\\' => b'\\',
        b'/' => b'/',
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let digits = after.get(1..5)?;
            let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let unit = u16::from_str_radix(digits, 16).ok()?;
            return hexadecimal.then_some((unit, 5));
        }
        _ => return None,
    };
    Some((u16::from(unit), 1))
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn lone_surrogates_and_number_texts_survive() {
        let text = r#"{"a":["\ud800","😀",1.0,9007199254740993,-0,1e400],"b":null}"#;
        let value = Json::parse(text.as_bytes()).expect("the text is JSON");
        assert_eq!(value.to_string(), text);
        let pair = Json::parse(br#""\ud83d\ude00""#).expect("the text is JSON");
        assert_eq!(pair.to_string(), "\"😀\"");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "01",
            "1.",
            "-",
            "1e",
            "\"\\x\"",
            "\"\\ud80\"",
            "nul",
            "{} {}",
            "{\"a\":1,\"a\":2}",
            "\"a\nb\"",
            "+1",
            "{\"a\"}",
            "[1 2]",
        ] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
