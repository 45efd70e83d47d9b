//! `config reference`: every setting with its default, variable and meaning, as docs/configuration.md has it.

use std::fmt::Write as _;

use serde_json::Value;

use super::settings::{Kind, Setting, sections, settings};

const INTRODUCTION: &str = "\
# Configuration

This text is written by `plenum-sfu config reference`. A setting is looked up in the environment first, then in the file of
`--config FILE` (or `PLENUM_CONFIG`), then here. A list in the environment has commas between its items. `plenum-sfu config
check FILE` says everything that is wrong with a file, and where.

Without a file, keys and a Redis, or with `--dev`, the server is in dev mode: key `devkey`, secret `secret`, one port for
everything. Otherwise it is in production: it needs API keys with secrets of at least 32 bytes (`openssl rand -hex 32`), refuses
`devkey`, and shows metrics and health on the admin port only.

A process that gets SIGHUP, or whose file has changed, takes over the settings marked *live*; the others wait for the next
start, and a log line names those that do. A file with anything wrong changes nothing. To change an API key's secret without
refusing anyone, give it both, the new one first, as in `team-a: [NEW, OLD]`; when the last token of the old one has expired,
remove that.
";

/// The text of the reference, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    for section in sections() {
        // Writing to a string does not fail.
        let _ = match section.name.as_str() {
            "" => writeln!(out, "\n## Settings of the file itself\n"),
            name => writeln!(out, "\n## `{name}`\n\n{}\n", section.meaning),
        };
        out.push_str(
            "| setting | environment | default | live | meaning |\n|---|---|---|---|---|\n",
        );
        for setting in settings() {
            let parent = setting
                .name
                .rsplit_once('.')
                .map_or("", |(parent, _)| parent);
            if parent == section.name {
                row(&mut out, setting);
            }
        }
    }
    out
}

fn row(out: &mut String, setting: &Setting) {
    let live = if setting.reloads { "live" } else { "" };
    let meaning = setting.meaning.replace('|', "\\|");
    let _ = writeln!(
        out,
        "| `{}` | `{}` | {} | {live} | {meaning} |",
        setting.name,
        setting.variable,
        default(setting),
    );
}

fn default(setting: &Setting) -> String {
    match (&setting.default, setting.kind) {
        (Value::String(text), _) if text.is_empty() => "none".to_owned(),
        (Value::String(text), _) => format!("`{text}`"),
        (Value::Array(items), _) if items.is_empty() => "none".to_owned(),
        (Value::Array(items), _) => {
            let items: Vec<_> = items
                .iter()
                .map(|item| item.as_str().unwrap_or("?"))
                .collect();
            format!("`[{}]`", items.join(", "))
        }
        (_, Kind::Keys | Kind::Named) => "none".to_owned(),
        (value, _) => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_the_reference() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let written = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            written,
            super::reference(),
            "write it anew: plenum-sfu config reference > docs/configuration.md"
        );
    }
}
