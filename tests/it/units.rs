//! Strings of 16-bit units and their JSON, written and read without the program's own code.

use std::fmt::Write as _;

/// The JSON of a string, with an escape for every unit that needs one and for some that do not.
pub fn to_json(units: &[u16]) -> String {
    let mut json = String::with_capacity(units.len() + 2);
    json.push('"');
    for decoded in char::decode_utf16(units.iter().copied()) {
        match decoded {
            Ok(plain @ (' '..='!' | '#'..='[' | ']'..='~' | '\u{e9}' | '\u{301}' | '\u{4e00}'..='\u{9fff}' | '\u{1f600}')) => {
                json.push(plain);
            }
            Ok(escaped) => {
                for unit in escaped.encode_utf16(&mut [0; 2]) {
                    write!(json, "\\u{unit:04x}").expect("a string takes everything");
                }
            }
            Err(lone) => {
                write!(json, "\\u{:04X}", lone.unpaired_surrogate()).expect("a string takes everything");
            }
        }
    }
    json.push('"');
    json
}

/// The units of a JSON string, and what follows it.
pub fn from_json(json: &str) -> (Vec<u16>, &str) {
    let mut rest = json.strip_prefix('"').unwrap_or_else(|| panic!("no string: {json:.100}"));
    let mut units = Vec::new();
    loop {
        let plain = rest.find(['"', '\\']).expect("the string ends");
        units.extend(rest[..plain].encode_utf16());
        if rest.as_bytes()[plain] == b'"' {
            return (units, &rest[plain + 1..]);
        }
        let code = rest[plain + 1..].chars().next().expect("an escape follows");
        rest = &rest[plain + 2..];
        units.push(match code {
            'u' => {
                let unit = u16::from_str_radix(&rest[..4], 16).expect("four hexadecimal digits follow");
                rest = &rest[4..];
                unit
            }
            'n' => 10,
            't' => 9,
            'r' => 13,
            'b' => 8,
            'f' => 12,
            plain @ ('"' | '\\' | '/') => u16::try_from(u32::from(plain)).expect("it is ASCII"),
            other => panic!("no escape: {other}"),
        });
    }
}

/// The units of a JSON string, or `None` for `null`.
pub fn of_result(json: &str) -> Option<Vec<u16>> {
    (json != "null").then(|| {
        let (units, rest) = from_json(json);
        assert_eq!(rest, "", "one string and nothing else");
        units
    })
}

/// The strings in a JSON array.
pub fn of_array(json: &str) -> Vec<Vec<u16>> {
    let mut rest = json.strip_prefix('[').expect("it is an array");
    let mut strings = Vec::new();
    while !rest.starts_with(']') {
        let (string, after) = from_json(rest);
        strings.push(string);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    strings
}

/// The units of ordinary text.
pub fn of_text(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}
