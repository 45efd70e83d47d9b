//! Reads a description in one pass. Nothing is copied; what is not needed costs one comparison.

use plenum_types::{ExtensionIds, MediaKind, RtpExtension, Ssrc};
use std::rc::Rc;

use super::{
    Description, Direction, Media, SectionKind, Setup, TransportLines,
    formats::{FormatReader, is_about_formats},
};
use crate::{NegotiationError, limits};

struct Parser<'a> {
    description: Description<'a>,
    formats: FormatReader<'a>,
    direction: Direction,
}

impl<'a> Description<'a> {
    /// Reads a description.
    ///
    /// # Errors
    /// If a line that matters can't be read or there is too much of something.
    pub(crate) fn parse(text: &'a str) -> Result<Self, NegotiationError> {
        limits::check("bytes", text.len(), limits::MAX_SDP_BYTES)?;
        let mut parser = Parser {
            description: Self {
                transport: TransportLines::default(),
                bundle: None,
                allow_mixed: false,
                media: Vec::new(),
            },
            formats: FormatReader::new(),
            direction: Direction::SendRecv,
        };
        if !text.starts_with("v=0") {
            return Err(NegotiationError::Syntax {
                line: 1,
                what: "a description starts with v=0",
            });
        }
        let mut rest = text;
        let mut number: usize = 0;
        while !rest.is_empty() {
            if is_about_formats(rest)
                && let Some((bytes, lines)) = parser.formats.repeated(rest)
            {
                rest = rest.get(bytes..).unwrap_or_default();
                number = number.saturating_add(lines);
                continue;
            }
            number = number.saturating_add(1);
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            let line = line.strip_suffix('\r').unwrap_or(line);
            let read = if let Some(attribute) = line.strip_prefix("a=") {
                parser.attribute(attribute, rest, rest.len().saturating_sub(after.len()))
            } else if let Some(section) = line.strip_prefix("m=") {
                limits::check(
                    "media sections",
                    parser.description.media.len().saturating_add(1),
                    limits::MAX_SECTIONS,
                )?;
                parser.section(section)
            } else {
                Ok(())
            };
            read.map_err(|what| NegotiationError::Syntax { line: number, what })?;
            rest = after;
        }
        parser.end_section();
        Ok(parser.description)
    }
}

/// What was expected.
type Fault = &'static str;

impl<'a> Parser<'a> {
    fn section(&mut self, line: &'a str) -> Result<(), Fault> {
        self.end_section();
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().ok_or("m= has kind, port, protocol, formats");
        let (kind_text, port, protocol, format_text) = (word()?, word()?, word()?, word()?);
        let port = port.split('/').next().unwrap_or_default();
        self.formats.begin(format_text);
        self.description.media.push(Media {
            kind: match kind_text {
                "audio" => SectionKind::Media(MediaKind::Audio),
                "video" => SectionKind::Media(MediaKind::Video),
                "application" => SectionKind::Data,
                _ => SectionKind::Other,
            },
            kind_text,
            port: number(port).ok_or("a port is a number up to 65535")?,
            protocol,
            format_text,
            mid: None,
            direction: self.direction,
            transport: TransportLines::default(),
            formats: Rc::default(),
            extensions: ExtensionIds::default(),
            msid: None,
            ssrcs: Vec::new(),
            repair: Vec::new(),
            send_rids: Vec::new(),
            simulcast_send: None,
            bundle_only: false,
            sctp_port: None,
            max_message_size: None,
        });
        Ok(())
    }

    /// Gathers what was said about the formats of the section.
    fn end_section(&mut self) {
        if let Some(media) = self.description.media.last_mut()
            && matches!(media.kind, SectionKind::Media(_))
        {
            media.formats = self.formats.end();
        }
    }

    /// Reads a line without its `a=`; `from` is the text from its start on, of which it has so many bytes.
    fn attribute(&mut self, line: &'a str, from: &'a str, bytes: usize) -> Result<(), Fault> {
        let (name, value) = match line.bytes().position(|byte| byte == b':') {
            Some(at) => (
                line.get(..at).unwrap_or_default(),
                line.get(at.saturating_add(1)..).unwrap_or_default(),
            ),
            None => (line, ""),
        };
        // The frequent ones first: a video section of a browser has about 50 of these three.
        if matches!(name, "rtcp-fb" | "fmtp" | "rtpmap") {
            return self.formats.line(name, value, from, bytes);
        }
        let Some(media) = self.description.media.last_mut() else {
            return self.session_attribute(name, value);
        };
        match name {
            "extmap" => extension(&mut media.extensions, value)?,
            "mid" => {
                if value.is_empty() || value.len() > limits::MAX_MID_BYTES {
                    return Err("a mid has 1 to 16 bytes");
                }
                media.mid = Some(value);
            }
            "msid" => {
                let (stream, track) = value.split_once(' ').unwrap_or((value, ""));
                media.msid = Some(msid(stream, track)?);
            }
            "ssrc" => ssrc(media, value)?,
            "ssrc-group" => ssrc_group(media, value)?,
            "rid" => {
                let mut words = value.split(' ');
                let rid = words.next().unwrap_or_default();
                if words.next() == Some("send") {
                    if rid.is_empty() || rid.len() > limits::MAX_RID_BYTES {
                        return Err("a rid has 1 to 16 bytes");
                    }
                    if media.send_rids.len() == limits::MAX_ENCODINGS {
                        return Err("a section has at most 8 rids");
                    }
                    media.send_rids.push(rid);
                }
            }
            "simulcast" => {
                let mut words = value.split(' ');
                while let (Some(direction), Some(streams)) = (words.next(), words.next()) {
                    if direction == "send" {
                        media.simulcast_send = Some(streams);
                    }
                }
            }
            "bundle-only" => media.bundle_only = true,
            "sctp-port" => {
                media.sctp_port = Some(number(value).ok_or("sctp-port is a number up to 65535")?);
            }
            "max-message-size" => {
                let size: u64 = number(value).ok_or("max-message-size is a number")?;
                media.max_message_size = Some(u32::try_from(size).unwrap_or(u32::MAX));
            }
            _ => {
                if let Some(direction) = direction(name) {
                    media.direction = direction;
                } else {
                    transport_attribute(&mut media.transport, name, value)?;
                }
            }
        }
        Ok(())
    }

    fn session_attribute(&mut self, name: &'a str, value: &'a str) -> Result<(), Fault> {
        match name {
            "group" => {
                if let Some(mids) = value.strip_prefix("BUNDLE") {
                    self.description.bundle = Some(mids.trim_start());
                }
            }
            "extmap-allow-mixed" => self.description.allow_mixed = true,
            _ => {
                if let Some(direction) = direction(name) {
                    self.direction = direction;
                } else {
                    transport_attribute(&mut self.description.transport, name, value)?;
                }
            }
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn direction(name: &str) -> Option<Direction> {
    Some(match name {
        "sendrecv" => Direction::SendRecv,
        "sendonly" => Direction::SendOnly,
        "recvonly" => Direction::RecvOnly,
        "inactive" => Direction::Inactive,
        _ => return None,
    })
}

fn transport_attribute<'a>(
    lines: &mut TransportLines<'a>,
    name: &str,
    value: &'a str,
) -> Result<(), Fault> {
    match name {
        "ice-ufrag" => {
            if !(4..=256).contains(&value.len()) {
                return Err("ice-ufrag has 4 to 256 characters");
            }
            lines.ufrag = Some(value);
        }
        "ice-pwd" => {
            if !(22..=256).contains(&value.len()) {
                return Err("ice-pwd has 22 to 256 characters");
            }
            lines.pwd = Some(value);
        }
        "fingerprint" => {
            if let Some((hash, fingerprint)) = value.split_once(' ')
                && hash.eq_ignore_ascii_case("sha-256")
            {
                lines.fingerprint = Some(fingerprint);
            }
        }
        "setup" => {
            lines.setup = Some(match value {
                "active" => Setup::Active,
                "passive" => Setup::Passive,
                "actpass" => Setup::ActPass,
                _ => return Err("setup is active, passive or actpass"),
            });
        }
        _ => {}
    }
    Ok(())
}

/// `<id>[/<direction>] <uri> [<attributes>]` (RFC 8285 section 5)
fn extension(ids: &mut ExtensionIds, value: &str) -> Result<(), Fault> {
    let mut words = value.split(' ');
    let id = words.next().unwrap_or_default();
    let uri = words.next().unwrap_or_default();
    let Some(extension) = RtpExtension::ALL
        .into_iter()
        .find(|extension| extension.uri() == uri)
    else {
        return Ok(());
    };
    let id: u8 = id
        .split('/')
        .next()
        .and_then(number)
        .filter(|id| *id != 0)
        .ok_or("extmap has an id from 1 to 255")?;
    ids.set(extension, id);
    Ok(())
}

fn msid<'a>(stream: &'a str, track: &'a str) -> Result<(&'a str, &'a str), Fault> {
    if stream.len() > limits::MAX_MSID_BYTES || track.len() > limits::MAX_MSID_BYTES {
        return Err("the parts of an msid have at most 256 bytes");
    }
    Ok((stream, track))
}

/// `<ssrc> [<attribute>[:<value>]]` (RFC 5576 section 4.1)
fn ssrc<'a>(media: &mut Media<'a>, value: &'a str) -> Result<(), Fault> {
    let (id, attribute) = value.split_once(' ').unwrap_or((value, ""));
    let id = Ssrc(number(id).ok_or("an SSRC is a number of 32 bits")?);
    if !media.ssrcs.contains(&id) {
        if media.ssrcs.len() == limits::MAX_SSRCS {
            return Err("a section has at most 32 SSRCs");
        }
        media.ssrcs.push(id);
    }
    if media.msid.is_none()
        && let Some(value) = attribute.strip_prefix("msid:")
    {
        let (stream, track) = value.split_once(' ').unwrap_or((value, ""));
        media.msid = Some(msid(stream, track)?);
    }
    Ok(())
}

/// `FID <media> <repair>` (RFC 5576 section 4.2)
fn ssrc_group(media: &mut Media<'_>, value: &str) -> Result<(), Fault> {
    let Some(pair) = value.strip_prefix("FID ") else {
        return Ok(());
    };
    let mut ids = pair.split(' ').map(number::<u32>);
    let (Some(Some(first)), Some(Some(second))) = (ids.next(), ids.next()) else {
        return Err("ssrc-group:FID has two SSRCs");
    };
    if media.repair.len() == limits::MAX_ENCODINGS {
        return Err("a section has at most 8 FID groups");
    }
    media.repair.push((Ssrc(first), Ssrc(second)));
    Ok(())
}
