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
    serde_json::from_str(text).map_err(|error| explain::<P>(text, &error))
}

/// Parses again, slowly, to find out where the fault is.
fn explain<'a, P: Deserialize<'a>>(text: &'a str, error: &serde_json::Error) -> Error {
    let whole = |message: String| Error::InvalidParams { param: None, message };
    if !text.starts_with(['{', '[']) {
        return whole(format!("params must be an object or an array, found {}", shortened(text)));
    }
    let names = field_names::<P>();
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
    let path = serde_path_to_error::deserialize::<_, P>(&mut serde_json::Deserializer::from_str(text))
        .err()
        .map(|error| error.path().to_string())
        .unwrap_or_default();
    let mut message = error.to_string();
    message.truncate(message.rfind(" at line").unwrap_or(message.len()));
    // A missing or unknown field is named in the message, the path only leads to the object around it.
    let path = match message.split('`').nth(1) {
        Some(field)
            if message.starts_with("missing field") || message.starts_with("unknown field") || message.starts_with("duplicate field") =>
        {
            match path.as_str() {
                "" | "." => field.to_owned(),
                // For an unknown field the path leads to the field itself.
                path if path == field || path.ends_with(&format!(".{field}")) => path.to_owned(),
                path => format!("{path}.{field}"),
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
    use crate::protocol::{OfIndex, Open, SetItem};

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
        assert_eq!(fault::<OfIndex>(r#"{"storage":1,"index":4294967296}"#).0.as_deref(), Some("index"));
        assert_eq!(fault::<OfIndex>("[1,-1]").1, "index: invalid value: integer `-1`, expected an integer from 0 to 4294967295");
    }

    #[test]
    fn what_is_wrong_with_the_whole_is_said() {
        assert_eq!(fault::<OfIndex>("[1,2,3]").1, "3 were given by position, expected at most 2 (storage, index)");
        assert_eq!(fault::<OfIndex>("5").1, "params must be an object or an array, found 5");
    }

    #[test]
    fn optional_params_may_be_left_out_by_position() {
        let open: Open<'_> = parse(Some("[true]")).expect("only persistent is required");
        assert!(open.persistent && open.origin.is_none());
    }
}
