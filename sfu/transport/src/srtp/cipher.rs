//! The transforms: what a profile does to one packet.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{AES_128, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey},
    constant_time, hmac,
    iv::FixedLength,
};
use plenum_types::{SrtpProfile, Ssrc};

use super::keys::{KeyError, Label, MasterKey};

/// Bytes of a GCM tag.
const GCM_TAG: usize = 16;
/// Bytes of a GCM nonce and salt.
const GCM_SALT: usize = 12;
/// Bytes of HMAC-SHA1 that are sent (80 bits).
const HMAC_TAG: usize = 10;
/// Bytes of an HMAC-SHA1 key.
const HMAC_KEY: usize = 20;
/// Bytes of the AES-CM salt.
const CM_SALT: usize = 14;

/// Whether keys are for RTP or RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Rtp,
    Rtcp,
}

/// Names a packet under a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct PacketId {
    pub(super) ssrc: Ssrc,
    /// ROC << 16 | sequence number for RTP, the SRTCP index for RTCP; below 2^48.
    pub(super) index: u64,
}

/// Encryption or authentication failed.
pub(super) struct Failed;

/// One direction's keys for RTP or RTCP.
pub(super) enum Cipher {
    /// RFC 7714.
    Gcm {
        key: LessSafeKey,
        salt: [u8; GCM_SALT],
    },
    /// RFC 3711; boxed because its key schedules are 1.7 KB that most Transports don't need.
    CmHmac(Box<CmHmac>),
}

/// AES in counter mode with HMAC-SHA1.
pub(super) struct CmHmac {
    key: EncryptingKey,
    salt: [u8; CM_SALT],
    auth: hmac::Key,
}

impl Cipher {
    pub(super) fn new(master: &MasterKey, protocol: Protocol) -> Result<Self, KeyError> {
        let (encryption, authentication, salting) = match protocol {
            Protocol::Rtp => (
                Label::RtpEncryption,
                Label::RtpAuthentication,
                Label::RtpSalt,
            ),
            Protocol::Rtcp => (
                Label::RtcpEncryption,
                Label::RtcpAuthentication,
                Label::RtcpSalt,
            ),
        };
        let gcm = |algorithm, key: &mut [u8]| {
            master.derive(encryption, key)?;
            let mut salt = [0; GCM_SALT];
            master.derive(salting, &mut salt)?;
            Ok(Self::Gcm {
                key: LessSafeKey::new(UnboundKey::new(algorithm, key)?),
                salt,
            })
        };
        match master.profile() {
            SrtpProfile::AeadAes256Gcm => gcm(&AES_256_GCM, &mut [0; 32]),
            SrtpProfile::AeadAes128Gcm => gcm(&AES_128_GCM, &mut [0; 16]),
            SrtpProfile::Aes128CmHmacSha1_80 => {
                let mut key = [0; 16];
                master.derive(encryption, &mut key)?;
                let mut salt = [0; CM_SALT];
                master.derive(salting, &mut salt)?;
                let mut auth = [0; HMAC_KEY];
                master.derive(authentication, &mut auth)?;
                Ok(Self::CmHmac(Box::new(CmHmac {
                    key: EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &key)?)?,
                    salt,
                    auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth),
                })))
            }
        }
    }

    /// Bytes of the authentication tag.
    pub(super) const fn tag_len(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG,
            Self::CmHmac(_) => HMAC_TAG,
        }
    }

    /// Encrypts `body` and writes the tag. GCM authenticates `aad` and the body; HMAC authenticates `header`, the body and
    /// `trailer`. (GCM's additional data is the header for RTP, and header with index for RTCP.)
    pub(super) fn seal(
        &self,
        id: PacketId,
        covered: &Covered<'_>,
        body: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), Failed> {
        match self {
            Self::Gcm { key, salt } => {
                let computed = key
                    .seal_in_place_separate_tag(gcm_nonce(*salt, id), Aad::from(covered.aad), body)
                    .map_err(|_| Failed)?;
                copy(tag, computed.as_ref())
            }
            Self::CmHmac(keys) => {
                keys.counter_mode(id, body)?;
                let computed = keys.authenticate(covered, body);
                copy(tag, computed.as_ref().get(..HMAC_TAG).ok_or(Failed)?)
            }
        }
    }

    /// Authenticates, then decrypts `body`. After a failure `body` is not to be used.
    pub(super) fn open(
        &self,
        id: PacketId,
        covered: &Covered<'_>,
        body: &mut [u8],
        tag: &[u8],
    ) -> Result<(), Failed> {
        match self {
            Self::Gcm { key, salt } => key
                .open_in_place_separate_tag(gcm_nonce(*salt, id), Aad::from(covered.aad), tag, body)
                .map(|_| ())
                .map_err(|_| Failed),
            Self::CmHmac(keys) => {
                let computed = keys.authenticate(covered, body);
                let computed = computed.as_ref().get(..HMAC_TAG).ok_or(Failed)?;
                constant_time::verify_slices_are_equal(computed, tag).map_err(|_| Failed)?;
                keys.counter_mode(id, body)
            }
        }
    }
}

/// What is authenticated besides the body.
pub(super) struct Covered<'a> {
    /// For GCM.
    pub(super) aad: &'a [u8],
    /// For HMAC: before the body.
    pub(super) header: &'a [u8],
    /// For HMAC: after the body (ROC, or E bit and index).
    pub(super) trailer: [u8; 4],
}

fn copy(to: &mut [u8], from: &[u8]) -> Result<(), Failed> {
    if to.len() != from.len() {
        return Err(Failed);
    }
    to.copy_from_slice(from);
    Ok(())
}

/// RFC 7714 sections 8.1 and 9.1: the SRTP and SRTCP forms agree once the SRTCP index is seen as 48 bits.
fn gcm_nonce(mut salt: [u8; GCM_SALT], id: PacketId) -> Nonce {
    let ssrc = id.ssrc.0.to_be_bytes();
    let [_, _, index @ ..] = id.index.to_be_bytes();
    for (byte, value) in salt.iter_mut().skip(2).zip(ssrc.into_iter().chain(index)) {
        *byte ^= value;
    }
    Nonce::assume_unique_for_key(salt)
}

impl CmHmac {
    /// RFC 3711 section 4.1.1.
    fn counter_mode(&self, id: PacketId, body: &mut [u8]) -> Result<(), Failed> {
        let mut iv = [0; 16];
        let ssrc = id.ssrc.0.to_be_bytes();
        let [_, _, index @ ..] = id.index.to_be_bytes();
        for (byte, value) in iv.iter_mut().skip(4).zip(ssrc.into_iter().chain(index)) {
            *byte = value;
        }
        for (byte, value) in iv.iter_mut().zip(self.salt) {
            *byte ^= value;
        }
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        let _: DecryptionContext = self
            .key
            .less_safe_encrypt(body, context)
            .map_err(|_| Failed)?;
        Ok(())
    }

    /// RFC 3711 section 4.2.
    fn authenticate(&self, covered: &Covered<'_>, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.auth);
        context.update(covered.header);
        context.update(body);
        context.update(&covered.trailer);
        context.sign()
    }
}
