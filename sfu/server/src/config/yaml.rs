//! A YAML file as a tree whose nodes know their lines, so that an error can say where.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use serde_saphyr::Spanned;

/// Words of an error that are shorter than this can't give away a secret.
const TELLING: usize = 4;

/// A node and its line, counted from 1.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) content: Content,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Content {
    /// Anything but a mapping.
    Leaf(Value),
    /// Names, each with its line.
    Section(Vec<(String, u64, Node)>),
}

/// Why a text is not YAML.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: u64,
    pub(super) message: String,
}

/// Reads a file's text; `None` if there is nothing in it.
pub(super) fn parse(text: &str) -> Result<Option<Node>, SyntaxError> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let parsed: Result<Spanned<Option<Content>>, _> =
        serde_saphyr::from_str_with_options(text, options);
    match parsed {
        Ok(root) => Ok(root
            .value
            .map(|content| Node {
                line: root.referenced.line(),
                content,
            })
            .filter(|node| !matches!(node.content, Content::Leaf(Value::Null)))),
        Err(error) => {
            let line = error.location().map_or(1, |location| location.line());
            Err(SyntaxError {
                line,
                message: discreet(&error.without_snippet().to_string(), text),
            })
        }
    }
}

/// A parser may repeat what it could not read, which may be a secret: then it only says that.
fn discreet(message: &str, text: &str) -> String {
    let tells = text
        .split(|c: char| c.is_whitespace() || "\"'`:,[]{}".contains(c))
        .filter(|word| word.len() >= TELLING)
        .any(|word| message.contains(word));
    if tells {
        return "can't be read as YAML; compare quotes, colons and indentation".to_owned();
    }
    format!("not YAML: {message}")
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Leaf(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Leaf(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Leaf(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Content>()? {
            list.push(item.into_value());
        }
        Ok(Content::Leaf(list.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        let mut section = Vec::new();
        while let Some(name) = entries.next_key::<Spanned<String>>()? {
            let value = entries.next_value::<Spanned<Option<Content>>>()?;
            let node = Node {
                line: value.referenced.line(),
                content: value.value.unwrap_or(Content::Leaf(Value::Null)),
            };
            section.push((name.value, name.referenced.line(), node));
        }
        Ok(Content::Section(section))
    }
}

impl Content {
    /// Without the lines.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Leaf(value) => value,
            Self::Section(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|(name, _, node)| (name, node.content.into_value()))
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_know_their_lines() {
        let node = parse("# a comment\nport: 1\nrtc:\n  shards: 3\n  advertise: [a, 2]\n")
            .unwrap()
            .unwrap();
        let Content::Section(entries) = node.content else {
            panic!("no section");
        };
        let (name, line, rtc) = &entries[1];
        assert_eq!((name.as_str(), *line), ("rtc", 3));
        let Content::Section(entries) = &rtc.content else {
            panic!("no section");
        };
        assert_eq!((entries[0].1, entries[0].2.line), (4, 4));
        assert_eq!(entries[1].1, 5);
        assert!(
            matches!(&entries[1].2.content, Content::Leaf(list) if *list == serde_json::json!(["a", 2]))
        );
    }

    #[test]
    fn an_empty_file_is_nothing() {
        for text in ["", "# only a comment\n", "---\n", "~"] {
            assert!(parse(text).unwrap().is_none(), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_yaml_is_told_by_its_line_without_what_may_be_a_secret() {
        for text in [
            "port: 1\nkeys:\n  a: \"hushhush\n",
            "port: 1\nkeys: *hushhush\n",
            "keys:\n  a: !!int hushhush\n",
            "keys: {a: hushhush\n",
        ] {
            if let Err(error) = parse(text) {
                assert!(!error.message.contains("hush"), "{error:?}");
                assert!(error.line >= 1, "{error:?}");
            }
        }
        assert!(parse("port: [1\n").is_err());
    }
}
