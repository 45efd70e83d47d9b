//! What sections say about their formats. That is most of a description, and browsers write the same lines in section after
//! section: those are read once.

use plenum_types::PayloadType;
use smallvec::SmallVec;
use std::rc::Rc;

use super::{Encoding, Feedback};

/// RTP payload types have seven bits.
const PAYLOAD_TYPES: usize = 128;
/// Different texts that are kept of a description: each kind's in sections that send and in others.
const KEPT: usize = 4;
/// Attributes about formats.
const NAMES: [&str; 3] = ["rtpmap:", "fmtp:", "rtcp-fb:"];

/// The formats of a section.
#[derive(Debug, Default)]
pub(crate) struct Formats<'a> {
    /// Those whose encodings we know, in the order of the `m=` line.
    pub(crate) known: Vec<Format<'a>>,
    /// `a=rtpmap` and `a=fmtp` of the first one, whatever it is.
    pub(crate) first: (&'a str, &'a str),
}

/// A payload type with what is said about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format<'a> {
    pub(crate) payload_type: PayloadType,
    pub(crate) encoding: Encoding,
    /// `a=fmtp`, or empty.
    pub(crate) parameters: &'a str,
    pub(crate) feedback: Feedback,
}

/// What was said about a payload type in the section numbered `section`; anything older is void. Lines may come in any
/// order: Firefox writes `fmtp` before `rtpmap`.
#[derive(Clone, Copy, Default)]
struct Slot<'a> {
    section: usize,
    rtpmap: &'a str,
    parameters: &'a str,
    feedback: Feedback,
}

/// Lines that came in one piece, and what they say beneath an `m=` line with these formats.
struct Piece<'a> {
    formats: &'a str,
    text: &'a str,
    lines: usize,
    says: Rc<Formats<'a>>,
}

/// Where the lines of the section at hand stand.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// None came yet.
    Nowhere,
    /// In one piece: the text from its first line on, and how many bytes of it belong to it.
    Piece { from: &'a str, bytes: usize },
    /// Among others, or taken from a section before: no piece that another section could repeat.
    Scattered,
}

/// Reads the lines about formats of one section after the other.
pub(super) struct FormatReader<'a> {
    slots: [Slot<'a>; PAYLOAD_TYPES],
    /// What `a=rtcp-fb:*` of this section says.
    feedback_of_all: Feedback,
    /// The section at hand, from 1, and the formats of its `m=` line.
    section: usize,
    listed: &'a str,
    place: Place<'a>,
    /// Number of the piece that this section repeats.
    repeats: Option<usize>,
    pieces: SmallVec<[Piece<'a>; KEPT]>,
}

impl<'a> FormatReader<'a> {
    pub(super) fn new() -> Self {
        Self {
            slots: [Slot::default(); PAYLOAD_TYPES],
            feedback_of_all: Feedback::none(),
            section: 0,
            listed: "",
            place: Place::Nowhere,
            repeats: None,
            pieces: SmallVec::new(),
        }
    }

    /// A section begins; `listed` are the formats of its `m=` line.
    pub(super) fn begin(&mut self, listed: &'a str) {
        self.section = self.section.saturating_add(1);
        self.listed = listed;
        self.feedback_of_all = Feedback::none();
        self.place = Place::Nowhere;
        self.repeats = None;
    }

    /// Where `text` goes on with lines of a section before, under the same formats: how many bytes and lines they have. They are
    /// read with that.
    pub(super) fn repeated(&mut self, text: &'a str) -> Option<(usize, usize)> {
        if !matches!(self.place, Place::Nowhere) {
            return None;
        }
        let (number, piece) = self.pieces.iter().enumerate().find(|(_, piece)| {
            piece.formats == self.listed
                && text
                    .strip_prefix(piece.text)
                    .is_some_and(|rest| !is_about_formats(rest))
        })?;
        self.repeats = Some(number);
        self.place = Place::Scattered;
        Some((piece.text.len(), piece.lines))
    }

    /// A line about formats: its name and value, and the text from its start on, of which it has so many bytes.
    pub(super) fn line(
        &mut self,
        name: &str,
        value: &'a str,
        from: &'a str,
        bytes: usize,
    ) -> Result<(), &'static str> {
        if let Some(piece) = self.repeats.take().and_then(|at| self.pieces.get(at)) {
            // More than the lines of the other section: those count as if they had been read one by one.
            let text = piece.text;
            for line in text.lines().filter_map(|line| line.strip_prefix("a=")) {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                self.read(name, value)?;
            }
        }
        self.place = match self.place {
            Place::Nowhere => Place::Piece { from, bytes },
            Place::Piece {
                from: start,
                bytes: before,
            } if start
                .get(before..)
                .is_some_and(|rest| std::ptr::eq(rest, from)) =>
            {
                Place::Piece {
                    from: start,
                    bytes: before.saturating_add(bytes),
                }
            }
            Place::Piece { .. } | Place::Scattered => Place::Scattered,
        };
        self.read(name, value)
    }

    fn read(&mut self, name: &str, value: &'a str) -> Result<(), &'static str> {
        match name {
            "rtcp-fb" => {
                if let Some((slot, rest)) = self.slot(value) {
                    slot.feedback = slot.feedback.with(Feedback::of(rest));
                } else if let Some(rest) = value.strip_prefix("* ") {
                    self.feedback_of_all = self.feedback_of_all.with(Feedback::of(rest));
                }
            }
            "fmtp" => {
                if let Some((slot, rest)) = self.slot(value) {
                    slot.parameters = rest;
                }
            }
            _ => {
                let (slot, rest) = self
                    .slot(value)
                    .ok_or("rtpmap has a payload type up to 127 and an encoding")?;
                slot.rtpmap = rest;
            }
        }
        Ok(())
    }

    /// The slot that a value like `96 VP8/90000` is about, and the rest of the value.
    fn slot(&mut self, value: &'a str) -> Option<(&mut Slot<'a>, &'a str)> {
        let section = self.section;
        let (payload_type, rest) = value.split_once(' ')?;
        let slot = self.slots.get_mut(payload_type.parse::<usize>().ok()?)?;
        if slot.section != section {
            *slot = Slot {
                section,
                ..Slot::default()
            };
        }
        Some((slot, rest))
    }

    /// What was said of the formats of the section that ends.
    pub(super) fn end(&mut self) -> Rc<Formats<'a>> {
        if let Some(piece) = self.repeats.and_then(|at| self.pieces.get(at)) {
            return Rc::clone(&piece.says);
        }
        let says = Rc::new(self.gather());
        if let Place::Piece { from, bytes } = self.place
            && self.pieces.len() < KEPT
            && let Some(text) = from.get(..bytes)
        {
            self.pieces.push(Piece {
                formats: self.listed,
                text,
                lines: text.lines().count(),
                says: Rc::clone(&says),
            });
        }
        says
    }

    fn gather(&mut self) -> Formats<'a> {
        let mut formats = Formats::default();
        for (index, word) in self.listed.split(' ').enumerate() {
            let Ok(payload_type) = word.parse::<u8>() else {
                continue;
            };
            let Some(slot) = self.slots.get_mut(usize::from(payload_type)) else {
                continue;
            };
            if slot.section != self.section {
                continue;
            }
            if index == 0 {
                formats.first = (slot.rtpmap, slot.parameters);
            }
            if let Some(encoding) = Encoding::of(slot.rtpmap) {
                formats.known.push(Format {
                    payload_type: PayloadType(payload_type),
                    encoding,
                    parameters: slot.parameters,
                    feedback: slot.feedback.with(self.feedback_of_all),
                });
            }
            // A payload type that is listed twice counts once.
            slot.section = 0;
        }
        formats
    }
}

/// Whether a text begins with a line about formats.
pub(super) fn is_about_formats(text: &str) -> bool {
    text.strip_prefix("a=")
        .is_some_and(|attribute| NAMES.iter().any(|name| attribute.starts_with(name)))
}

#[cfg(test)]
mod tests {
    use super::super::Description;
    use super::*;

    const SESSION: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    const LINES: &str = "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";

    fn section(listed: &str, lines: &str) -> String {
        format!("m=video 9 UDP/TLS/RTP/SAVPF {listed}\r\na=recvonly\r\n{lines}a=rtcp-mux\r\n")
    }

    /// What is read of sections, and whether the last one shares it with the first.
    fn read(sections: &[String]) -> (Vec<String>, bool) {
        let text = format!("{SESSION}{}", sections.concat());
        let description = Description::parse(&text).unwrap();
        let (first, last) = (
            description.media.first().unwrap(),
            description.media.last().unwrap(),
        );
        let said = description
            .media
            .iter()
            .map(|media| format!("{:?}", media.formats));
        (said.collect(), Rc::ptr_eq(&first.formats, &last.formats))
    }

    #[test]
    fn lines_that_come_again_are_read_once() {
        let (said, shared) = read(&[section("96 97", LINES), section("96 97", LINES)]);
        assert_eq!(said[0], said[1]);
        assert!(shared);
    }

    #[test]
    fn what_differs_is_read_as_if_it_came_alone() {
        let more = format!("{LINES}a=rtcp-fb:96 nack pli\r\n");
        let later = format!("{LINES}a=mid:1\r\na=rtcp-fb:96 nack pli\r\na=fmtp:97 apt=95\r\n");
        let all = format!("{LINES}a=mid:1\r\na=rtcp-fb:* transport-cc\r\n");
        let earlier = format!("a=fmtp:96 max-fr=30\r\na=mid:1\r\n{LINES}");
        let less: String = LINES.split_inclusive('\n').take(2).collect();
        for other in [
            section("96 97", &more),
            section("96 97", &later),
            section("96 97", &all),
            section("96 97", &earlier),
            section("96 97", &less),
            section("97 96", LINES),
            section("96", LINES),
            section("96 97", ""),
        ] {
            let (alone, _) = read(std::slice::from_ref(&other));
            let (said, shared) = read(&[section("96 97", LINES), other.clone()]);
            assert_eq!(said[1], alone[0], "{other}");
            assert!(!shared, "{other}");
            let (said, _) = read(&[other.clone(), section("96 97", LINES), other.clone()]);
            assert_eq!(said[0], said[2], "{other}");
        }
    }

    #[test]
    fn a_fault_after_repeated_lines_is_found_in_its_line() {
        let text = format!(
            "{SESSION}{}{}a=rtpmap:x\r\n",
            section("96 97", LINES),
            section("96 97", LINES)
        );
        let fault = Description::parse(&text).unwrap_err().to_string();
        assert!(fault.contains("19"), "{fault}");
    }
}
