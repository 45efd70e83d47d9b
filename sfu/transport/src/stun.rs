//! Connectivity checks on the wire: STUN binding requests and their answers (RFC 8489, RFC 8445 section 7).

use aws_lc_rs::{constant_time, hmac};
use smallvec::SmallVec;
use std::net::{IpAddr, SocketAddr};

/// Bytes of the STUN header.
const HEADER: usize = 20;
/// RFC 8489 section 5.
const MAGIC_COOKIE: u32 = 0x2112_A442;
/// XORed into the checksum so that it differs from those of other protocols (RFC 8489 section 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// Bytes of an HMAC-SHA1.
const INTEGRITY: usize = 20;
/// Most attributes that are looked at. A browser's check has seven to ten; more is noise.
const MAX_ATTRIBUTES: usize = 32;
/// Longest USERNAME (RFC 8489 section 14.3): 508 bytes of UTF-8.
const MAX_USERNAME: usize = 508;
/// Most unknown attributes that an answer lists.
const MAX_UNKNOWN: usize = 4;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802A;
/// Attributes from here on may be ignored by who does not know them.
const COMPREHENSION_OPTIONAL: u16 = 0x8000;

/// Names one request and its answer.
pub(crate) type TransactionId = [u8; 12];

/// Key of MESSAGE-INTEGRITY, made from a password once.
pub(crate) struct IntegrityKey(hmac::Key);

impl IntegrityKey {
    pub(crate) fn new(pwd: &str) -> Self {
        Self(hmac::Key::new(
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            pwd.as_bytes(),
        ))
    }

    /// HMAC over `message` with the length field saying that the message ends after MESSAGE-INTEGRITY.
    fn sign(&self, message: &[u8]) -> hmac::Tag {
        let length = (message.len() + 4 + INTEGRITY).saturating_sub(HEADER);
        let mut context = hmac::Context::with_key(&self.0);
        context.update(message.get(..2).unwrap_or_default());
        context.update(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        context.update(message.get(4..).unwrap_or_default());
        context.sign()
    }
}

/// A well-formed binding request with a correct checksum. Not yet authenticated: see [`BindingRequest::verify`].
pub(crate) struct BindingRequest<'a> {
    datagram: &'a [u8],
    /// To be repeated in the answer.
    pub(crate) transaction: TransactionId,
    /// Before the colon of USERNAME: the receiver's fragment, ours.
    pub(crate) receiver_ufrag: Option<&'a str>,
    /// The sender claims the controlled role, which is always ours.
    pub(crate) controlled: bool,
    /// The sender nominates this path.
    pub(crate) use_candidate: bool,
    /// PRIORITY is there, as each check must have it.
    pub(crate) has_priority: bool,
    /// Attributes that must be understood and are not.
    pub(crate) unknown: SmallVec<[u16; MAX_UNKNOWN]>,
    /// Where MESSAGE-INTEGRITY starts, and its value.
    integrity: Option<(usize, &'a [u8])>,
}

impl<'a> BindingRequest<'a> {
    /// Reads a datagram. `None` for anything but a well-formed binding request with a correct FINGERPRINT: answers to it
    /// would only feed reflection.
    pub(crate) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (kind, rest) = split_u16(datagram)?;
        let (length, rest) = split_u16(rest)?;
        let (cookie, rest) = rest.split_first_chunk::<4>()?;
        let (transaction, mut rest) = rest.split_first_chunk::<12>()?;
        if kind != BINDING_REQUEST
            || u32::from_be_bytes(*cookie) != MAGIC_COOKIE
            || usize::from(length) != rest.len()
            || length % 4 != 0
        {
            return None;
        }
        let mut request = Self {
            datagram,
            transaction: *transaction,
            receiver_ufrag: None,
            controlled: false,
            use_candidate: false,
            has_priority: false,
            unknown: SmallVec::new(),
            integrity: None,
        };
        for _ in 0..MAX_ATTRIBUTES {
            let start = datagram.len() - rest.len();
            let (kind, after) = split_u16(rest)?;
            let (length, after) = split_u16(after)?;
            let length = usize::from(length);
            let value = after.get(..length)?;
            rest = after.get(length.next_multiple_of(4)..)?;
            if kind == FINGERPRINT {
                // It is the last one (RFC 8489 section 14.7).
                return (rest.is_empty() && value == fingerprint(datagram.get(..start)?))
                    .then_some(request);
            }
            // What follows MESSAGE-INTEGRITY is not protected by it (RFC 8489 section 14.5).
            if request.integrity.is_none() {
                request.read(kind, value, start)?;
            }
        }
        None
    }

    fn read(&mut self, kind: u16, value: &'a [u8], start: usize) -> Option<()> {
        match kind {
            USERNAME if value.len() <= MAX_USERNAME => {
                let username = std::str::from_utf8(value).ok()?;
                self.receiver_ufrag = Some(username.split_once(':')?.0);
            }
            USERNAME => return None,
            MESSAGE_INTEGRITY => {
                if value.len() != INTEGRITY {
                    return None;
                }
                self.integrity = Some((start, value));
            }
            PRIORITY => self.has_priority = true,
            USE_CANDIDATE => self.use_candidate = true,
            ICE_CONTROLLED => self.controlled = true,
            _ if kind >= COMPREHENSION_OPTIONAL => {}
            _ if self.unknown.len() < MAX_UNKNOWN => self.unknown.push(kind),
            _ => {}
        }
        Some(())
    }

    /// MESSAGE-INTEGRITY is there.
    pub(crate) const fn has_integrity(&self) -> bool {
        self.integrity.is_some()
    }

    /// True if whoever made the request knows the password. Compares in constant time.
    pub(crate) fn verify(&self, key: &IntegrityKey) -> bool {
        let Some((start, value)) = self.integrity else {
            return false;
        };
        self.datagram.get(..start).is_some_and(|message| {
            constant_time::verify_slices_are_equal(key.sign(message).as_ref(), value).is_ok()
        })
    }
}

/// Our ufrag in a binding request's USERNAME (`<ours>:<theirs>`), for finding a Transport before any path is known.
/// `None` if the datagram is no well-formed binding request. Nothing is authenticated here.
#[must_use]
pub fn ufrag_of(datagram: &[u8]) -> Option<&str> {
    BindingRequest::parse(datagram)?.receiver_ufrag
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Something that each check must have is missing.
    BadRequest,
    /// Wrong password.
    Unauthenticated,
    /// Attributes that must be understood and are not.
    UnknownAttribute,
    /// The sender must take the controlling role: an ICE-lite agent never does (RFC 8445 section 6.1.1).
    RoleConflict,
}

impl Refusal {
    /// Code and reason phrase (RFC 8489 section 14.8, RFC 8445 section 16.2).
    const fn code(self) -> (u16, &'static str) {
        match self {
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthenticated => (401, "Unauthenticated"),
            Self::UnknownAttribute => (420, "Unknown Attribute"),
            Self::RoleConflict => (487, "Role Conflict"),
        }
    }
}

/// The answer to a valid check: tells the client which address it came from.
pub(crate) fn success(transaction: TransactionId, from: SocketAddr, key: &IntegrityKey) -> Vec<u8> {
    let mut writer = Writer::new(BINDING_SUCCESS, transaction);
    writer.attribute(XOR_MAPPED_ADDRESS, &xor_address(from, transaction));
    writer.finish(Some(key))
}

/// The answer to a check that is refused. Signed only if the client has shown that it shares the key.
pub(crate) fn error(
    request: &BindingRequest<'_>,
    refusal: Refusal,
    key: Option<&IntegrityKey>,
) -> Vec<u8> {
    let mut writer = Writer::new(BINDING_ERROR, request.transaction);
    let (code, reason) = refusal.code();
    let mut value: SmallVec<[u8; 32]> = SmallVec::new();
    value.extend([0, 0]);
    value.extend([(code / 100).to_le_bytes()[0], (code % 100).to_le_bytes()[0]]);
    value.extend_from_slice(reason.as_bytes());
    writer.attribute(ERROR_CODE, &value);
    if refusal == Refusal::UnknownAttribute {
        let list: SmallVec<[u8; 2 * MAX_UNKNOWN]> = request
            .unknown
            .iter()
            .flat_map(|kind| kind.to_be_bytes())
            .collect();
        writer.attribute(UNKNOWN_ATTRIBUTES, &list);
    }
    writer.finish(key)
}

/// A connectivity check as a full ICE agent in the controlling role sends it. The server sends none; clients of tests and
/// load generators do.
#[derive(Debug, Clone, Copy)]
pub struct ConnectivityCheck<'a> {
    /// Names the request; unique per check.
    pub transaction: [u8; 12],
    /// The server's fragment.
    pub receiver_ufrag: &'a str,
    /// The client's fragment.
    pub sender_ufrag: &'a str,
    /// The server's password.
    pub receiver_pwd: &'a str,
    /// Nominates the path.
    pub use_candidate: bool,
}

impl ConnectivityCheck<'_> {
    /// The request as a datagram.
    #[must_use]
    pub fn to_datagram(&self) -> Vec<u8> {
        let mut writer = Writer::new(BINDING_REQUEST, self.transaction);
        let username = format!("{}:{}", self.receiver_ufrag, self.sender_ufrag);
        writer.attribute(USERNAME, username.as_bytes());
        // Type preference of a host candidate, first component (RFC 8445 section 5.1.2).
        writer.attribute(PRIORITY, &0x7eff_ffff_u32.to_be_bytes());
        writer.attribute(ICE_CONTROLLING, &1u64.to_be_bytes());
        if self.use_candidate {
            writer.attribute(USE_CANDIDATE, &[]);
        }
        writer.finish(Some(&IntegrityKey::new(self.receiver_pwd)))
    }
}

struct Writer(Vec<u8>);

impl Writer {
    /// Our longest answer: header, an IPv6 address or an error, MESSAGE-INTEGRITY, FINGERPRINT.
    const CAPACITY: usize = 128;

    fn new(kind: u16, transaction: TransactionId) -> Self {
        let mut bytes = Vec::with_capacity(Self::CAPACITY);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes.extend_from_slice(&transaction);
        Self(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&kind.to_be_bytes());
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, key: Option<&IntegrityKey>) -> Vec<u8> {
        if let Some(key) = key {
            let tag = key.sign(&self.0);
            self.attribute(MESSAGE_INTEGRITY, tag.as_ref());
        }
        // The checksum covers a length that counts FINGERPRINT itself.
        let length = u16::try_from(self.0.len() + 8 - HEADER).unwrap_or(u16::MAX);
        if let Some(field) = self.0.get_mut(2..4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        let value = fingerprint(&self.0);
        self.attribute(FINGERPRINT, &value);
        self.0
    }
}

/// A binding request with these attributes, and a length and a checksum that are right.
#[cfg(fuzzing)]
pub(crate) fn request_of(attributes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(BINDING_REQUEST, TransactionId::default());
    writer.0.extend_from_slice(attributes);
    writer.0.resize(writer.0.len().next_multiple_of(4), 0);
    writer.finish(None)
}

fn fingerprint(message: &[u8]) -> [u8; 4] {
    (crc32fast::hash(message) ^ FINGERPRINT_XOR).to_be_bytes()
}

fn split_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (value, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*value), rest))
}

/// Value of XOR-MAPPED-ADDRESS (RFC 8489 section 14.2).
fn xor_address(address: SocketAddr, transaction: TransactionId) -> SmallVec<[u8; 20]> {
    let mut value: SmallVec<[u8; 20]> = SmallVec::new();
    let port = address.port() ^ 0x2112;
    let mask = MAGIC_COOKIE.to_be_bytes().into_iter().chain(transaction);
    // A dual-stack socket shows IPv4 clients as mapped addresses; they know themselves by the plain one.
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            value.extend([0, 1]);
            value.extend(port.to_be_bytes());
            value.extend(ip.octets().into_iter().zip(mask).map(|(a, b)| a ^ b));
        }
        IpAddr::V6(ip) => {
            value.extend([0, 2]);
            value.extend(port.to_be_bytes());
            value.extend(ip.octets().into_iter().zip(mask).map(|(a, b)| a ^ b));
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 section 2.1.
    const SAMPLE_REQUEST: [u8; 108] = [
        0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6,
        0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74,
        0x65, 0x73, 0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e,
        0x00, 0x01, 0xff, 0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36,
        0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20,
        0x20, 0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e,
        0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5,
        0x7a, 0x3b, 0xcf,
    ];
    /// RFC 5769: the password of all samples.
    const SAMPLE_PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
    const SAMPLE_TRANSACTION: TransactionId = [
        0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    ];

    #[test]
    fn reads_the_sample_request_of_rfc_5769() {
        let request = BindingRequest::parse(&SAMPLE_REQUEST).unwrap();
        assert_eq!(request.transaction, SAMPLE_TRANSACTION);
        assert_eq!(request.receiver_ufrag, Some("evtj"));
        assert!(request.has_priority && request.controlled && !request.use_candidate);
        assert!(request.unknown.is_empty());
        assert!(request.verify(&IntegrityKey::new(SAMPLE_PASSWORD)));
        assert!(!request.verify(&IntegrityKey::new("VOkJxbRl1RmTxUk/WvJxBx")));
        assert_eq!(ufrag_of(&SAMPLE_REQUEST), Some("evtj"));
    }

    #[test]
    fn addresses_are_masked_as_in_rfc_5769() {
        let v4 = xor_address("192.0.2.1:32853".parse().unwrap(), SAMPLE_TRANSACTION);
        assert_eq!(&v4[..], [0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let mapped = xor_address(
            "[::ffff:192.0.2.1]:32853".parse().unwrap(),
            SAMPLE_TRANSACTION,
        );
        assert_eq!(mapped, v4);
        let v6 = xor_address(
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853"
                .parse()
                .unwrap(),
            SAMPLE_TRANSACTION,
        );
        assert_eq!(
            &v6[..],
            [
                0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4,
                0xb5, 0xbe, 0xd2, 0xb9, 0xd9
            ]
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let check = ConnectivityCheck {
            transaction: SAMPLE_TRANSACTION,
            receiver_ufrag: "server",
            sender_ufrag: "client",
            receiver_pwd: "secret-secret-secret-1",
            use_candidate: true,
        };
        let datagram = check.to_datagram();
        let request = BindingRequest::parse(&datagram).unwrap();
        assert!(request.use_candidate && request.has_priority && !request.controlled);
        assert!(request.verify(&IntegrityKey::new(check.receiver_pwd)));
    }

    #[test]
    fn answers_end_with_integrity_and_checksum() {
        let key = IntegrityKey::new(SAMPLE_PASSWORD);
        let answer = success(SAMPLE_TRANSACTION, "192.0.2.1:32853".parse().unwrap(), &key);
        assert_eq!(answer.len(), HEADER + 12 + 24 + 8);
        let integrity_at = HEADER + 12;
        assert_eq!(
            &answer[integrity_at + 4..integrity_at + 24],
            key.sign(&answer[..integrity_at]).as_ref()
        );
        let checksum_at = answer.len() - 8;
        assert_eq!(
            answer[checksum_at + 4..],
            fingerprint(&answer[..checksum_at])
        );
        let request = BindingRequest::parse(&SAMPLE_REQUEST).unwrap();
        let refusal = error(&request, Refusal::RoleConflict, Some(&key));
        assert_eq!(refusal[..2], [0x01, 0x11]);
        assert_eq!(refusal[HEADER + 6..HEADER + 8], [4, 87]);
    }

    #[test]
    fn no_changed_or_shortened_request_is_believed() {
        let key = IntegrityKey::new(SAMPLE_PASSWORD);
        for length in 0..SAMPLE_REQUEST.len() {
            assert!(BindingRequest::parse(&SAMPLE_REQUEST[..length]).is_none());
        }
        for index in 0..SAMPLE_REQUEST.len() {
            for bit in 0..8 {
                let mut changed = SAMPLE_REQUEST;
                changed[index] ^= 1 << bit;
                assert!(
                    BindingRequest::parse(&changed).is_none_or(|request| !request.verify(&key))
                );
                // Whoever can compute the checksum still lacks the password.
                let mut with_checksum = changed;
                let value = fingerprint(&changed[..100]);
                with_checksum[104..].copy_from_slice(&value);
                if index < 76 || (80..100).contains(&index) {
                    assert!(
                        BindingRequest::parse(&with_checksum)
                            .is_none_or(|request| !request.verify(&key))
                    );
                }
            }
        }
    }

    /// A request with these attributes and a good checksum.
    fn request_with(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut writer = Writer::new(BINDING_REQUEST, SAMPLE_TRANSACTION);
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        writer.finish(Some(&IntegrityKey::new(SAMPLE_PASSWORD)))
    }

    #[test]
    fn a_request_has_a_bounded_number_of_attributes_and_a_bounded_name() {
        let many = |count| request_with(&vec![(0xC000, Vec::new()); count]);
        // Integrity and checksum are two of them.
        assert!(BindingRequest::parse(&many(MAX_ATTRIBUTES - 2)).is_some());
        assert!(BindingRequest::parse(&many(MAX_ATTRIBUTES - 1)).is_none());
        let named = |length: usize| {
            let mut name = b"a:".to_vec();
            name.resize(length, b'b');
            request_with(&[(USERNAME, name)])
        };
        assert!(BindingRequest::parse(&named(MAX_USERNAME)).is_some());
        assert!(BindingRequest::parse(&named(MAX_USERNAME + 1)).is_none());
    }

    #[test]
    fn an_answer_names_few_unknown_attributes_and_never_amplifies() {
        let unknown: Vec<_> = (0x7000..0x7010).map(|kind| (kind, Vec::new())).collect();
        let datagram = request_with(&unknown);
        let request = BindingRequest::parse(&datagram).unwrap();
        assert_eq!(request.unknown.len(), MAX_UNKNOWN);
        let answer = error(&request, Refusal::UnknownAttribute, None);
        assert!(answer.len() < datagram.len());
    }
}
