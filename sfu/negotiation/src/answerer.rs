//! The client offers, we answer.

use plenum_types::{
    Candidate, Codec, DtlsRole, IceCredentials, MediaPolicy, Mid, RemoteParams, SubscriptionId,
};
use std::collections::HashSet;

use crate::{
    Answer, AudioPolicy, IceRestart, LocalParams, NegotiationError, OfferOutcome, OutgoingTrack,
    SectionsRequirement,
    codecs::{CommonCodecs, NegotiatedCodec, received_extensions, sent_extensions},
    local::{LocalSide, RemoteTransport, sctp_params, setup_name},
    outgoing::{Outgoing, OutgoingTracks, Reports},
    requirement::{PerKind, Requirement},
    sdp::{
        CodecLines, Description, Direction, FormatText, MediaText, SectionKind, Setup, write_data,
        write_rejected,
    },
    section::{Body, MediaSection, Section},
};

/// What to set aside for an answer: typical bytes of its session level and of a section of it.
const SESSION_BYTES: usize = 1024;
const SECTION_BYTES: usize = 900;

/// Negotiation of a connection on which the client offers.
#[derive(Debug)]
pub struct Answerer {
    local: LocalSide,
    /// Recvonly sections of the client may carry tracks of ours.
    sends: bool,
    remote: Option<Remote>,
    /// Those of the last offer.
    sections: Vec<Section>,
    outgoing: OutgoingTracks,
    requirement: Requirement,
    /// The last answer is out of date.
    dirty: bool,
    /// The offer to be answered.
    open: Option<OpenOffer>,
}

/// The other side, from its first offer on.
#[derive(Debug)]
struct Remote {
    transport: RemoteTransport,
    /// Ours; kept for the life of the connection (RFC 8842 section 5.3).
    role: DtlsRole,
}

#[derive(Debug, Clone, Copy)]
struct OpenOffer {
    id: u32,
    allow_mixed: bool,
}

impl Answerer {
    /// The only connection of a v1 client: both directions.
    #[must_use]
    pub fn single(local: LocalParams) -> Self {
        Self::new(local, true)
    }

    /// The publisher's connection of a v0 client: we only receive; recvonly sections are answered inactive.
    #[must_use]
    pub fn publisher(local: LocalParams) -> Self {
        Self::new(local, false)
    }

    fn new(local: LocalParams, sends: bool) -> Self {
        Self {
            local: LocalSide::new(local),
            sends,
            remote: None,
            sections: Vec::new(),
            outgoing: OutgoingTracks::default(),
            requirement: Requirement::default(),
            dirty: false,
            open: None,
        }
    }

    /// Our current ICE credentials, for `OpenTransport`.
    #[must_use]
    pub fn local_ice(&self) -> &IceCredentials {
        &self.local.ice
    }

    /// The candidates of the Shard changed; the next answer has them.
    pub fn set_candidates(&mut self, candidates: &[Candidate]) {
        self.dirty |= self.local.set_candidates(candidates) && self.remote.is_some();
    }

    /// Takes an offer. [`Self::write_answer`] must follow before the next one.
    ///
    /// # Errors
    /// If the description can't be used; nothing has changed then.
    pub fn accept_offer(&mut self, sdp: &str, id: u32) -> Result<OfferOutcome, NegotiationError> {
        if self.open.is_some() {
            return Err(NegotiationError::OutOfOrder {
                called: "accept_offer",
                state: "the offer before is not answered",
            });
        }
        let description = Description::parse(sdp)?;
        let transport = RemoteTransport::of(&description)?;
        let sections = self.read_sections(&description)?;
        if let Some(remote) = &self.remote
            && remote.transport.fingerprint != transport.fingerprint
        {
            return Err(NegotiationError::FingerprintChanged);
        }

        // Nothing fails from here on.
        let mut outcome = OfferOutcome::default();
        let role = match (&self.remote, transport.setup) {
            (Some(remote), _) => remote.role,
            // Passive where we may choose: as DTLS client we would get the dear SRTP profile of the browser's choice.
            (None, Setup::ActPass | Setup::Active) => DtlsRole::Passive,
            (None, Setup::Passive) => DtlsRole::Active,
        };
        match &self.remote {
            None => {
                let data = description
                    .media
                    .iter()
                    .find(|media| media.kind == SectionKind::Data);
                outcome.remote = Some(RemoteParams {
                    ice: transport.ice.clone(),
                    fingerprint: transport.fingerprint,
                    dtls_role: role,
                    sctp: Some(sctp_params(data, false)),
                });
            }
            Some(remote) if remote.transport.ice != transport.ice => {
                self.local.restart_ice();
                outcome.ice_restart = Some(IceRestart {
                    local: self.local.ice.clone(),
                    remote: transport.ice.clone(),
                });
            }
            Some(_) => {}
        }
        self.remote = Some(Remote { transport, role });

        let mut fresh = PerKind::default();
        let old = std::mem::replace(&mut self.sections, sections);
        self.release_lost(&old);
        let mut old = old.into_iter();
        for section in &mut self.sections {
            follow(old.next(), section, &mut outcome, &mut fresh);
        }
        self.requirement.offered(fresh);
        self.open = Some(OpenOffer {
            id,
            allow_mixed: description.allow_mixed,
        });
        Ok(outcome)
    }

    /// Reads the sections of an offer and holds them against those of the offer before.
    fn read_sections(
        &self,
        description: &Description<'_>,
    ) -> Result<Vec<Section>, NegotiationError> {
        let media = &description.media;
        if media.len() < self.sections.len() {
            return Err(NegotiationError::Missing(
                "section for each one of the offer before",
            ));
        }
        let bundle: Option<HashSet<&str>> = description
            .bundle
            .map(|mids| mids.split_ascii_whitespace().collect());
        let first = media.iter().position(|media| !media.is_rejected());
        let mut mids = HashSet::with_capacity(media.len());
        let mut sections = Vec::with_capacity(media.len());
        let mut common = CommonCodecs::new(&self.local.media.codecs);
        for (index, media) in media.iter().enumerate() {
            // Without a group only one section can have the transport.
            let bundled = bundle.as_ref().map_or(first == Some(index), |bundle| {
                media.mid.is_some_and(|mid| bundle.contains(mid))
            });
            let section =
                Section::read(media, index, bundled, &mut common, description.allow_mixed)?;
            let fault = |what| Err(NegotiationError::Section { index, what });
            if !mids.insert(media.mid) {
                return fault("its mid is that of another section");
            }
            if media.ssrcs.iter().any(|ssrc| self.outgoing.has_ssrc(*ssrc)) {
                return fault("its SSRC is in use by a track that is sent to this client");
            }
            sections.push(section);
        }
        Ok(sections)
    }

    /// Tracks whose section can't carry them any more wait for another one.
    fn release_lost(&mut self, old: &[Section]) {
        for outgoing in self.outgoing.iter_mut() {
            let Some(index) = outgoing.section else {
                continue;
            };
            let before = old.get(index).map(|section| &section.mid);
            let carries = self.sections.get(index).is_some_and(|section| {
                before == Some(&section.mid)
                    && section.media().is_some_and(|media| {
                        media.direction.receives() && outgoing.codec_in(&media.codecs).is_some()
                    })
            });
            if !carries {
                outgoing.section = None;
            }
        }
    }

    /// How a published Opus track shall be encoded; from the next answer on. Unknown mids are ignored.
    pub fn set_audio_policy(&mut self, mid: &Mid, policy: AudioPolicy) {
        let open = self.open.is_some();
        if let Some(media) = self.section_mut(mid)
            && media.audio_policy != policy
        {
            media.audio_policy = policy;
            self.dirty |= !open;
        }
    }

    /// What a published track shall be encoded in, if the client can; from the next answer on. Unknown mids are ignored.
    pub fn prefer_codec(&mut self, mid: &Mid, codec: Codec) {
        let open = self.open.is_some();
        if let Some(media) = self.section_mut(mid)
            && media.preferred != Some(codec)
        {
            let before = media.answered_codecs(&[]);
            media.preferred = Some(codec);
            let changed = before != media.answered_codecs(&[]);
            self.dirty |= changed && !open;
        }
    }

    fn section_mut(&mut self, mid: &Mid) -> Option<&mut MediaSection> {
        self.sections
            .iter_mut()
            .find(|section| section.mid == *mid)
            .and_then(Section::media_mut)
    }

    /// Answers the offer that was accepted last. Bound tracks get free recvonly sections here.
    ///
    /// # Errors
    /// If no offer is open.
    pub fn write_answer(&mut self) -> Result<Answer, NegotiationError> {
        let (Some(open), Some(remote)) = (self.open.take(), &self.remote) else {
            return Err(NegotiationError::OutOfOrder {
                called: "write_answer",
                state: "no offer is open",
            });
        };
        let role = remote.role;
        let refused = self.place();
        let mut reports = Reports::default();
        for outgoing in self.outgoing.iter_mut() {
            if let Some(section) = outgoing.section.and_then(|index| self.sections.get(index))
                && let Some(media) = section.media()
                && let Some(codec) = outgoing.codec_in(&media.codecs).copied()
            {
                outgoing.report(
                    &section.mid,
                    &codec,
                    sent_extensions(&media.extensions),
                    &mut reports,
                );
            }
        }
        let mut answer = Answer {
            id: open.id,
            sdp: String::new(),
            mid_to_track: Vec::new(),
            started: reports.started,
            updated: reports.updated,
            refused,
        };
        self.write(open, role, &mut answer);
        for media in self.sections.iter_mut().filter_map(Section::media_mut) {
            media.resting = false;
        }
        // A section that rested in this answer is free for the next one.
        let (waiting, free) = (self.waiting(), self.free());
        self.dirty = (waiting.audio > 0 && free.audio > 0) || (waiting.video > 0 && free.video > 0);
        Ok(answer)
    }

    /// Gives free sections to tracks that wait. Returns those that no section of theirs can carry.
    fn place(&mut self) -> Vec<SubscriptionId> {
        let mut free: Vec<(usize, &MediaSection)> = Vec::new();
        if self.sends {
            let carried = self.outgoing.by_section(self.sections.len());
            for ((index, section), carried) in self.sections.iter().enumerate().zip(carried) {
                if let Some(media) = section.media()
                    && media.is_for_sending()
                    && carried.is_none()
                    && !media.resting
                {
                    free.push((index, media));
                }
            }
        }
        for outgoing in self.outgoing.iter_mut() {
            if outgoing.section.is_none()
                && let Some(at) = free
                    .iter()
                    .position(|(_, media)| outgoing.codec_in(&media.codecs).is_some())
            {
                outgoing.section = Some(free.remove(at).0);
            }
        }
        let sections = &self.sections;
        self.outgoing.refuse(|outgoing| {
            let kind = outgoing.track.kind();
            let mut alike = sections
                .iter()
                .filter(|section| section.waits_for() == Some(kind))
                .peekable();
            outgoing.section.is_none()
                && alike.peek().is_some()
                && alike.all(|section| {
                    section
                        .media()
                        .is_none_or(|media| outgoing.codec_in(&media.codecs).is_none())
                })
        })
    }

    fn write(&mut self, open: OpenOffer, role: DtlsRole, answer: &mut Answer) {
        let carried = self.outgoing.by_section(self.sections.len());
        let transport = self.local.transport_lines(setup_name(role));
        let mut first_transport = Some(format!("{transport}{}", self.local.candidates()));
        let out = &mut answer.sdp;
        out.reserve(
            SESSION_BYTES.saturating_add(self.sections.len().saturating_mul(SECTION_BYTES)),
        );
        let used = self
            .sections
            .iter()
            .filter(|section| section.is_in_use())
            .map(|section| &section.mid);
        self.local.write_session(out, used, open.allow_mixed);
        let mut codec_lines = CodecLines::default();
        for (section, carried) in self.sections.iter().zip(carried) {
            let mid = &section.mid;
            let first;
            let mut lines = transport.as_str();
            if section.is_in_use() {
                first = first_transport.take();
                lines = first.as_deref().unwrap_or(lines);
            }
            match &section.body {
                Body::Data => write_data(out, mid, lines),
                Body::Refused { text, .. } => text.write(out, mid, lines),
                Body::Rejected(rejected) => {
                    write_rejected(
                        out,
                        &rejected.kind,
                        &rejected.protocol,
                        &rejected.format,
                        mid,
                    );
                }
                Body::Media(media) => {
                    let carries = carried.map_or(&[][..], |outgoing| &outgoing.track.codecs);
                    let codecs = media.answered_codecs(carries);
                    media.text(mid, &codecs, carried, &self.local.media).write(
                        out,
                        lines,
                        &mut codec_lines,
                    );
                    if let Some(outgoing) = carried {
                        answer
                            .mid_to_track
                            .push((mid.clone(), outgoing.track.track.clone()));
                    }
                }
            }
        }
    }

    /// Wants a track to be sent: it gets a section in the next answer that has one free. A second call for the same
    /// subscription replaces the first.
    ///
    /// # Errors
    /// If too many are bound, or if this is a publisher's connection.
    pub fn bind(&mut self, track: OutgoingTrack) -> Result<(), NegotiationError> {
        if !self.sends {
            return Err(NegotiationError::OutOfOrder {
                called: "bind",
                state: "this connection only receives",
            });
        }
        let sections = &self.sections;
        self.outgoing.bind(track, &mut self.local, |ssrc| {
            sections
                .iter()
                .filter_map(Section::media)
                .any(|media| media.ssrcs.contains(&ssrc))
        })?;
        self.dirty = true;
        Ok(())
    }

    /// Says anew what a bound track may be sent in, best first; it counts from the next answer on. Returns whether the client
    /// must be made to offer.
    pub fn set_codecs(&mut self, subscription: SubscriptionId, codecs: &[Codec]) -> bool {
        let changed = self.outgoing.set_codecs(subscription, codecs);
        self.dirty |= changed;
        changed
    }

    /// Stops sending a track. Its section is inactive in the next answer and free for another track after that. Returns
    /// whether the client must be made to offer (the track was in an answer).
    pub fn unbind(&mut self, subscription: SubscriptionId) -> bool {
        let Some(index) = self.outgoing.unbind(subscription) else {
            return false;
        };
        if let Some(media) = self.sections.get_mut(index).and_then(Section::media_mut) {
            media.resting = true;
        }
        self.dirty = true;
        true
    }

    /// Whether the client must be made to offer: send what [`Self::take_requirement`] says, also zeros. False while an
    /// offer is being answered, before the first one, and once the client was asked.
    #[must_use]
    pub fn needs_offer(&self) -> bool {
        self.remote.is_some()
            && self.open.is_none()
            && ((self.dirty && !self.requirement.awaits_offer)
                || !self.requirement.unasked(self.missing()).is_zero())
    }

    /// Sections that bound tracks lack, less those asked for before and not yet offered. Counts as asked for from now on.
    pub fn take_requirement(&mut self) -> SectionsRequirement {
        let request = if self.remote.is_some() {
            self.requirement.unasked(self.missing())
        } else {
            // The first offer may bring enough.
            SectionsRequirement::default()
        };
        self.requirement.ask(request);
        request
    }

    /// The client's signal connection was replaced: what it was asked for may be lost with the old one.
    pub fn forget_requirement(&mut self) {
        self.requirement = Requirement::default();
    }

    /// Tracks without a section.
    fn waiting(&self) -> PerKind<u32> {
        let mut waiting = PerKind::default();
        for outgoing in self.outgoing.iter().filter(|one| one.section.is_none()) {
            *waiting.of_mut(outgoing.track.kind()) += 1;
        }
        waiting
    }

    /// Sections that can carry a waiting track in the next answer or the one after.
    fn free(&self) -> PerKind<u32> {
        let mut free = PerKind::default();
        let carried = self.outgoing.by_section(self.sections.len());
        for (section, carried) in self.sections.iter().zip(carried) {
            if let Some(media) = section.media()
                && media.is_for_sending()
                && carried.is_none()
                && self.outgoing.iter().any(|outgoing| {
                    outgoing.section.is_none() && outgoing.codec_in(&media.codecs).is_some()
                })
            {
                *free.of_mut(media.kind) += 1;
            }
        }
        free
    }

    fn missing(&self) -> PerKind<u32> {
        let (waiting, free) = (self.waiting(), self.free());
        PerKind {
            audio: waiting.audio.saturating_sub(free.audio),
            video: waiting.video.saturating_sub(free.video),
        }
    }
}

/// Carries over what holds beyond one offer, and notes what changed.
fn follow(
    before: Option<Section>,
    section: &mut Section,
    outcome: &mut OfferOutcome,
    fresh: &mut PerKind<u32>,
) {
    let same = before
        .as_ref()
        .is_some_and(|before| before.mid == section.mid);
    let before = before.and_then(|before| match before.body {
        Body::Media(media) => Some(media),
        _ => None,
    });
    let was_for_sending = same && before.as_ref().is_some_and(|media| media.is_for_sending());
    let mut now = section.media_mut();
    if let Some(media) = &now
        && media.is_for_sending()
        && !was_for_sending
    {
        *fresh.of_mut(media.kind) += 1;
    }
    if same && let (Some(before), Some(media)) = (&before, &mut now) {
        media.resting = before.resting;
        media.audio_policy = before.audio_policy;
        media.preferred = before.preferred;
    }
    let before = before.and_then(|media| media.receiver);
    match (before, now.and_then(|media| media.receiver.as_ref())) {
        (Some(before), Some(receiver)) if same && before.cid == receiver.cid => {
            if before != *receiver {
                outcome.changed.push(receiver.clone());
            }
        }
        (before, receiver) => {
            outcome
                .removed
                .extend(before.map(|before| before.params.mid));
            outcome.added.extend(receiver.cloned());
        }
    }
}

impl MediaSection {
    /// The section as we answer it, with the track in it.
    fn text<'a>(
        &'a self,
        mid: &'a Mid,
        codecs: &'a [NegotiatedCodec],
        carried: Option<&'a Outgoing>,
        policy: &MediaPolicy,
    ) -> MediaText<'a> {
        let receives = self.receiver.is_some();
        let format = if receives {
            FormatText::Receive {
                dtx: self.audio_policy.dtx && policy.dtx,
                stereo: self
                    .audio_policy
                    .stereo
                    .then_some(policy.stereo_bitrate_bps),
                initial: policy.initial_video_bitrate_bps,
                min: policy.min_video_bitrate_bps,
            }
        } else {
            FormatText::Send {
                stereo: carried.is_some_and(|outgoing| outgoing.track.stereo),
            }
        };
        MediaText {
            kind: self.kind,
            protocol: self.protocol,
            mid,
            direction: Direction::of(carried.is_some(), receives),
            codecs,
            extensions: if receives {
                received_extensions(&self.extensions, codecs.first().map(|first| first.codec))
            } else {
                self.extensions
            },
            format,
            send: carried.map(|outgoing| {
                let repaired = outgoing
                    .codec_in(&self.codecs)
                    .is_some_and(|codec| codec.rtx.is_some());
                outgoing.text(repaired)
            }),
            receive_rids: &self.rids,
        }
    }
}
