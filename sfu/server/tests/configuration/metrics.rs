//! What the admin port counts.

use crate::configured::{Configured, OLD, token};
use crate::support::wait_for;

#[tokio::test]
async fn requests_and_sockets_are_counted_by_route_and_reason() {
    let configured = Configured::start("metrics", "");
    let server = &configured.server;
    assert!(configured.accepts("a", OLD));
    assert_eq!(server.get("/prefix/rtc/validate").status, 401);
    for n in 0..20 {
        assert_eq!(server.get(&format!("/made-up/{n}")).status, 404);
        assert_eq!(
            server.request(&format!("METHOD{n}"), "/x", &[], b"").status,
            404
        );
    }
    let (mut client, _) = server.join("/rtc?protocol=16", &token("a", OLD)).await;
    assert!(client.is_served().await);
    for line in [
        "plenum_http_requests_total{route=\"/rtc/validate\",method=\"GET\",status=\"2xx\"} 1",
        "plenum_http_errors_total{route=\"/rtc/validate\",method=\"GET\",status=\"4xx\"} 1",
        "plenum_http_request_duration_seconds_count{route=\"/rtc/validate\",method=\"GET\"} 2",
        "plenum_http_requests_total{route=\"unknown\",method=\"GET\",status=\"4xx\"} 20",
        "plenum_http_requests_total{route=\"unknown\",method=\"other\",status=\"4xx\"} 20",
        "plenum_http_requests_total{route=\"/rtc\",method=\"GET\",status=\"1xx\"} 1",
        "plenum_websocket_connections 1",
        "plenum_websocket_connections_opened_total 1",
    ] {
        assert!(
            configured.has_metric(line),
            "{line}\n{}",
            server.ask_admin("/metrics").body
        );
    }
    client
        .raw(tokio_tungstenite::tungstenite::Message::Binary(
            vec![0xff; 4].into(),
        ))
        .await;
    assert!(client.next().await.is_none_or(|_| true));
    for line in [
        "plenum_websocket_disconnections_total{reason=\"malformed\"} 1",
        "plenum_websocket_errors_total{reason=\"malformed\"} 1",
        "plenum_websocket_connections 0",
    ] {
        wait_for(line, || configured.has_metric(line));
    }
}
