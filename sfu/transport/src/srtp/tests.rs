use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Algorithm, LessSafeKey, UnboundKey};
use plenum_types::SrtpProfile;

use super::{cipher::Cipher, *};

const PROFILES: [SrtpProfile; 3] = [
    SrtpProfile::AeadAes256Gcm,
    SrtpProfile::AeadAes128Gcm,
    SrtpProfile::Aes128CmHmacSha1_80,
];

pub(super) fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn master(profile: SrtpProfile, fill: u8) -> MasterKey {
    let (key, salt) = MasterKey::lengths(profile);
    MasterKey::new(profile, &vec![fill; key], &vec![fill ^ 0x55; salt]).unwrap()
}

fn pair(profile: SrtpProfile) -> (SrtpSender, SrtpReceiver) {
    let master = master(profile, 7);
    (
        SrtpSender::new(&master).unwrap(),
        SrtpReceiver::new(&master).unwrap(),
    )
}

/// A packet with one CSRC, an extension of one word and `payload` bytes.
fn rtp(ssrc: u32, sequence: u16, payload: usize) -> (Vec<u8>, usize) {
    let mut packet = vec![0x91, 96];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 1, 0]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[1, 2, 3, 4, 0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
    let header = packet.len();
    packet.extend((0..payload).map(|at| at as u8));
    (packet, header)
}

fn sealed(sender: &mut SrtpSender, ssrc: u32, extended: u64) -> Vec<u8> {
    let (mut packet, header) = rtp(ssrc, extended as u16, 100);
    let len = packet.len();
    packet.resize(len + MAX_SRTP_OVERHEAD, 0);
    let len = sender.seal_rtp(extended, header, &mut packet, len).unwrap();
    packet.truncate(len);
    packet
}

fn report(sender: &mut SrtpSender, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend((0..20).map(|at| at as u8));
    let len = packet.len();
    packet.resize(len + MAX_SRTCP_OVERHEAD, 0);
    let len = sender.seal_rtcp(&mut packet, len).unwrap();
    packet.truncate(len);
    packet
}

/// The vectors of RFC 7714 give session keys, so the ciphers are set below the derivation.
fn gcm(algorithm: &'static Algorithm, key: &str) -> Cipher {
    let mut salt = [0; 12];
    salt.copy_from_slice(&hex("517569642070726f2071756f"));
    Cipher::Gcm {
        key: LessSafeKey::new(UnboundKey::new(algorithm, &hex(key)).unwrap()),
        salt,
    }
}

const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

#[test]
fn rtp_is_sealed_as_in_rfc_7714_section_16() {
    let plain = hex(
        "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573",
    );
    for (algorithm, key, expected) in [
        (
            &AES_128_GCM,
            KEY_128,
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            &AES_256_GCM,
            KEY_256,
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
        sender.rtp = gcm(algorithm, key);
        receiver.rtp = gcm(algorithm, key);
        let mut packet = plain.clone();
        packet.resize(plain.len() + MAX_SRTP_OVERHEAD, 0);
        let len = sender
            .seal_rtp(0xf17b, 12, &mut packet, plain.len())
            .unwrap();
        assert_eq!(packet[..len], hex(expected));
        let opened = receiver.open_rtp(&mut packet).unwrap();
        assert_eq!(packet[..opened.len], plain);
        assert_eq!(opened.extended_sequence, 0xf17b);
    }
}

#[test]
fn rtcp_is_sealed_as_in_rfc_7714_section_17() {
    let plain = hex(
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    );
    for (algorithm, key, expected) in [
        (
            &AES_128_GCM,
            KEY_128,
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            &AES_256_GCM,
            KEY_256,
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ] {
        let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
        sender.rtcp = gcm(algorithm, key);
        receiver.rtcp = gcm(algorithm, key);
        sender.report_index = 0x5d4;
        let mut packet = plain.clone();
        packet.resize(plain.len() + MAX_SRTCP_OVERHEAD, 0);
        let len = sender.seal_rtcp(&mut packet, plain.len()).unwrap();
        assert_eq!(packet[..len], hex(expected));
        let opened = receiver.open_rtcp(&mut packet[..len]).unwrap();
        assert_eq!(packet[..opened], plain);
    }
}

#[test]
fn what_is_sealed_opens_again_in_every_profile() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        // Across a rollover of the sequence number.
        for extended in 65_500..65_600 {
            let mut packet = sealed(&mut sender, 9, extended);
            let (plain, header_len) = rtp(9, extended as u16, 100);
            assert_ne!(packet[header_len..plain.len()], plain[header_len..]);
            let opened = receiver.open_rtp(&mut packet).unwrap();
            assert_eq!(packet[..opened.len], plain);
            assert_eq!(
                (opened.header_len, opened.extended_sequence),
                (header_len, extended)
            );
        }
        for _ in 0..3 {
            let mut packet = report(&mut sender, 9);
            assert_eq!(receiver.open_rtcp(&mut packet), Ok(28));
            assert_eq!(packet[8..12], [0, 1, 2, 3]);
        }
    }
}

#[test]
fn replayed_packets_are_refused() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let packet = sealed(&mut sender, 1, 10);
        receiver.open_rtp(&mut packet.clone()).unwrap();
        assert_eq!(
            receiver.open_rtp(&mut packet.clone()),
            Err(OpenError::Replayed)
        );
        receiver
            .open_rtp(&mut sealed(&mut sender, 1, 3000))
            .unwrap();
        assert_eq!(
            receiver.open_rtp(&mut packet.clone()),
            Err(OpenError::Replayed)
        );
        let packet = report(&mut sender, 1);
        receiver.open_rtcp(&mut packet.clone()).unwrap();
        assert_eq!(
            receiver.open_rtcp(&mut packet.clone()),
            Err(OpenError::Replayed)
        );
    }
}

#[test]
fn no_changed_or_shortened_packet_is_opened() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let packet = sealed(&mut sender, 1, 10);
        for length in 0..packet.len() {
            assert!(receiver.open_rtp(&mut packet.clone()[..length]).is_err());
        }
        for bit in 0..packet.len() * 8 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.open_rtp(&mut changed).is_err(), "bit {bit} of RTP");
        }
        let mut unchanged = packet;
        let packet = report(&mut sender, 1);
        for length in 0..packet.len() {
            assert!(receiver.open_rtcp(&mut packet.clone()[..length]).is_err());
        }
        for bit in 0..packet.len() * 8 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                receiver.open_rtcp(&mut changed).is_err(),
                "bit {bit} of RTCP"
            );
        }
        assert!(
            receiver.open_rtp(&mut unchanged).is_ok(),
            "state is untouched"
        );
    }
}

#[test]
fn streams_are_bounded_and_the_stalest_is_forgotten() {
    let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes256Gcm);
    let packets: Vec<_> = (0..1000).map(|ssrc| sealed(&mut sender, ssrc, 5)).collect();
    for packet in &packets {
        receiver.open_rtp(&mut packet.clone()).unwrap();
    }
    assert_eq!(
        receiver.open_rtp(&mut packets[999].clone()),
        Err(OpenError::Replayed)
    );
    assert!(receiver.open_rtp(&mut packets[0].clone()).is_ok());
}

#[test]
fn the_caller_learns_what_is_wrong() {
    let (mut sender, _) = pair(SrtpProfile::AeadAes128Gcm);
    let mut packet = [0u8; 64];
    packet[0] = 0x80;
    assert_eq!(
        sender.seal_rtp(0, 12, &mut packet, 50),
        Err(SealError::NoRoom { needed: 66 })
    );
    assert_eq!(
        sender.seal_rtp(0, 60, &mut packet, 40),
        Err(SealError::Malformed)
    );
    assert_eq!(
        sender.seal_rtp(0, 4, &mut packet, 40),
        Err(SealError::Malformed)
    );
    assert_eq!(
        sender.seal_rtp(MAX_PACKET_INDEX, 12, &mut packet, 40),
        Err(SealError::KeyExhausted)
    );
    assert_eq!(sender.seal_rtcp(&mut packet, 7), Err(SealError::Malformed));
    sender.report_index = MAX_REPORT_INDEX;
    assert_eq!(
        sender.seal_rtcp(&mut packet, 8),
        Err(SealError::KeyExhausted)
    );
}

#[test]
fn an_index_is_never_sealed_twice() {
    for profile in PROFILES {
        let (mut sender, _) = pair(profile);
        sealed(&mut sender, 1, 70_000);
        sealed(&mut sender, 2, 70_000);
        let (mut packet, header) = rtp(1, 70_000_u64 as u16, 50);
        let len = packet.len();
        packet.resize(len + MAX_SRTP_OVERHEAD, 0);
        let before = packet.clone();
        assert_eq!(
            sender.seal_rtp(70_000, header, &mut packet, len),
            Err(SealError::IndexUsed)
        );
        // Nothing of it was encrypted either.
        assert_eq!(packet, before);
        sealed(&mut sender, 1, 70_001);
    }
}
