//! Tracks that are bound to a connection.

use plenum_types::{Codec, ExtensionIds, Mid, SenderParams, Ssrc, SubscriptionId};

use crate::{
    NegotiationError, OutgoingTrack, Sending,
    codecs::{NegotiatedCodec, Parameters},
    limits,
    local::LocalSide,
    sdp::{Feedback, SendText},
};

/// A track that is bound to a connection.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) track: OutgoingTrack,
    ssrc: Ssrc,
    /// Used where the section has retransmissions.
    repair: Ssrc,
    /// Index of its section.
    pub(crate) section: Option<usize>,
    /// What the room was told last.
    reported: Option<SenderParams>,
}

/// The tracks of one connection, in the order in which they were bound.
#[derive(Debug, Default)]
pub(crate) struct OutgoingTracks(Vec<Outgoing>);

impl OutgoingTracks {
    /// Adds a track, or replaces what is said about one. `taken` knows the client's SSRCs.
    pub(crate) fn bind(
        &mut self,
        mut track: OutgoingTrack,
        local: &mut LocalSide,
        taken: impl Fn(Ssrc) -> bool,
    ) -> Result<(), NegotiationError> {
        track.stream_id = token(&track.stream_id);
        if let Some(known) = self
            .0
            .iter_mut()
            .find(|known| known.track.subscription == track.subscription)
        {
            known.track = track;
            return Ok(());
        }
        limits::check(
            "outgoing tracks",
            self.0.len().saturating_add(1),
            limits::MAX_OUTGOING,
        )?;
        let ssrc = local.ssrc(|ssrc| taken(ssrc) || self.has_ssrc(ssrc));
        let repair = local.ssrc(|repair| repair == ssrc || taken(repair) || self.has_ssrc(repair));
        self.0.push(Outgoing {
            track,
            ssrc,
            repair,
            section: None,
            reported: None,
        });
        Ok(())
    }

    /// Says anew what a track may be sent in, best first. Returns whether it has a section and is not sent in the best one.
    pub(crate) fn set_codecs(&mut self, subscription: SubscriptionId, codecs: &[Codec]) -> bool {
        let Some(known) = self
            .0
            .iter_mut()
            .find(|known| known.track.subscription == subscription)
        else {
            return false;
        };
        let is_news = known.track.codecs.as_slice() != codecs;
        known.track.codecs = codecs.iter().copied().collect();
        let sent = known.reported.as_ref().map(|params| params.codec);
        is_news && known.section.is_some() && sent.as_ref() != codecs.first()
    }

    /// Forgets a track and says which section it leaves.
    pub(crate) fn unbind(&mut self, subscription: SubscriptionId) -> Option<usize> {
        let at = self
            .0
            .iter()
            .position(|known| known.track.subscription == subscription)?;
        self.0.remove(at).section
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Outgoing> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Outgoing> {
        self.0.iter_mut()
    }

    /// Forgets those for which `refuse` holds.
    pub(crate) fn refuse(
        &mut self,
        mut refuse: impl FnMut(&Outgoing) -> bool,
    ) -> Vec<SubscriptionId> {
        self.0
            .extract_if(.., |outgoing| refuse(outgoing))
            .map(|outgoing| outgoing.track.subscription)
            .collect()
    }

    /// Whether one of our streams has this SSRC.
    pub(crate) fn has_ssrc(&self, ssrc: Ssrc) -> bool {
        self.0
            .iter()
            .any(|outgoing| outgoing.ssrc == ssrc || outgoing.repair == ssrc)
    }

    /// For each of `count` sections the track in it.
    pub(crate) fn by_section(&self, count: usize) -> Vec<Option<&Outgoing>> {
        let mut sections = vec![None; count];
        for outgoing in &self.0 {
            if let Some(slot) = outgoing.section.and_then(|index| sections.get_mut(index)) {
                *slot = Some(outgoing);
            }
        }
        sections
    }
}

/// What the room must be told about tracks.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    pub(crate) started: Vec<Sending>,
    pub(crate) updated: Vec<Sending>,
}

impl Outgoing {
    /// How its packets look in a section.
    fn params(&self, mid: &Mid, codec: &NegotiatedCodec, extensions: ExtensionIds) -> SenderParams {
        let opus_payload_type = match codec.parameters {
            Parameters::Red(blocks) => Some(blocks),
            _ => None,
        };
        SenderParams {
            mid: mid.clone(),
            ssrc: self.ssrc,
            rtx_ssrc: codec.rtx.map(|_| self.repair),
            codec: codec.codec,
            payload_type: codec.payload_type,
            opus_payload_type,
            rtx_payload_type: codec.rtx,
            nack: codec.feedback.has(Feedback::NACK),
            extensions,
        }
    }

    /// Notes how its packets look now, and reports it if that is news.
    pub(crate) fn report(
        &mut self,
        mid: &Mid,
        codec: &NegotiatedCodec,
        extensions: ExtensionIds,
        reports: &mut Reports,
    ) {
        let params = self.params(mid, codec, extensions);
        let list = match &self.reported {
            None => &mut reports.started,
            Some(before) if *before != params => &mut reports.updated,
            Some(_) => return,
        };
        list.push(Sending {
            subscription: self.track.subscription,
            params: params.clone(),
        });
        self.reported = Some(params);
    }

    /// Turns `<PA_sid>|<group>` into `<PA_sid>|<TR_sid>`.
    pub(crate) fn name_stream_after_track(&mut self) {
        let stream = &self.track.stream_id;
        let participant = stream.split('|').next().unwrap_or(stream);
        self.track.stream_id = format!("{participant}|{}", self.track.track);
    }

    /// The best of its codecs that a section has.
    pub(crate) fn codec_in<'a>(
        &self,
        codecs: &'a [NegotiatedCodec],
    ) -> Option<&'a NegotiatedCodec> {
        self.track
            .codecs
            .iter()
            .find_map(|codec| codecs.iter().find(|known| known.codec == *codec))
    }

    /// Its lines in a section with or without retransmissions.
    pub(crate) fn text(&self, repaired: bool) -> SendText<'_> {
        SendText {
            stream_id: &self.track.stream_id,
            track: self.track.track.as_str(),
            ssrc: self.ssrc,
            repair: repaired.then_some(self.repair),
        }
    }
}

/// Stream names come from publishers and stand in other clients' descriptions: what `token-char` (RFC 8866 section 9) has
/// not becomes `_`.
fn token(text: &str) -> String {
    text.chars()
        .take(limits::MAX_MSID_BYTES)
        .map(|character| match character {
            '!' | '#'..='\'' | '*' | '+' | '-' | '.' | '0'..='9' | 'A'..='Z' | '^'..='~' => {
                character
            }
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_cannot_write_lines_of_its_own() {
        assert_eq!(token("PA_1|camera"), "PA_1|camera");
        assert_eq!(token("PA_1|x\r\na=ice-lite y"), "PA_1|x__a_ice-lite_y");
        assert_eq!(token("PA_1|größe"), "PA_1|gr__e");
    }
}
