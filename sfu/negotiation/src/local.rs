//! Our side of a connection, and what both kinds of negotiation read of the other side.

use plenum_types::{
    Candidate, CandidateProtocol, DtlsRole, Fingerprint, IceCredentials, MediaPolicy, Mid,
    SctpParams, ShardId, Ssrc,
};
use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use std::fmt::Write;

use crate::{
    NegotiationError,
    sdp::{Description, Media, Setup, push_number},
};

/// What a negotiation must know of the member.
#[derive(Debug, Clone)]
pub struct LocalParams {
    /// Which Shard the connection will be on; our ufrag names it.
    pub shard: ShardId,
    /// Of the process's DTLS certificate.
    pub fingerprint: Fingerprint,
    /// Where clients reach the Shard, best first.
    pub candidates: Vec<Candidate>,
    /// Codecs that may be negotiated, and how they shall be sent to us.
    pub media: MediaPolicy,
    /// Seed of SSRCs and ICE credentials; must be unguessable.
    pub seed: [u8; 32],
}

/// Media streams and their retransmissions have SSRCs from here up: browsers report on what they receive under small
/// fixed numbers (Chromium: 1).
const LOWEST_SSRC: u32 = 0x1_0000;

/// Our side of a connection.
#[derive(Debug)]
pub(crate) struct LocalSide {
    shard: ShardId,
    pub(crate) ice: IceCredentials,
    pub(crate) media: MediaPolicy,
    random: ChaCha12Rng,
    fingerprint: String,
    /// Lines for the section whose transport all others share.
    candidates: String,
    /// `o=` (RFC 8866 section 5.2): the version grows with each description.
    session: u64,
    version: u32,
}

impl LocalSide {
    pub(crate) fn new(params: LocalParams) -> Self {
        let mut random = ChaCha12Rng::from_seed(params.seed);
        Self {
            shard: params.shard,
            ice: IceCredentials::for_shard(params.shard, || random.next_u64()),
            media: params.media,
            // RFC 3264 wants it to fit a signed number.
            session: random.next_u64() >> 2,
            version: 0,
            fingerprint: hex(&params.fingerprint),
            candidates: candidates(&params.candidates),
            random,
        }
    }

    /// Returns whether that is a change.
    pub(crate) fn set_candidates(&mut self, ours: &[Candidate]) -> bool {
        let lines = candidates(ours);
        let changed = lines != self.candidates;
        self.candidates = lines;
        changed
    }

    pub(crate) fn restart_ice(&mut self) {
        let random = &mut self.random;
        self.ice = IceCredentials::for_shard(self.shard, || random.next_u64());
    }

    /// A fresh SSRC that `taken` does not know.
    pub(crate) fn ssrc(&mut self, taken: impl Fn(Ssrc) -> bool) -> Ssrc {
        loop {
            let ssrc = Ssrc(self.random.next_u32().max(LOWEST_SSRC));
            if !taken(ssrc) {
                return ssrc;
            }
        }
    }

    /// Session level: everything before the first section. `bundle` are the mids that share the transport.
    pub(crate) fn write_session<'a>(
        &mut self,
        out: &mut String,
        bundle: impl Iterator<Item = &'a Mid>,
        allow_mixed: bool,
    ) {
        self.version = self.version.saturating_add(1);
        // Writing to a String can't fail.
        let _ = write!(out, "v=0\r\no=- {} ", self.session);
        push_number(out, self.version);
        out.push_str(" IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE");
        for mid in bundle {
            out.push(' ');
            out.push_str(mid.as_str());
        }
        out.push_str("\r\na=ice-lite\r\na=msid-semantic:WMS *\r\n");
        if allow_mixed {
            out.push_str("a=extmap-allow-mixed\r\n");
        }
        out.push_str("a=fingerprint:sha-256 ");
        out.push_str(&self.fingerprint);
        out.push_str("\r\n");
    }

    /// The block of lines about ICE and DTLS that each section has. Candidates follow in the first one only.
    pub(crate) fn transport_lines(&self, setup: &str) -> String {
        format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=setup:{setup}\r\n",
            self.ice.ufrag, self.ice.pwd
        )
    }

    /// All candidates of ours, complete: there is nothing to trickle.
    pub(crate) fn candidates(&self) -> &str {
        &self.candidates
    }
}

/// Upper-case pairs with colons (RFC 8122 section 5).
fn hex(fingerprint: &Fingerprint) -> String {
    let mut text = String::with_capacity(fingerprint.0.len().saturating_mul(3));
    for (index, byte) in fingerprint.0.iter().enumerate() {
        if index > 0 {
            text.push(':');
        }
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// Host candidates (RFC 8839 section 5.1), the first with the highest priority (RFC 8445 section 5.1.2.1). Those over TCP
/// come after all over UDP (RFC 6544 section 4.2): a late packet is better than one that holds up those behind it.
fn candidates(ours: &[Candidate]) -> String {
    /// Type preference of host candidates.
    const HOST: u32 = 126 << 24;
    /// The same over TCP, as browsers have it.
    const HOST_TCP: u32 = 90 << 24;
    /// Direction preference of passive candidates (RFC 6544 section 4.2), above 13 bits of other preference.
    const PASSIVE: u32 = 4 << 13;
    const OTHER: u32 = (1 << 13) - 1;
    /// 256 minus component 1.
    const COMPONENT: u32 = 255;
    let mut lines = String::new();
    for (index, candidate) in (0u16..).zip(ours) {
        let index = u32::from(index);
        let (name, kind, local, tcp_type) = match candidate.protocol {
            CandidateProtocol::Udp => ("udp", HOST, u32::from(u16::MAX).saturating_sub(index), ""),
            CandidateProtocol::Tcp => {
                let local = PASSIVE | OTHER.saturating_sub(index);
                ("tcp", HOST_TCP, local, " tcptype passive")
            }
        };
        let priority = kind | local << 8 | COMPONENT;
        let _ = write!(
            lines,
            "a=candidate:{} 1 {name} {priority} {} {} typ host{tcp_type}\r\n",
            index.saturating_add(1),
            candidate.address.ip(),
            candidate.address.port()
        );
    }
    lines.push_str("a=end-of-candidates\r\n");
    lines
}

/// What a description says about the other side's transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteTransport {
    pub(crate) ice: IceCredentials,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) setup: Setup,
}

impl RemoteTransport {
    /// Of the first section that is not rejected: it carries the transport of all (RFC 9143 section 7).
    pub(crate) fn of(description: &Description<'_>) -> Result<Self, NegotiationError> {
        let section = description
            .media
            .iter()
            .find(|media| !media.is_rejected())
            .ok_or(NegotiationError::Missing("media section in use"))?
            .transport;
        let session = description.transport;
        let ufrag = section.ufrag.or(session.ufrag);
        let pwd = section.pwd.or(session.pwd);
        let fingerprint = section.fingerprint.or(session.fingerprint);
        Ok(Self {
            ice: IceCredentials {
                ufrag: ufrag.ok_or(NegotiationError::Missing("ice-ufrag"))?.into(),
                pwd: pwd.ok_or(NegotiationError::Missing("ice-pwd"))?.into(),
            },
            fingerprint: fingerprint
                .and_then(parse_fingerprint)
                .ok_or(NegotiationError::Missing("sha-256 fingerprint of 32 bytes"))?,
            setup: section
                .setup
                .or(session.setup)
                .ok_or(NegotiationError::Missing("setup"))?,
        })
    }
}

fn parse_fingerprint(text: &str) -> Option<Fingerprint> {
    let mut bytes = [0u8; 32];
    let mut pairs = text.trim().split(':');
    for byte in &mut bytes {
        let pair = pairs.next().filter(|pair| pair.len() == 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(Fingerprint(bytes))
}

/// `a=setup` of an answer.
pub(crate) const fn setup_name(role: DtlsRole) -> &'static str {
    match role {
        DtlsRole::Active => "active",
        DtlsRole::Passive => "passive",
    }
}

/// SCTP of the other side where no data section says otherwise (RFC 8841 sections 5 and 6).
const DEFAULT_SCTP_PORT: u16 = 5000;
const DEFAULT_MAX_MESSAGE_SIZE: u32 = 65_536;

/// Parameters of the data section, or their defaults.
pub(crate) fn sctp_params(data: Option<&Media<'_>>, open_channels: bool) -> SctpParams {
    SctpParams {
        remote_port: data
            .and_then(|media| media.sctp_port)
            .unwrap_or(DEFAULT_SCTP_PORT),
        max_message_size: data
            .and_then(|media| media.max_message_size)
            .unwrap_or(DEFAULT_MAX_MESSAGE_SIZE),
        open_channels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_has_the_highest_priority() {
        let lines = candidates(&[
            Candidate::udp("192.0.2.1:7882".parse().unwrap()),
            Candidate::udp("[2001:db8::1]:7882".parse().unwrap()),
            Candidate::tcp("192.0.2.1:7881".parse().unwrap()),
        ]);
        assert_eq!(
            lines,
            "a=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host\r\n\
             a=candidate:2 1 udp 2130706175 2001:db8::1 7882 typ host\r\n\
             a=candidate:3 1 tcp 1520434687 192.0.2.1 7881 typ host tcptype passive\r\n\
             a=end-of-candidates\r\n"
        );
    }

    #[test]
    fn fingerprints_survive_writing_and_reading() {
        let fingerprint = Fingerprint(std::array::from_fn(|index| index as u8 * 7));
        assert_eq!(parse_fingerprint(&hex(&fingerprint)), Some(fingerprint));
        assert_eq!(parse_fingerprint("AB:CD"), None);
        assert_eq!(
            parse_fingerprint(&format!("{}:00", hex(&fingerprint))),
            None
        );
    }
}
