//! We offer, the client answers.

use plenum_types::{
    Candidate, Codec, DtlsRole, ExtensionIds, IceCredentials, MediaKind, Mid, RemoteParams,
    SubscriptionId,
};

use crate::{
    AnswerOutcome, IceRestart, LocalParams, NegotiationError, Offer, OutgoingTrack,
    codecs::{
        CommonCodecs, NegotiatedCodec, NegotiatedCodecs, offered_extensions, taken_extensions,
    },
    limits,
    local::{LocalSide, RemoteTransport, sctp_params},
    outgoing::{Outgoing, OutgoingTracks, Reports},
    sdp::{
        CodecLines, Description, Direction, FormatText, Media, MediaText, SectionKind, Setup,
        write_data, write_rejected,
    },
};

/// What we offer media on.
const MEDIA_PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";

/// Negotiation of the subscriber's connection of a v0 client: we only send.
#[derive(Debug)]
pub struct Offerer {
    local: LocalSide,
    remote: Option<RemoteTransport>,
    sections: Vec<OwnSection>,
    outgoing: OutgoingTracks,
    /// The last offer is out of date.
    dirty: bool,
    /// The next offer restarts ICE.
    restart: bool,
    last_id: u32,
    open: Option<OpenOffer>,
}

/// A section of ours. Its mid is its index.
#[derive(Debug)]
struct OwnSection {
    mid: Mid,
    body: OwnBody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnBody {
    Data,
    Media {
        kind: MediaKind,
        /// A track was taken out, and no answer has seen the section inactive since.
        resting: bool,
    },
    /// The client wants none of it.
    Rejected(MediaKind),
}

#[derive(Debug, Clone, Copy)]
struct OpenOffer {
    id: u32,
    restarts_ice: bool,
}

impl Offerer {
    /// Starts with a data section: [`Self::needs_offer`] is true at once.
    #[must_use]
    pub fn subscriber(local: LocalParams) -> Self {
        Self {
            local: LocalSide::new(local),
            remote: None,
            sections: vec![OwnSection {
                mid: Mid::from("0"),
                body: OwnBody::Data,
            }],
            outgoing: OutgoingTracks::default(),
            dirty: true,
            restart: false,
            last_id: 0,
            open: None,
        }
    }

    /// Our current ICE credentials, for `OpenTransport`.
    #[must_use]
    pub fn local_ice(&self) -> &IceCredentials {
        &self.local.ice
    }

    /// The candidates of the Shard changed; the next offer has them.
    pub fn set_candidates(&mut self, candidates: &[Candidate]) {
        self.dirty |= self.local.set_candidates(candidates);
    }

    /// Wants a track to be sent: it is in the next offer, and starts with the answer to it. A second call for the same
    /// subscription replaces the first.
    ///
    /// # Errors
    /// If too many are bound.
    pub fn bind(&mut self, track: OutgoingTrack) -> Result<(), NegotiationError> {
        // The client sends nothing here.
        self.outgoing.bind(track, &mut self.local, |_| false)?;
        self.dirty = true;
        Ok(())
    }

    /// Says anew what a bound track may be sent in, best first; it counts from the answer to the next offer on. Returns
    /// whether a new offer is needed.
    pub fn set_codecs(&mut self, subscription: SubscriptionId, codecs: &[Codec]) -> bool {
        let changed = self.outgoing.set_codecs(subscription, codecs);
        self.dirty |= changed;
        changed
    }

    /// Stops sending a track. Its section is inactive in the next offer, and free for another track after that. Returns
    /// whether a new offer is needed (the track was in one).
    pub fn unbind(&mut self, subscription: SubscriptionId) -> bool {
        let Some(index) = self.outgoing.unbind(subscription) else {
            return false;
        };
        self.rest(index);
        self.dirty = true;
        true
    }

    fn rest(&mut self, index: usize) {
        if let Some(OwnSection {
            body: OwnBody::Media { resting, .. },
            ..
        }) = self.sections.get_mut(index)
        {
            *resting = true;
        }
    }

    /// The next offer restarts ICE (a resume, protocol.md 9.1).
    pub fn restart_ice(&mut self) {
        // Before the first answer there is nothing to restart.
        if self.remote.is_some() {
            self.restart = true;
            self.dirty = true;
        }
    }

    /// The client's signal connection was replaced: the open offer or its answer may be lost with the old one. The next
    /// offer says all that it said.
    pub fn give_up_open_offer(&mut self) {
        if let Some(open) = self.open.take() {
            self.restart |= open.restarts_ice;
            self.dirty = true;
        }
    }

    /// Whether an offer has something to say that the last one had not. False while one is open.
    #[must_use]
    pub fn needs_offer(&self) -> bool {
        self.dirty && self.open.is_none()
    }

    /// Id of the offer that waits for its answer.
    #[must_use]
    pub fn open_offer(&self) -> Option<u32> {
        self.open.map(|open| open.id)
    }

    /// Writes an offer; `None` while one is open, whose answer will say `offer_again`.
    pub fn write_offer(&mut self) -> Option<Offer> {
        if self.open.is_some() {
            return None;
        }
        let restarts_ice = std::mem::take(&mut self.restart);
        if restarts_ice {
            self.local.restart_ice();
        }
        // Tracks that found no place, for want of sections, stay until others leave.
        self.place();
        self.dirty = false;
        self.last_id = self.last_id.saturating_add(1);
        let id = self.last_id;
        self.open = Some(OpenOffer { id, restarts_ice });
        let mut offer = Offer {
            id,
            ..Offer::default()
        };
        self.write(&mut offer);
        Some(offer)
    }

    /// Gives each waiting track an inactive section, or a new one.
    fn place(&mut self) {
        let mut free: Vec<(usize, MediaKind)> = Vec::new();
        let carried = self.outgoing.by_section(self.sections.len());
        for ((index, section), carried) in self.sections.iter().enumerate().zip(carried) {
            if let OwnBody::Media {
                kind,
                resting: false,
            } = section.body
                && carried.is_none()
            {
                free.push((index, kind));
            }
        }
        for outgoing in self.outgoing.iter_mut() {
            if outgoing.section.is_some() {
                continue;
            }
            let kind = outgoing.track.kind();
            if let Some(at) = free.iter().position(|(_, free)| *free == kind) {
                outgoing.section = Some(free.remove(at).0);
                // Clients keep the name of the track that was here first. Those that don't read `mid_to_track_id` in
                // offers (Swift, Android, Flutter) take it from the stream's name if that has one.
                outgoing.name_stream_after_track();
            } else if self.sections.len() < limits::MAX_SECTIONS {
                let index = self.sections.len();
                self.sections.push(OwnSection {
                    mid: Mid::from(index.to_string()),
                    body: OwnBody::Media {
                        kind,
                        resting: false,
                    },
                });
                outgoing.section = Some(index);
            }
        }
    }

    fn write(&mut self, offer: &mut Offer) {
        let carried = self.outgoing.by_section(self.sections.len());
        let transport = self.local.transport_lines("actpass");
        let first = format!("{transport}{}", self.local.candidates());
        let codecs = |kind| -> NegotiatedCodecs {
            self.local
                .media
                .codecs
                .iter()
                .filter(|codec| codec.kind() == kind)
                .map(|codec| NegotiatedCodec::offered(*codec))
                .collect()
        };
        let (audio, video) = (codecs(MediaKind::Audio), codecs(MediaKind::Video));
        // Not to be offered for nothing: clients may stumble over it, as the reference found.
        let mut with_high = video.clone();
        with_high.extend(NegotiatedCodec::offered_high());
        let out = &mut offer.sdp;
        let used = self
            .sections
            .iter()
            .filter(|section| !matches!(section.body, OwnBody::Rejected(_)))
            .map(|section| &section.mid);
        self.local.write_session(out, used, true);
        let mut codec_lines = CodecLines::default();
        for ((index, section), carried) in self.sections.iter().enumerate().zip(carried) {
            // The data section is the first one and never rejected: it has the candidates.
            let lines = if index == 0 { &first } else { &transport };
            let mid = &section.mid;
            match section.body {
                OwnBody::Data => write_data(out, mid, lines),
                OwnBody::Rejected(kind) => {
                    let kind = match kind {
                        MediaKind::Audio => "audio",
                        MediaKind::Video => "video",
                    };
                    write_rejected(out, kind, MEDIA_PROTOCOL, "0", mid);
                }
                OwnBody::Media { kind, .. } => {
                    let is_high =
                        |outgoing: &Outgoing| outgoing.track.codecs.contains(&Codec::H264High);
                    let codecs = match kind {
                        MediaKind::Audio => &audio,
                        MediaKind::Video if carried.is_some_and(is_high) => &with_high,
                        MediaKind::Video => &video,
                    };
                    text(kind, mid, codecs, carried).write(out, lines, &mut codec_lines);
                    if let Some(outgoing) = carried {
                        offer
                            .mid_to_track
                            .push((mid.clone(), outgoing.track.track.clone()));
                    }
                }
            }
        }
    }

    /// Takes the answer to the open offer. Its id may be 0 (the Rust SDK).
    ///
    /// # Errors
    /// If the description can't be used; the offer stays open then.
    pub fn accept_answer(&mut self, sdp: &str, id: u32) -> Result<AnswerOutcome, NegotiationError> {
        let open = self.open.ok_or(NegotiationError::OutOfOrder {
            called: "accept_answer",
            state: "no offer is open",
        })?;
        if id != 0 && id != open.id {
            return Err(NegotiationError::WrongId {
                got: id,
                expected: open.id,
            });
        }
        let description = Description::parse(sdp)?;
        let transport = RemoteTransport::of(&description)?;
        let dtls_role = self.check(&description, &transport)?;

        // Nothing fails from here on.
        let mut outcome = AnswerOutcome::default();
        match &self.remote {
            None => {
                let data = description
                    .media
                    .first()
                    .filter(|media| media.kind == SectionKind::Data && !media.is_rejected());
                outcome.remote = Some(RemoteParams {
                    ice: transport.ice.clone(),
                    fingerprint: transport.fingerprint,
                    dtls_role,
                    sctp: data.map(|data| sctp_params(Some(data), true)),
                });
            }
            Some(remote) if open.restarts_ice || remote.ice != transport.ice => {
                outcome.ice_restart = Some(IceRestart {
                    local: self.local.ice.clone(),
                    remote: transport.ice.clone(),
                });
            }
            Some(_) => {}
        }
        self.remote = Some(transport);
        self.open = None;
        self.settle(&description, &mut outcome);
        outcome.offer_again = self.dirty;
        Ok(outcome)
    }

    /// Holds an answer against the offer, and says our role in DTLS.
    fn check(
        &self,
        description: &Description<'_>,
        transport: &RemoteTransport,
    ) -> Result<DtlsRole, NegotiationError> {
        if description.media.len() != self.sections.len() {
            return Err(NegotiationError::Missing(
                "section for each one of the offer",
            ));
        }
        for (index, (media, section)) in description.media.iter().zip(&self.sections).enumerate() {
            if media.mid.is_some_and(|mid| mid != section.mid.as_str()) {
                return Err(NegotiationError::Section {
                    index,
                    what: "its mid is not that of the offer",
                });
            }
        }
        if self
            .remote
            .as_ref()
            .is_some_and(|remote| remote.fingerprint != transport.fingerprint)
        {
            return Err(NegotiationError::FingerprintChanged);
        }
        match transport.setup {
            Setup::Active => Ok(DtlsRole::Passive),
            Setup::Passive => Ok(DtlsRole::Active),
            Setup::ActPass => Err(NegotiationError::Missing("setup: active or passive")),
        }
    }

    /// Reports what the client takes, and forgets what it doesn't.
    fn settle(&mut self, description: &Description<'_>, outcome: &mut AnswerOutcome) {
        let allow_mixed = description.allow_mixed;
        let mut common = CommonCodecs::new(&self.local.media.codecs);
        let mut reports = Reports::default();
        for outgoing in self.outgoing.iter_mut() {
            let Some((media, section)) = outgoing
                .section
                .and_then(|index| Some((description.media.get(index)?, self.sections.get(index)?)))
            else {
                continue;
            };
            if let Some((codec, extensions)) = taken(media, outgoing, &mut common, allow_mixed) {
                outgoing.report(&section.mid, &codec, extensions, &mut reports);
            }
        }
        outcome.refused = self.outgoing.refuse(|outgoing| {
            outgoing.section.is_some_and(|index| {
                description
                    .media
                    .get(index)
                    .is_some_and(|media| taken(media, outgoing, &mut common, allow_mixed).is_none())
            })
        });
        let carried = self.outgoing.by_section(self.sections.len());
        let carried: Vec<bool> = carried.iter().map(Option::is_some).collect();
        outcome.started = reports.started;
        outcome.updated = reports.updated;
        let answered = self.sections.iter_mut().zip(&description.media);
        for ((section, media), carried) in answered.zip(carried) {
            if let OwnBody::Media { kind, resting } = &mut section.body {
                if media.is_rejected() {
                    section.body = OwnBody::Rejected(*kind);
                } else {
                    // Still open for a track that left while the offer was out.
                    *resting = !carried && media.direction.receives();
                }
            }
        }
    }
}

/// The codec and the extensions with which a client receives a track in a section of its answer.
fn taken<'m, 'a>(
    media: &'m Media<'a>,
    outgoing: &Outgoing,
    common: &mut CommonCodecs<'m, 'a>,
    allow_mixed: bool,
) -> Option<(NegotiatedCodec, ExtensionIds)> {
    if media.is_rejected() || !media.direction.receives() {
        return None;
    }
    let codecs = common.of(media, outgoing.track.kind());
    let codec = *outgoing.codec_in(&codecs)?;
    Some((codec, taken_extensions(&media.extensions, allow_mixed)))
}

fn text<'a>(
    kind: MediaKind,
    mid: &'a Mid,
    codecs: &'a [NegotiatedCodec],
    carried: Option<&'a Outgoing>,
) -> MediaText<'a> {
    MediaText {
        kind,
        protocol: MEDIA_PROTOCOL,
        mid,
        direction: Direction::of(carried.is_some(), false),
        codecs,
        extensions: offered_extensions(kind),
        format: FormatText::Send {
            stereo: carried.is_some_and(|outgoing| outgoing.track.stereo),
        },
        send: carried.map(|outgoing| {
            let repaired = outgoing
                .codec_in(codecs)
                .is_some_and(|codec| codec.rtx.is_some());
            outgoing.text(repaired)
        }),
        receive_rids: &[],
    }
}
