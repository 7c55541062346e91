//! Params: from JSON text to a wire type, with errors that name the param and say what was expected.

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// Parses params, an object or an array; absent ones are an empty object.
///
/// # Errors
/// [`Error::InvalidParams`] that names the param.
pub fn parse<'a, P: Deserialize<'a>>(text: Option<&'a str>) -> Result<P> {
    let text = text.unwrap_or("{}");
    serde_json::from_str(text).map_err(|error| explain(text, &error, field_names::<P>()))
}

/// Parses params that [`parse`] has refused with `error` again, with whole numbers written as integers: JSON Schema's
/// `integer` is any number without a fraction, such as `1.0` and `1e0`. `whole` keeps the text that is parsed.
///
/// # Errors
/// Those of [`parse`].
#[cold]
pub fn parse_written_whole<'a, P: Deserialize<'a>>(text: Option<&str>, whole: &'a mut Option<String>, error: Error) -> Result<P> {
    match text.and_then(with_whole_numbers) {
        Some(text) => parse(Some(whole.insert(text))),
        None => Err(error),
    }
}

/// A JSON text with its whole numbers written as integers; `None` if they are.
fn with_whole_numbers(text: &str) -> Option<String> {
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let end = at + bytes[at..].iter().take_while(|byte| is_of_number(byte)).count();
                if let Some(whole) = as_integer(&text[at..end]) {
                    out.push_str(&text[copied..at]);
                    out.push_str(&whole);
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    (copied > 0).then(|| out + &text[copied..])
}

/// A JSON number that is whole but not written as an integer, as an integer of at most twenty digits.
#[must_use]
pub fn as_integer(number: &str) -> Option<String> {
    let (sign, rest) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    if !rest.contains(['.', 'e', 'E']) && number != "-0" {
        return None;
    }
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (rest, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [before, after].concat();
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return (!digits.is_empty()).then(|| "0".to_owned());
    }
    let leading = digits.len() - digits.trim_start_matches('0').len();
    // How many digits are before the point.
    let point = i64::try_from(before.len()).ok()?.checked_add(exponent)?.checked_sub(i64::try_from(leading).ok()?)?;
    let point = usize::try_from(point).ok().filter(|point| (significant.len()..=20).contains(point))?;
    Some(format!("{sign}{significant}{}", "0".repeat(point - significant.len())))
}

/// Says which param is wrong, and what was expected. `names` are the params in the order of positions.
#[cold]
fn explain(text: &str, error: &serde_json::Error, names: &[&str]) -> Error {
    let whole = |message: String| Error::InvalidParams { param: None, message };
    if !text.starts_with(['{', '[']) {
        return whole(format!("params must be an object or an array, found {}", shortened(text)));
    }
    let by_position = text.starts_with('[');
    if by_position && let Ok(given) = serde_json::from_str::<Vec<&RawValue>>(text) {
        if given.len() > names.len() {
            return whole(format!("{} were given by position, expected at most {} ({})", given.len(), names.len(), names.join(", ")));
        }
        if error.to_string().starts_with("invalid length") {
            let missing = names.get(given.len()).copied().unwrap_or_default();
            return Error::param(missing, format_args!("missing; expected the params {}", names.join(", ")));
        }
    }
    let path = path_at(text, offset(text, error));
    let mut message = error.to_string();
    message.truncate(message.rfind(" at line").unwrap_or(message.len()));
    if let Some(found) = message.strip_suffix("expected u32") {
        message = format!("{found}expected an integer from 0 to {}", u32::MAX);
    }
    // A missing, unknown or repeated field is named in the message; the place is that of the object around it.
    let path = match message.split('`').nth(1) {
        Some(field)
            if message.starts_with("missing field") || message.starts_with("unknown field") || message.starts_with("duplicate field") =>
        {
            if path.is_empty() {
                field.to_owned()
            } else {
                format!("{path}.{field}")
            }
        }
        _ => path,
    };
    let param = match path.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((index, rest)) if by_position => {
            let name = index.parse::<usize>().ok().and_then(|index| names.get(index)).copied().unwrap_or(index);
            format!("{name}{rest}")
        }
        _ => path,
    };
    Error::param(&param, message)
}

/// The byte at which reading stopped.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    before + error.column()
}

/// The way to the value at which reading stopped, such as `set[0].key`; empty for the whole. Reading stops before an
/// array or object that is not expected, and behind any other value.
fn path_at(text: &str, offset: usize) -> String {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        match rest.bytes().next() {
            _ if at >= offset && !matches!(steps.last(), Some(Step::Key(None))) => break,
            Some(b'{') => {
                steps.push(Step::Key(None));
                rest = &rest[1..];
            }
            Some(b'[') => {
                steps.push(Step::Index(0));
                rest = &rest[1..];
            }
            Some(b'}' | b']') => {
                steps.pop();
                rest = &rest[1..];
                // An object that lacks a field is found out at its end.
                if at + 1 >= offset {
                    break;
                }
            }
            Some(b',') => {
                match steps.last_mut() {
                    Some(Step::Index(index)) => *index += 1,
                    Some(Step::Key(key)) => *key = None,
                    None => {}
                }
                rest = &rest[1..];
            }
            Some(b':') => rest = &rest[1..],
            Some(_) => {
                let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
                let Some(Ok(value)) = values.next() else { break };
                let value = value.get();
                let end = at + value.len();
                match steps.last_mut() {
                    Some(Step::Key(key @ None)) if end < offset => *key = Some(value.trim_matches('"')),
                    _ if end >= offset => break,
                    _ => {}
                }
                rest = &rest[value.len()..];
            }
            None => break,
        }
    }
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(Some(key)) if path.is_empty() => path.push_str(key),
            Step::Key(Some(key)) => path.extend([".", key]),
            Step::Key(None) => {}
            Step::Index(index) => path.extend(["[", &index.to_string(), "]"]),
        }
    }
    path
}

/// One step on the way to a value: into an object, and to the member of a name once that is known, or to an element of
/// an array.
enum Step<'a> {
    Key(Option<&'a str>),
    Index(usize),
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The names of the fields of a params struct, in order.
#[must_use]
pub fn field_names<'a, P: Deserialize<'a>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The deserializer notes the names it is told and then gives up, so that there is no value to look at.
    drop(P::deserialize(FieldNames(&mut names)));
    names
}

/// A deserializer of nothing: it learns which fields a struct has.
struct FieldNames<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> std::result::Result<V::Value, Self::Error> {
        Err(Self::Error::custom("only the names of the fields are wanted"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{OfIndex, Open, SetItem, Transact};

    fn fault<'a, P: Deserialize<'a> + std::fmt::Debug>(text: &'a str) -> (Option<String>, String) {
        match parse::<P>(Some(text)) {
            Err(Error::InvalidParams { param, message }) => (param, message),
            other => (None, format!("unexpected: {other:?}")),
        }
    }

    #[test]
    fn the_faulty_param_is_named() {
        for (text, param) in [
            (r#"{"storage":1,"key":"a"}"#, "value"),
            (r#"{"storage":1,"key":5,"value":"b"}"#, "key"),
            (r#"{"storage":"1","key":"a","value":"b"}"#, "storage"),
            (r#"{"storage":1,"key":"a","valu":"b"}"#, "valu"),
            (r#"{"storage":1,"key":"a","key":"a","value":"b"}"#, "key"),
            (r#"[1,"a"]"#, "value"),
            (r#"[1,null,"a"]"#, "key"),
        ] {
            assert_eq!(fault::<SetItem<'_>>(text).0.as_deref(), Some(param), "{text}");
        }
        for (text, param) in [
            (r#"{"storage":1,"set":[{"key":"a","value":"b"},{"key":"a"}]}"#, "set[1].value"),
            (r#"{"storage":1,"set":[{"key":"a","value":"b"},{"key":[],"value":"c"}]}"#, "set[1].key"),
            (r#"{"storage":1,"set":[{"key":"a","value":"b","x":1}]}"#, "set[0].x"),
            ("{\"storage\":1,\n\"set\":[ 5 ]}", "set[0]"),
            (r#"{"storage":1,"remove":["a",{"b":[1]}]}"#, "remove[1]"),
            (r#"{"storage":1,"remove":{}}"#, "remove"),
            (r#"[1,[],[{"key":"a","value":false}]]"#, "set[0].value"),
        ] {
            assert_eq!(fault::<Transact<'_>>(text).0.as_deref(), Some(param), "{text}");
        }
        assert_eq!(fault::<OfIndex>(r#"{"storage":1,"index":4294967296}"#).0.as_deref(), Some("index"));
        assert_eq!(fault::<OfIndex>("[1,-1]").1, "index: invalid value: integer `-1`, expected an integer from 0 to 4294967295");
    }

    #[test]
    fn what_is_wrong_with_the_whole_is_said() {
        assert_eq!(fault::<OfIndex>("[1,2,3]").1, "3 were given by position, expected at most 2 (storage, index)");
        assert_eq!(fault::<OfIndex>("5").1, "params must be an object or an array, found 5");
    }

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        for (number, integer) in [
            ("1.0", Some("1")),
            ("1e0", Some("1")),
            ("10E1", Some("100")),
            ("1.50e1", Some("15")),
            ("100e-2", Some("1")),
            ("-0", Some("0")),
            ("-0.0", Some("0")),
            ("0e99999999999999", Some("0")),
            ("0.01e2", Some("1")),
            ("-2.0", Some("-2")),
            ("1.00000000000000000000000000000000001", None),
            ("1.5", None),
            ("1e-1", None),
            ("1e400", None),
            ("7", None),
        ] {
            assert_eq!(as_integer(number).as_deref(), integer, "{number}");
        }
        let text = r#"{"a.0":[1.0,"2.0 \" 3.0",-4e0],"b":1.5}"#;
        assert_eq!(with_whole_numbers(text).as_deref(), Some(r#"{"a.0":[1,"2.0 \" 3.0",-4],"b":1.5}"#));
        assert_eq!(with_whole_numbers(r#"[1,"1.0"]"#), None);
    }

    #[test]
    fn optional_params_may_be_left_out_by_position() {
        let open: Open<'_> = parse(Some("[true]")).expect("only persistent is required");
        assert!(open.persistent && open.origin.is_none());
    }
}
