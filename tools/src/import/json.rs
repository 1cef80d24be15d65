//! JSON as rt-app reads it: keys in the order of the file, repeated ones kept, comments allowed. Not here: what the keys mean.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object: its entries as they stand.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The whole of a file; an error with its line and column.
    pub fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(&uncommented(text)).map_err(|error| error.to_string())
    }
}

/// The same with blanks in place of comments, which rt-app's library takes for nothing: `/* … */` and `// …`.
fn uncommented(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['"', '/']) {
        let (before, from) = rest.split_at(at);
        kept += before;
        let length = match from {
            _ if from.starts_with('"') => string(from),
            _ if from.starts_with("/*") => from.find("*/").map_or(from.len(), |end| end + 2),
            _ if from.starts_with("//") => from.find('\n').unwrap_or(from.len()),
            _ => 0,
        };
        let (here, after) = from.split_at(length.max(1));
        match length > 0 && here.starts_with('/') {
            true => kept.extend(here.chars().map(|c| if c == '\n' { c } else { ' ' })),
            false => kept += here,
        }
        rest = after;
    }
    kept + rest
}

/// Bytes of the string literal with which a text begins.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Whole)
    }
}

struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = access.next_element()? {
            all.push(value);
        }
        Ok(Json::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = access.next_entry()? {
            all.push(entry);
        }
        Ok(Json::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_their_repetitions_and_comments_are_blanks() {
        let text = "/* one\n\" */ { \"run\": 1, // two\n \"a\\\"//b\": [2.5, \"/*\"], \"run\": null }";
        let list = Json::List(vec![Json::Number(2.5), Json::Text("/*".into())]);
        let entries = [("run", Json::Number(1.0)), ("a\"//b", list), ("run", Json::Null)];
        let object = entries.map(|(key, value)| (key.to_string(), value)).into();
        assert_eq!(Json::read(text), Ok(Json::Object(object)));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        assert!(Json::read("{\n/* a\n */ \"b\": }").unwrap_err().contains("line 3"));
        assert!(Json::read("{ \"a").is_err() && Json::read("/*").is_err() && Json::read("/").is_err());
    }
}
