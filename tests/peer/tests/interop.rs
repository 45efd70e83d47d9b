//! What two implementations must agree on: roles, protection profiles, paths, data channels.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use plenum_peer::{
    ConnectionState, Kind, Member, Mode, Network, Peer, RTCDtlsRole, Settings,
    SrtpProtectionProfile,
};

/// Frames that prove that media flows, and goes on.
const ENOUGH: usize = 25;

fn local() -> Member {
    Member::start(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap()
}

/// Ada publishes sound and a picture, Bob, who is like `settings`, gets both; each gets the other's data on both channels.
async fn assert_call(member: &Member, room: &str, settings: Settings) {
    let both = Settings {
        publishes: vec![Kind::Audio, Kind::Video],
        ..settings.clone()
    };
    let mut ada = Peer::join(member, room, "ada", both).await.unwrap();
    ada.until("ada to be connected", |ada| {
        ada.states().0 == ConnectionState::Connected && ada.channels_are_open()
    })
    .await
    .unwrap();
    let mut bob = Peer::join(member, room, "bob", settings).await.unwrap();
    // Both must go on for either to get anything.
    let playing = tokio::spawn(async move {
        ada.until("ada to get data on both channels", |ada| {
            ada.data().len() >= 2
        })
        .await
        .unwrap();
        let data = ada.data();
        for reliable in [true, false] {
            ada.send_data(reliable, b"from ada").unwrap();
        }
        let playing = tokio::spawn(ada.go_on());
        (data, playing)
    });
    bob.until("bob to get sound and a picture", |bob| {
        bob.frames(Kind::Audio) >= ENOUGH && bob.frames(Kind::Video) >= ENOUGH
    })
    .await
    .unwrap();
    bob.until("bob's channels", |bob| bob.channels_are_open())
        .await
        .unwrap();
    for reliable in [true, false] {
        bob.send_data(reliable, b"from bob").unwrap();
    }
    bob.until("bob to get data on both channels", |bob| {
        bob.data().len() >= 2
    })
    .await
    .unwrap();
    assert_eq!(bob.data(), [b"from ada", b"from ada"]);
    let (data, playing) = playing.await.unwrap();
    assert_eq!(data, [b"from bob", b"from bob"]);
    assert!(!playing.is_finished());
    playing.abort();
    println!("interop: {room}: media and data both ways");
}

#[tokio::test]
async fn one_connection_on_udp() {
    assert_call(&local(), "single-udp", Settings::default()).await;
}

/// covers: sdk.ice_tcp
#[tokio::test]
async fn one_connection_on_tcp() {
    let settings = Settings {
        network: Network::Tcp,
        ..Settings::default()
    };
    assert_call(&local(), "single-tcp", settings).await;
}

#[tokio::test]
async fn two_connections_on_tcp() {
    let settings = Settings {
        mode: Mode::Dual,
        network: Network::Tcp,
        ..Settings::default()
    };
    assert_call(&local(), "dual-tcp", settings).await;
}

#[tokio::test]
async fn the_server_is_dtls_server_where_it_offers() {
    let settings = Settings {
        mode: Mode::Dual,
        answering_role: Some(RTCDtlsRole::Client),
        ..Settings::default()
    };
    assert_call(&local(), "dual-passive", settings).await;
}

#[tokio::test]
async fn the_server_is_dtls_client_where_it_offers() {
    let settings = Settings {
        mode: Mode::Dual,
        answering_role: Some(RTCDtlsRole::Server),
        ..Settings::default()
    };
    assert_call(&local(), "dual-active", settings).await;
}

#[tokio::test]
async fn every_protection_profile_works_in_both_roles() {
    let member = local();
    for (name, profile) in [
        ("aes-256-gcm", SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm),
        ("aes-128-gcm", SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm),
        (
            "cm-sha1-80",
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ),
    ] {
        for (role_name, role) in [
            ("passive", RTCDtlsRole::Client),
            ("active", RTCDtlsRole::Server),
        ] {
            let settings = Settings {
                mode: Mode::Dual,
                srtp: Some(profile),
                answering_role: Some(role),
                ..Settings::default()
            };
            assert_call(&member, &format!("{name}-{role_name}"), settings).await;
        }
    }
}

#[tokio::test]
async fn a_server_on_ipv6_has_calls_on_udp_and_tcp() {
    let host = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let member = Member::start(host).unwrap();
    for (room, network) in [("ipv6-udp", Network::Udp), ("ipv6-tcp", Network::Tcp)] {
        let settings = Settings {
            host,
            network,
            ..Settings::default()
        };
        assert_call(&member, room, settings).await;
    }
}
