//! Who may use the internal port: whoever knows the cluster secret.

use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web::Data,
};
use subtle::ConstantTimeEq as _;

use crate::cluster::Cluster;

/// Lets a request through if it shows the secret, else answers 401 without a reason.
pub(super) async fn required<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(header::HeaderValue::as_bytes);
    let known = request
        .app_data::<Data<Cluster>>()
        .is_some_and(|cluster| shows(shown, cluster.peers.secret()));
    if known {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let response = HttpResponse::Unauthorized().finish();
    Ok(request.into_response(response).map_into_right_body())
}

/// Compared in constant time: how long it takes says nothing about how much of the secret was right.
fn shows(header: Option<&[u8]>, secret: &str) -> bool {
    !secret.is_empty()
        && header
            .and_then(|header| header.strip_prefix(b"Bearer "))
            .is_some_and(|shown| bool::from(shown.ct_eq(secret.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_opens() {
        assert!(shows(Some(b"Bearer right"), "right"));
        for header in [
            None,
            Some(&b""[..]),
            Some(b"right"),
            Some(b"Bearer "),
            Some(b"Bearer righ"),
            Some(b"Bearer rightt"),
            Some(b"Bearer wrong"),
            Some(b"Basic right"),
        ] {
            assert!(!shows(header, "right"));
        }
        assert!(!shows(Some(b"Bearer "), ""));
    }
}
