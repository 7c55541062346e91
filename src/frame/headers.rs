//! The header block before a message, as the Language Server Protocol has it.

use memchr::memchr;

use super::FrameError;

/// The largest header block, in bytes.
const MAX_HEADERS: usize = 4096;

/// A complete header block.
pub(super) struct Headers {
    /// Bytes of the block with the blank line that ends it.
    pub(super) size: usize,
    /// The declared length of the body.
    pub(super) length: usize,
}

/// Parses a header block; `None` while it is incomplete.
pub(super) fn parse_headers(bytes: &[u8], any_header: bool) -> Result<Option<Headers>, FrameError> {
    if let Some(headers) = parse_usual_headers(bytes) {
        return Ok(Some(headers));
    }
    let broken = |what: String| Err(FrameError::Headers(what));
    let mut at = 0;
    let mut length = None;
    loop {
        let rest = &bytes[at..bytes.len().min(MAX_HEADERS)];
        let Some(end) = memchr(b'\n', rest) else {
            if bytes.len() >= MAX_HEADERS {
                return broken(format!("no blank line within {MAX_HEADERS} bytes"));
            }
            // The first line is looked at before it is complete, so that a peer that speaks another protocol
            // and waits for an answer is told at once.
            return if at == 0 { check_beginning(bytes).map(|()| None) } else { Ok(None) };
        };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        at += end + 1;
        if line.is_empty() {
            return match length {
                Some(length) => Ok(Some(Headers { size: at, length })),
                None => broken("Content-Length is missing".to_owned()),
            };
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return broken("a header is not UTF-8".to_owned());
        };
        if line.starts_with(['{', '[']) {
            return broken("a line of JSON where a Content-Length header was expected; one connection keeps to one framing".to_owned());
        }
        let Some((name, value)) = line.split_once(':') else {
            return broken(format!("expected `Content-Length: N`, found {:?}", shortened(line)));
        };
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("Content-Length") {
            let parsed = parse_length(value)?;
            if length.is_some_and(|before| before != parsed) {
                return broken("Content-Length is given twice, with different values".to_owned());
            }
            length = Some(parsed);
        } else if name.eq_ignore_ascii_case("Content-Type") {
            check_charset(value)?;
        } else if !any_header || name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return broken(format!("{:?} is no header of this protocol", shortened(name)));
        }
    }
}

/// Parses the header block as almost every client writes it, which takes a twentieth of the time; `None` for
/// any other, complete or not.
fn parse_usual_headers(bytes: &[u8]) -> Option<Headers> {
    const NAME: &[u8] = b"Content-Length: ";
    const END: &[u8] = b"\r\n\r\n";
    /// No number of so many digits overflows.
    const MAX_DIGITS: usize = 9;
    let value = bytes.strip_prefix(NAME)?;
    let digits = value.iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0 && value[digits..].starts_with(END)).then_some(())?;
    let length = value[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    Some(Headers { size: NAME.len() + digits + END.len(), length })
}

/// Refuses a first line that cannot become a header.
fn check_beginning(bytes: &[u8]) -> Result<(), FrameError> {
    let name = &bytes[..memchr(b':', bytes).unwrap_or(bytes.len())];
    match name.iter().find(|byte| !byte.is_ascii_graphic() && **byte != b'\r') {
        Some(byte) => Err(FrameError::Headers(format!("byte 0x{byte:02X} cannot begin a header or a JSON text"))),
        None => Ok(()),
    }
}

fn parse_length(value: &str) -> Result<usize, FrameError> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FrameError::Headers(format!("Content-Length must be decimal digits, found {:?}", shortened(value))));
    }
    value.parse().map_err(|_| FrameError::Headers(format!("Content-Length {:?} is too large", shortened(value))))
}

fn check_charset(value: &str) -> Result<(), FrameError> {
    let charset = value.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    match charset {
        Some(charset) if !charset.eq_ignore_ascii_case("utf-8") && !charset.eq_ignore_ascii_case("utf8") => {
            Err(FrameError::Headers(format!("charset {:?} is not supported, only utf-8", shortened(charset))))
        }
        _ => Ok(()),
    }
}

/// At most the first 60 characters, for error messages.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
