//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    auth::{Claims, Keys, TrackSourceName, VideoGrant},
    config::{Config, ConfigError, DEV_KEY, load, reference},
};

/// A WebRTC conferencing server for LiveKit's clients.
#[derive(Debug, Parser)]
#[command(name = "plenum-sfu", version)]
pub struct Cli {
    /// Dev mode: key `devkey` with secret `secret`, and a page that gives itself tokens. The default when neither a
    /// configuration file, nor keys, nor a Redis are given; otherwise this is production.
    #[arg(long, global = true)]
    pub dev: bool,
    /// Configuration file (YAML).
    #[arg(long, global = true, value_name = "FILE", env = "PLENUM_CONFIG")]
    pub config: Option<PathBuf>,
    /// What to do; without one, the server starts.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints an access token.
    Token(TokenArgs),
    /// About the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What to do about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Says all that is wrong with a file and the environment, and where; the exit status is 0 if nothing is.
    Check {
        /// The file; without one, that of --config.
        file: Option<PathBuf>,
    },
    /// Prints every setting with its environment variable, default and meaning, in Markdown.
    Reference,
}

/// What a token says.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Room to join, or to use the server API on.
    #[arg(long, default_value = "")]
    pub room: String,
    /// Identity of the participant.
    #[arg(long, default_value = "")]
    pub identity: String,
    /// Display name.
    #[arg(long, default_value = "")]
    pub name: String,
    /// How long it is valid: seconds, or a number with s, m, h or d.
    #[arg(long, default_value = "6h", value_parser = parse_ttl)]
    pub ttl: Duration,
    /// Metadata of the participant.
    #[arg(long, default_value = "")]
    pub metadata: String,
    /// Attribute of the participant, `key=value`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub attribute: Vec<String>,
    /// Others do not see the participant.
    #[arg(long)]
    pub hidden: bool,
    /// Whether it may publish tracks.
    #[arg(long, value_name = "BOOL")]
    pub can_publish: Option<bool>,
    /// Whether it may receive tracks.
    #[arg(long, value_name = "BOOL")]
    pub can_subscribe: Option<bool>,
    /// Whether it may send data.
    #[arg(long, value_name = "BOOL")]
    pub can_publish_data: Option<bool>,
    /// Whether it may change its own name, metadata and attributes.
    #[arg(long, value_name = "BOOL")]
    pub can_update_own_metadata: Option<bool>,
    /// Source that it may publish: camera, microphone, screen_share or screen_share_audio; may be given several times.
    #[arg(long, value_name = "SOURCE", value_parser = parse_source)]
    pub can_publish_source: Vec<TrackSourceName>,
    /// May use the server API on the room.
    #[arg(long)]
    pub admin: bool,
    /// May create and delete rooms.
    #[arg(long)]
    pub create: bool,
    /// May list rooms.
    #[arg(long)]
    pub list: bool,
    /// Prints a link that joins with this token instead: the page's address, for example https://meet.example.com.
    #[arg(long, value_name = "URL")]
    pub link: Option<String>,
    /// API key to sign with; the first one configured if there are several.
    #[arg(long)]
    pub api_key: Option<String>,
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(format!("unknown unit `{unit}`; use s, m, h or d")),
    };
    digits
        .parse::<u64>()
        .map(|count| Duration::from_secs(count.saturating_mul(factor)))
        .map_err(|_| format!("`{text}` is no duration; write for example 90, 30m or 6h"))
}

fn parse_source(text: &str) -> Result<TrackSourceName, String> {
    match text {
        "camera" => Ok(TrackSourceName::Camera),
        "microphone" => Ok(TrackSourceName::Microphone),
        "screen_share" => Ok(TrackSourceName::ScreenShare),
        "screen_share_audio" => Ok(TrackSourceName::ScreenShareAudio),
        _ => Err("use camera, microphone, screen_share or screen_share_audio".to_owned()),
    }
}

impl Cli {
    /// The settings, and whether this is dev mode: asked for, or neither a file nor keys nor a Redis are given.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn settings(&self) -> Result<(Config, bool), ConfigError> {
        let loaded = load(self.config.as_deref(), |name| std::env::var(name).ok());
        let dev = self.dev || (self.config.is_none() && loaded.is_bare());
        Ok((loaded.finish(dev)?, dev))
    }
}

impl ConfigCommand {
    /// The text to print.
    ///
    /// # Errors
    /// What is wrong with the file, or that there is none.
    pub fn print(&self, cli: &Cli) -> anyhow::Result<String> {
        let file = match self {
            Self::Reference => return Ok(reference()),
            Self::Check { file } => file.as_ref().or(cli.config.as_ref()),
        };
        let file =
            file.ok_or_else(|| anyhow::anyhow!("name the file: plenum-sfu config check FILE"))?;
        load(Some(file), |name| std::env::var(name).ok()).finish(cli.dev)?;
        Ok(format!("{}: ok\n", file.display()))
    }
}

impl TokenArgs {
    /// The token, or the link with it. The token is in the fragment, which browsers send to nobody.
    ///
    /// # Errors
    /// A setting or argument is missing.
    pub fn print(&self, config: &Config, now_unix: u64) -> anyhow::Result<String> {
        let keys = Keys::new(config.keys.pairs());
        let key = match &self.api_key {
            Some(key) => key.clone(),
            None => keys.first().unwrap_or_else(|| DEV_KEY.to_owned()),
        };
        let joins = !self.room.is_empty() && !self.identity.is_empty();
        if !joins && !self.admin && !self.create && !self.list {
            anyhow::bail!(
                "a token to join needs --room and --identity; one for the server API needs --create, --list or --admin"
            );
        }
        let attributes = self
            .attribute
            .iter()
            .map(|pair| {
                pair.split_once('=')
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .ok_or_else(|| anyhow::anyhow!("--attribute `{pair}`: write key=value"))
            })
            .collect::<anyhow::Result<_>>()?;
        let claims = Claims {
            iss: key.clone(),
            sub: self.identity.clone(),
            nbf: Some(now_unix),
            exp: now_unix.saturating_add(self.ttl.as_secs()),
            name: self.name.clone(),
            metadata: self.metadata.clone(),
            attributes,
            video: VideoGrant {
                room_join: joins,
                room: self.room.clone(),
                room_admin: self.admin,
                room_create: self.create,
                room_list: self.list,
                hidden: self.hidden,
                can_publish: self.can_publish,
                can_subscribe: self.can_subscribe,
                can_publish_data: self.can_publish_data,
                can_update_own_metadata: self.can_update_own_metadata,
                can_publish_sources: self.can_publish_source.clone(),
                ..VideoGrant::default()
            },
            ..Claims::default()
        };
        let token = keys
            .sign(&claims)
            .map_err(|_| anyhow::anyhow!("API key `{key}` is not configured"))?;
        Ok(match &self.link {
            Some(url) => format!("{}/#token={token}", url.trim_end_matches('/')),
            None => token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_args(args: &[&str]) -> TokenArgs {
        let all = ["plenum-sfu", "token"].iter().chain(args);
        match Cli::try_parse_from(all).unwrap().command {
            Some(Command::Token(args)) => args,
            other => panic!("no token command: {other:?}"),
        }
    }

    #[test]
    fn a_token_says_what_the_arguments_say() {
        let config = Config::default().with_dev_keys();
        let args = token_args(&[
            "--room",
            "lobby",
            "--identity",
            "ada",
            "--can-publish",
            "false",
            "--hidden",
            "--ttl",
            "900000h",
        ]);
        let token = args.print(&config, 1_700_000_000).unwrap();
        let claims = Keys::new(config.keys.pairs()).verify(&token).unwrap();
        assert_eq!(
            (claims.nbf, claims.exp),
            (Some(1_700_000_000), 4_940_000_000)
        );
        assert_eq!(claims.video.can_publish, Some(false));
        assert!(claims.video.hidden && claims.video.room_join);
    }

    #[test]
    fn a_link_carries_the_token_in_its_fragment() {
        let config = Config::default().with_dev_keys();
        let args = token_args(&[
            "--room",
            "r",
            "--identity",
            "i",
            "--link",
            "https://m.example/",
        ]);
        let link = args.print(&config, 0).unwrap();
        assert!(link.starts_with("https://m.example/#token=ey"), "{link}");
    }

    #[test]
    fn a_token_for_nothing_is_refused() {
        let config = Config::default().with_dev_keys();
        assert!(token_args(&["--room", "r"]).print(&config, 0).is_err());
        assert!(token_args(&["--create"]).print(&config, 0).is_ok());
        assert!(parse_ttl("5y").is_err() && parse_ttl("m").is_err());
    }
}
