//! A member for tests of the control plane: the internal API on a loopback address of its own, and a room table. Media,
//! clients and the Directory have their own tests; here the epochs only have to grow over all members of a test.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use plenum_cluster::member_api::{
    AdvertisedAddress, DesiredState, INTERNAL_PROTOCOL, Load, MemberReport, MemberState, PutRoom,
    RoomReport, RoomSpec, SetAddresses, SetDesiredState,
};
use plenum_cluster::{Epoch, Incarnation, NodeId, RoomKey};
use plenum_crds::names;

static NEXT_EPOCH: AtomicU64 = AtomicU64::new(1);

struct Inner {
    name: String,
    incarnation: Incarnation,
    secret: String,
    addresses: Vec<AdvertisedAddress>,
    desired: Option<DesiredState>,
    participants: u32,
    rooms: BTreeMap<String, (RoomSpec, RoomReport)>,
}

impl Inner {
    fn state(&self) -> MemberState {
        match self.desired {
            Some(DesiredState::Draining) => MemberState::Draining,
            Some(DesiredState::Cordoned) => MemberState::Cordoned,
            _ if self.addresses.is_empty() => MemberState::Starting,
            _ => MemberState::Serving,
        }
    }

    fn report(&self) -> MemberReport {
        MemberReport {
            node_id: NodeId::new(self.name.clone()).unwrap(),
            incarnation: self.incarnation,
            protocol: INTERNAL_PROTOCOL,
            version: "test".to_owned(),
            state: self.state(),
            addresses: self.addresses.clone(),
            load: Load {
                rooms: u32::from(self.participants > 0) + u32::try_from(self.rooms.len()).unwrap(),
                participants: self.participants,
                ..Load::default()
            },
            rooms: self
                .rooms
                .values()
                .filter(|(spec, _)| !spec.closed)
                .map(|(_, report)| report.clone())
                .collect(),
        }
    }
}

type Shared = Arc<Mutex<Inner>>;

/// A running member.
pub(crate) struct Member {
    /// Name of its Pod.
    pub(crate) name: String,
    inner: Shared,
    server: ServerHandle,
}

impl Member {
    /// Starts on an address; the port is the internal one.
    pub(crate) fn start(name: &str, ip: IpAddr, secret: &str) -> Self {
        let inner = Arc::new(Mutex::new(Inner {
            name: name.to_owned(),
            incarnation: Incarnation::fresh(),
            secret: secret.to_owned(),
            addresses: Vec::new(),
            desired: None,
            participants: 0,
            rooms: BTreeMap::new(),
        }));
        let data = web::Data::new(inner.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .route("/internal/v1/member", web::get().to(member))
                .route("/internal/v1/addresses", web::put().to(addresses))
                .route("/internal/v1/desired-state", web::put().to(desired))
                .route("/internal/v1/rooms/{room}", web::put().to(put_room))
                .route("/internal/v1/rooms/{room}", web::delete().to(end_room))
        })
        .workers(1)
        .disable_signals()
        .bind((ip, names::PORT_INTERNAL))
        .unwrap()
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            name: name.to_owned(),
            inner,
            server: handle,
        }
    }

    /// Ends at once, as a killed process does.
    pub(crate) fn stop(&self) {
        tokio::spawn(self.server.stop(false));
    }

    /// What it was told of its addresses.
    pub(crate) fn addresses(&self) -> Vec<AdvertisedAddress> {
        self.inner.lock().unwrap().addresses.clone()
    }

    /// What it was told to do.
    pub(crate) fn desired(&self) -> Option<DesiredState> {
        self.inner.lock().unwrap().desired
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> MemberState {
        self.inner.lock().unwrap().state()
    }

    /// Has so many participants, in one room that no resource asked for.
    pub(crate) fn carry(&self, participants: u32) {
        self.inner.lock().unwrap().participants = participants;
    }

    /// What it was told of a room, while it is its home.
    pub(crate) fn spec_of(&self, room: &str) -> Option<RoomSpec> {
        self.inner
            .lock()
            .unwrap()
            .rooms
            .get(room)
            .map(|(spec, _)| spec.clone())
    }
}

fn with(
    request: &HttpRequest,
    member: &Shared,
    answer: impl FnOnce(&mut Inner) -> HttpResponse,
) -> HttpResponse {
    let mut inner = member.lock().unwrap();
    let expected = format!("Bearer {}", inner.secret);
    let given = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if given == Some(&*expected) {
        answer(&mut inner)
    } else {
        HttpResponse::Unauthorized().finish()
    }
}

async fn member(request: HttpRequest, member: web::Data<Shared>) -> HttpResponse {
    with(&request, &member, |inner| {
        HttpResponse::Ok().json(inner.report())
    })
}

async fn addresses(
    request: HttpRequest,
    member: web::Data<Shared>,
    body: web::Json<SetAddresses>,
) -> HttpResponse {
    with(&request, &member, |inner| {
        inner.addresses = body.into_inner().addresses;
        HttpResponse::NoContent().finish()
    })
}

async fn desired(
    request: HttpRequest,
    member: web::Data<Shared>,
    body: web::Json<SetDesiredState>,
) -> HttpResponse {
    with(&request, &member, |inner| {
        inner.desired = Some(body.state);
        HttpResponse::NoContent().finish()
    })
}

async fn put_room(
    request: HttpRequest,
    member: web::Data<Shared>,
    room: web::Path<String>,
    body: web::Json<PutRoom>,
) -> HttpResponse {
    let name = RoomKey::from_escaped(&room).unwrap().name().to_owned();
    with(&request, &member, |inner| {
        let epoch = NEXT_EPOCH
            .fetch_add(1, Ordering::Relaxed)
            .max(body.epoch_floor.get() + 1);
        let fresh = RoomReport {
            name: name.clone(),
            sid: "RM_test".to_owned(),
            epoch: Epoch::new(epoch),
            participants: 0,
            publishers: 0,
            started_at_ms: 1_800_000_000_000,
        };
        let open = inner.rooms.remove(&name).filter(|(spec, _)| !spec.closed);
        let report = open.map_or(fresh, |(_, report)| report);
        inner
            .rooms
            .insert(name, (body.into_inner().spec, report.clone()));
        HttpResponse::Ok().json(report)
    })
}

async fn end_room(
    request: HttpRequest,
    member: web::Data<Shared>,
    room: web::Path<String>,
) -> HttpResponse {
    let name = RoomKey::from_escaped(&room).unwrap().name().to_owned();
    with(&request, &member, |inner| {
        inner.rooms.remove(&name);
        HttpResponse::NoContent().finish()
    })
}
