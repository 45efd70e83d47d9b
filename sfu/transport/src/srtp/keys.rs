//! Session keys from a master key (RFC 3711 section 4.3, RFC 6188, RFC 7714 section 11).

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use plenum_types::SrtpProfile;
use smallvec::SmallVec;
use std::fmt;

/// The longest salt, that of AES-CM; GCM's 12 bytes are padded with zeros for the derivation.
const KDF_SALT: usize = 14;

/// What a session key is for (RFC 3711 section 4.3.2).
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// A key can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Its length is not the profile's.
    #[error("master key or salt has the wrong length for the SRTP profile")]
    Length,
    /// The crypto library refused it.
    #[error("the crypto library refused an SRTP key")]
    Crypto,
}

impl From<aws_lc_rs::error::Unspecified> for KeyError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}

/// Master key and salt of one direction, as the DTLS handshake exports them. `Debug` keeps them to itself.
#[derive(Clone)]
pub struct MasterKey {
    profile: SrtpProfile,
    key: SmallVec<[u8; 32]>,
    salt: SmallVec<[u8; KDF_SALT]>,
}

impl MasterKey {
    /// Bytes of master key and master salt.
    #[must_use]
    pub const fn lengths(profile: SrtpProfile) -> (usize, usize) {
        match profile {
            SrtpProfile::AeadAes256Gcm => (32, 12),
            SrtpProfile::AeadAes128Gcm => (16, 12),
            SrtpProfile::Aes128CmHmacSha1_80 => (16, 14),
        }
    }

    /// From exported bytes.
    ///
    /// # Errors
    /// If the lengths are not the profile's.
    pub fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        if (key.len(), salt.len()) != Self::lengths(profile) {
            return Err(KeyError::Length);
        }
        Ok(Self {
            profile,
            key: key.into(),
            salt: salt.into(),
        })
    }

    /// Splits what DTLS exports (RFC 5764 section 4.2): client key, server key, client salt, server salt. Gives the
    /// client's and the server's.
    ///
    /// # Errors
    /// If the length is not the profile's.
    pub(crate) fn from_exporter(
        profile: SrtpProfile,
        exported: &[u8],
    ) -> Result<(Self, Self), KeyError> {
        let (key, salt) = Self::lengths(profile);
        if exported.len() != 2 * (key + salt) {
            return Err(KeyError::Length);
        }
        let (keys, salts) = exported.split_at(2 * key);
        let (client_key, server_key) = keys.split_at(key);
        let (client_salt, server_salt) = salts.split_at(salt);
        Ok((
            Self::new(profile, client_key, client_salt)?,
            Self::new(profile, server_key, server_salt)?,
        ))
    }

    pub(super) const fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Fills `out` with a session key: the counter-mode key stream at the label (no key derivation rate).
    pub(super) fn derive(&self, label: Label, out: &mut [u8]) -> Result<(), KeyError> {
        let mut iv = [0; 16];
        for (to, from) in iv.iter_mut().zip(&self.salt) {
            *to = *from;
        }
        // The key id is 7 bytes, label first, right-aligned in the 14 bytes of the salt.
        iv[KDF_SALT - 7] ^= label as u8;
        let algorithm = if self.key.len() == 32 {
            &AES_256
        } else {
            &AES_128
        };
        let cipher = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, &self.key)?)?;
        out.fill(0);
        cipher.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(iv)))?;
        Ok(())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    #[test]
    fn session_keys_are_those_of_rfc_3711_appendix_b3() {
        let master = MasterKey::new(
            SrtpProfile::Aes128CmHmacSha1_80,
            &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
            &hex("0EC675AD498AFEEBB6960B3AABE6"),
        )
        .unwrap();
        let mut key = [0; 16];
        master.derive(Label::RtpEncryption, &mut key).unwrap();
        assert_eq!(key[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let mut salt = [0; 14];
        master.derive(Label::RtpSalt, &mut salt).unwrap();
        assert_eq!(salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        let mut authentication = [0; 94];
        master
            .derive(Label::RtpAuthentication, &mut authentication)
            .unwrap();
        assert_eq!(
            authentication[..],
            hex(
                "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE\
                 E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25\
                 6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2"
            )
        );
    }

    #[test]
    fn exported_bytes_are_client_first() {
        let exported: Vec<u8> = (0..56).collect();
        let (client, server) =
            MasterKey::from_exporter(SrtpProfile::AeadAes128Gcm, &exported).unwrap();
        assert_eq!(client.key[..], exported[..16]);
        assert_eq!(server.key[..], exported[16..32]);
        assert_eq!(client.salt[..], exported[32..44]);
        assert_eq!(server.salt[..], exported[44..]);
        assert!(MasterKey::from_exporter(SrtpProfile::AeadAes256Gcm, &exported).is_err());
    }
}
