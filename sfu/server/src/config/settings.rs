//! What can be set: a list made from the one [`Config`] struct, its types and its doc comments, so that `config reference`,
//! `config check`, the environment and the reload can't disagree with it.

use std::sync::LazyLock;

use schemars::{JsonSchema as _, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::Config;

/// One setting.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its name in the file: sections and dots.
    pub name: String,
    /// What it means.
    pub meaning: String,
    /// Its environment variable.
    pub variable: String,
    /// Its default.
    pub default: Value,
    /// What it takes.
    pub kind: Kind,
    /// A running process takes a new value.
    pub reloads: bool,
    /// Its value is never shown.
    pub secret: bool,
}

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// true or false.
    Switch,
    /// A whole number within these bounds.
    Whole {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// A number.
    Number,
    /// A text.
    Text,
    /// Several texts.
    List,
    /// Names, each with a secret.
    Keys,
    /// Names, each with settings of its own.
    Named,
}

/// A section of the file, or the file itself.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its name; empty for the file itself.
    pub name: String,
    /// What it is about.
    pub meaning: String,
}

static ALL: LazyLock<(Vec<Section>, Vec<Setting>)> = LazyLock::new(|| {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let schema = Config::json_schema(&mut generator).to_value();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut all = (
        vec![Section {
            name: String::new(),
            meaning: String::new(),
        }],
        Vec::new(),
    );
    gather(&schema, &defaults, "", &mut all);
    all
});

/// All settings, section by section.
#[must_use]
pub fn settings() -> &'static [Setting] {
    &ALL.1
}

/// The sections, the file itself first.
#[must_use]
pub fn sections() -> &'static [Section] {
    &ALL.0
}

fn gather(schema: &Value, defaults: &Value, prefix: &str, all: &mut (Vec<Section>, Vec<Setting>)) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    for (name, schema) in properties {
        let dotted = format!("{prefix}{name}");
        let default = defaults.get(name).cloned().unwrap_or_default();
        let meaning = one_line(schema.get("description"));
        if schema.get("properties").is_some() {
            all.0.push(Section {
                name: dotted.clone(),
                meaning,
            });
            gather(schema, &default, &format!("{dotted}."), all);
            continue;
        }
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        let flag = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or(false);
        all.1.push(Setting {
            meaning,
            variable: text("x-variable").unwrap_or_default().to_owned(),
            kind: kind(schema),
            reloads: flag("x-reloads"),
            secret: flag("x-secret"),
            name: dotted,
            default,
        });
    }
}

fn kind(schema: &Value) -> Kind {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => Kind::Switch,
        Some("integer") => Kind::Whole {
            min: bound("minimum").unwrap_or(0),
            max: bound("maximum").unwrap_or(match schema.get("format").and_then(Value::as_str) {
                Some("uint16") => u16::MAX.into(),
                Some("uint32") => u32::MAX.into(),
                _ => u64::MAX,
            }),
        },
        Some("number") => Kind::Number,
        Some("array") => Kind::List,
        Some("object") if schema.get("x-secret").is_some() => Kind::Keys,
        Some("object") => Kind::Named,
        _ => Kind::Text,
    }
}

/// A doc comment without its line ends.
fn one_line(description: Option<&Value>) -> String {
    description
        .and_then(Value::as_str)
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

impl Setting {
    /// A variable's text as a value of this kind. The error does not repeat the text of a secret.
    pub(super) fn of_text(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match self.kind {
            Kind::Switch => match text {
                "1" | "true" | "yes" | "on" => Ok(true.into()),
                "0" | "false" | "no" | "off" => Ok(false.into()),
                _ => Err(format!("`{text}` is not true or false")),
            },
            Kind::Whole { .. } => text
                .parse::<u64>()
                .map(Value::from)
                .map_err(|_| format!("`{text}` is not a whole number")),
            Kind::Number => text
                .parse::<f64>()
                .map(Value::from)
                .map_err(|_| format!("`{text}` is not a number")),
            Kind::Text => Ok(text.into()),
            Kind::List => Ok(text
                .split([',', ' '])
                .filter(|item| !item.is_empty())
                .map(Value::from)
                .collect::<Vec<_>>()
                .into()),
            Kind::Keys => key_pairs(text),
            Kind::Named => serde_json::from_str(text)
                .map_err(|error| format!("expected JSON, as in {{\"name\": {{...}}}}: {error}")),
        }
    }

    /// Whether a value has the right type and lies within the bounds.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        let wrong = |expected: &str| {
            if self.secret {
                Err(format!("expected {expected}"))
            } else {
                Err(format!("expected {expected}, found {value}"))
            }
        };
        match self.kind {
            Kind::Switch if !value.is_boolean() => wrong("true or false"),
            Kind::Whole { min, max } => match value.as_u64() {
                Some(number) if (min..=max).contains(&number) => Ok(()),
                _ => wrong(&format!("a whole number from {min} to {max}")),
            },
            Kind::Number if !value.is_number() => wrong("a number"),
            Kind::Text if !value.is_string() => {
                wrong("a text; a number or word of YAML needs quotes to be one")
            }
            Kind::List if !value.is_array() => wrong("a list, as in [a, b]"),
            Kind::Named if !value.is_object() => {
                wrong("names, each with settings, as in `name: {...}`")
            }
            Kind::Keys if !value.is_object() => wrong("`name: secret`, one a line"),
            _ => self.parses(value),
        }
    }

    /// What the struct itself says of a value.
    fn parses(&self, value: &Value) -> Result<(), String> {
        let mut tree = Value::Object(Map::new());
        insert(&mut tree, &self.name, value.clone());
        serde_json::from_value::<Config>(tree)
            .map(|_| ())
            .map_err(|error| {
                if self.kind == Kind::Keys {
                    "each API key needs a text as its secret, or a list of texts; put it into quotes"
                        .to_owned()
                } else if self.secret {
                    "not a value of this setting".to_owned()
                } else {
                    error.to_string()
                }
            })
    }
}

/// Sets a value by its dotted name.
pub(super) fn insert(tree: &mut Value, name: &str, value: Value) {
    let Value::Object(map) = tree else {
        return;
    };
    match name.split_once('.') {
        None => {
            map.insert(name.to_owned(), value);
        }
        Some((section, rest)) => {
            let below = map
                .entry(section)
                .or_insert_with(|| Value::Object(Map::new()));
            insert(below, rest, value);
        }
    }
}

/// A value by its dotted name.
pub(super) fn find<'a>(tree: &'a Value, name: &str) -> Option<&'a Value> {
    name.split('.').try_fold(tree, |node, part| node.get(part))
}

/// `name: secret, name: secret`; a comma before something without a colon belongs to the secret, and a name that comes twice
/// has two secrets. The error never repeats the text.
fn key_pairs(text: &str) -> Result<Value, String> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for part in text.split([',', '\n']) {
        match (part.split_once(':'), pairs.last_mut()) {
            (Some((name, secret)), _) => pairs.push((name.trim(), secret.trim().to_owned())),
            (None, Some((_, secret))) => {
                secret.push(',');
                secret.push_str(part);
            }
            (None, None) => break,
        }
    }
    if pairs.is_empty()
        || pairs
            .iter()
            .any(|(name, secret)| name.is_empty() || secret.is_empty())
    {
        return Err("expected `name: secret`, several separated by commas".to_owned());
    }
    let mut map = Map::new();
    for (name, secret) in pairs {
        let secrets = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(secrets) = secrets {
            secrets.push(secret.trim_end().into());
        }
    }
    Ok(Value::Object(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_meaning_and_a_variable_of_its_own() {
        let mut variables = std::collections::BTreeSet::new();
        for setting in settings() {
            assert!(!setting.meaning.is_empty(), "{}", setting.name);
            assert!(!setting.variable.is_empty(), "{}", setting.name);
            assert!(variables.insert(&setting.variable), "{}", setting.name);
            assert!(!setting.default.is_null(), "{}", setting.name);
        }
        for section in sections().iter().skip(1) {
            assert!(!section.meaning.is_empty(), "{}", section.name);
        }
        assert!(settings().len() > 25, "{}", settings().len());
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for setting in settings() {
            assert_eq!(setting.check(&setting.default), Ok(()), "{}", setting.name);
        }
    }
}
