//! Whom a data message goes to, and what is kept for those who can't take it yet.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use hashbrown::HashMap;
use plenum_types::{
    DataAudience, DataParticipant, DataPolicy, ParticipantId, ParticipantSid, ShardEvent,
    Timestamp, TransportId,
};

use super::{
    envelope::{Content, Envelope},
    rate::SenderRate,
    rpc::ServerRpcs,
};

/// Reliable messages of a sender that are kept for receivers that resume: for this long...
const REPLAY_AGE: Duration = Duration::from_secs(2);
/// ...and at most this many bytes.
const REPLAY_BYTES: usize = 100_000;
/// What a kept message costs besides its bytes, so that empty ones are bounded too.
const REPLAY_OVERHEAD: usize = 64;
/// Senders of whom a resumed receiver may say what it has; more than any room has on one server.
const MAX_HAVE: usize = 4_096;
/// Bytes that wait for a receiver whose channel is not open yet.
const WAITING_BYTES: usize = 100_000;

/// A reliable message that was sent.
#[derive(Debug, Clone)]
struct Sent {
    at: Timestamp,
    sequence: u32,
    to: Rc<[ParticipantId]>,
    message: Rc<[u8]>,
}

#[derive(Debug, Default)]
struct Sender {
    last_sequence: u32,
    replay: VecDeque<Sent>,
    replay_bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Rc<[u8]>>,
    bytes: usize,
}

/// Why a message goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not a `livekit.DataPacket`, or nothing in it that is routed.
    Malformed,
    /// The sender may not send (this).
    NotAllowed,
    /// A reliable message that came before.
    Repeated,
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Rc<[u8]>,
    pub(crate) to: Rc<[ParticipantId]>,
    /// The sender's last sequence, if the message moved it.
    pub(crate) progress: Option<u32>,
    /// The sender keeps its rate: see [`super::rate`].
    pub(crate) within_rate: bool,
    /// It answers the server, and goes to nobody.
    pub(crate) to_server: Option<ShardEvent>,
}

/// Data routing of one room.
#[derive(Debug, Default)]
pub(crate) struct DataRouter {
    version: u64,
    participants: Vec<DataParticipant>,
    /// Where each one is in `participants`.
    places: HashMap<ParticipantId, usize>,
    senders: HashMap<ParticipantId, Sender>,
    rates: HashMap<ParticipantId, SenderRate>,
    waiting: HashMap<ParticipantId, Waiting>,
    pub(crate) rpcs: ServerRpcs,
}

impl DataRouter {
    /// Replaces who may send to whom; older versions are ignored.
    pub(crate) fn set_policy(&mut self, policy: DataPolicy) {
        if policy.version < self.version {
            return;
        }
        self.version = policy.version;
        self.participants = policy.participants;
        self.places = self
            .participants
            .iter()
            .enumerate()
            .map(|(place, participant)| (participant.participant, place))
            .collect();
        self.senders.retain(|id, _| self.places.contains_key(id));
        self.rates.retain(|id, _| self.places.contains_key(id));
        self.waiting.retain(|id, _| self.places.contains_key(id));
    }

    fn participant(&self, id: ParticipantId) -> Option<&DataParticipant> {
        self.participants.get(*self.places.get(&id)?)
    }

    /// The Transport that carries messages to a participant.
    pub(crate) fn downlink(&self, id: ParticipantId) -> Option<TransportId> {
        self.participant(id)?.downlink
    }

    /// Routes a message of a participant.
    pub(crate) fn route(
        &mut self,
        from: ParticipantId,
        message: &[u8],
        reliable: bool,
        now: Timestamp,
    ) -> Result<Delivery, Refusal> {
        if !self
            .participant(from)
            .is_some_and(|sender| sender.can_publish_data)
        {
            return Err(Refusal::NotAllowed);
        }
        let envelope = Envelope::read(message)
            .ok()
            .flatten()
            .ok_or(Refusal::Malformed)?;
        let to_server = self.rpcs.claim(from, &envelope);
        let sender = self.participant(from).ok_or(Refusal::NotAllowed)?;
        if envelope.content == Content::Transcription && !sender.agent {
            return Err(Refusal::NotAllowed);
        }
        let (identity, sid) = if sender.hidden {
            ("", "")
        } else {
            (sender.identity.as_str(), sender.sid.as_str())
        };
        let speaks_for_others = sender.agent
            && matches!(envelope.content, Content::Text | Content::Transcription)
            && !envelope.claimed_identity.is_empty();
        let identity = if speaks_for_others {
            envelope.claimed_identity
        } else {
            identity
        };
        let sequence = if reliable { envelope.sequence } else { 0 };
        if sequence > 0
            && self
                .senders
                .get(&from)
                .is_some_and(|known| sequence <= known.last_sequence)
        {
            return Err(Refusal::Repeated);
        }
        let everyone = envelope.identities.is_empty() && envelope.sids.is_empty();
        let to: Rc<[ParticipantId]> = self
            .participants
            .iter()
            .filter(|receiver| {
                to_server.is_none()
                    && receiver.participant != from
                    && (everyone
                        || envelope.identities.contains(&receiver.identity.as_str())
                        || envelope.sids.contains(&receiver.sid.as_str()))
                    && (envelope.content != Content::Metrics || receiver.can_subscribe_metrics)
            })
            .map(|receiver| receiver.participant)
            .collect();
        let message: Rc<[u8]> = envelope.rewrite(identity, sid).into();
        let within_rate = self
            .rates
            .entry(from)
            .or_insert_with(|| SenderRate::new(now))
            .take(message.len(), now);
        let mut progress = None;
        if sequence > 0 {
            let sender = self.senders.entry(from).or_default();
            sender.last_sequence = sequence;
            progress = Some(sequence);
            sender.keep(Sent {
                at: now,
                sequence,
                to: to.clone(),
                message: message.clone(),
            });
        }
        Ok(Delivery {
            message,
            to,
            progress,
            within_rate,
            to_server,
        })
    }

    /// Receivers of a message of the server.
    pub(crate) fn audience(&self, audience: &DataAudience) -> Rc<[ParticipantId]> {
        match audience {
            DataAudience::Everyone => self
                .participants
                .iter()
                .map(|participant| participant.participant)
                .collect(),
            DataAudience::Only(ids) => ids.as_slice().into(),
        }
    }

    /// Reliable messages that a resumed participant has not seen: those after the last one it has of each sender.
    pub(crate) fn missed(
        &self,
        participant: ParticipantId,
        have: &[(ParticipantSid, u32)],
    ) -> Vec<Rc<[u8]>> {
        // The client's list, so it may be anything: one look at each entry, and the first of a sid counts.
        let mut last_of: HashMap<&ParticipantSid, u32> = HashMap::new();
        for (sid, last) in have.iter().take(MAX_HAVE) {
            last_of.entry(sid).or_insert(*last);
        }
        let mut missed: Vec<&Sent> = self
            .participants
            .iter()
            .filter(|sender| sender.participant != participant)
            .filter_map(|sender| {
                let last = *last_of.get(&sender.sid)?;
                Some((last, self.senders.get(&sender.participant)?))
            })
            .flat_map(|(last, sender)| {
                sender
                    .replay
                    .iter()
                    .filter(move |sent| sent.sequence > last && sent.to.contains(&participant))
            })
            .collect();
        missed.sort_by_key(|sent| sent.at);
        missed
            .into_iter()
            .map(|sent| sent.message.clone())
            .collect()
    }

    /// Keeps a reliable message until the receiver's channel is open; `false` if too many wait.
    pub(crate) fn wait(&mut self, participant: ParticipantId, message: &Rc<[u8]>) -> bool {
        if self.participant(participant).is_none() {
            return false;
        }
        let waiting = self.waiting.entry(participant).or_default();
        if waiting.bytes + message.len() > WAITING_BYTES {
            return false;
        }
        waiting.bytes += message.len();
        waiting.messages.push_back(message.clone());
        true
    }

    /// The receiver's channel is open: what waited for it.
    pub(crate) fn take_waiting(&mut self, participant: ParticipantId) -> VecDeque<Rc<[u8]>> {
        self.waiting
            .remove(&participant)
            .map(|waiting| waiting.messages)
            .unwrap_or_default()
    }

    /// Receivers for whom something waits.
    pub(crate) fn waiting_receivers(&self) -> Vec<ParticipantId> {
        self.waiting.keys().copied().collect()
    }

    /// Something waits for the receiver, so that later messages must too.
    pub(crate) fn is_waiting(&self, participant: ParticipantId) -> bool {
        self.waiting.contains_key(&participant)
    }

    /// Forgets messages that are too old to be replayed.
    pub(crate) fn forget_old(&mut self, now: Timestamp) {
        for sender in self.senders.values_mut() {
            sender.forget_before(now.saturating_sub(REPLAY_AGE));
        }
    }
}

impl Sender {
    fn keep(&mut self, sent: Sent) {
        let at = sent.at;
        self.replay_bytes += sent.message.len() + REPLAY_OVERHEAD;
        self.replay.push_back(sent);
        self.forget_before(at.saturating_sub(REPLAY_AGE));
    }

    fn forget_before(&mut self, oldest: Timestamp) {
        while self
            .replay
            .front()
            .is_some_and(|sent| sent.at < oldest || self.replay_bytes > REPLAY_BYTES)
        {
            if let Some(sent) = self.replay.pop_front() {
                self.replay_bytes -= sent.message.len() + REPLAY_OVERHEAD;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_protocol::{
        ChatMessage, DataPacket, MetricsBatch, Transcription, UserPacket, data_packet::Value,
    };
    use prost::Message;

    const ALICE: ParticipantId = ParticipantId(1);
    const BOB: ParticipantId = ParticipantId(2);
    const CAROL: ParticipantId = ParticipantId(3);

    fn participant(id: ParticipantId, name: &str) -> DataParticipant {
        DataParticipant {
            participant: id,
            identity: name.into(),
            sid: format!("PA_{name}").into(),
            downlink: Some(TransportId(id.0)),
            hidden: false,
            can_publish_data: true,
            can_subscribe_metrics: false,
            agent: false,
        }
    }

    fn router(change: impl FnOnce(&mut Vec<DataParticipant>)) -> DataRouter {
        let mut participants = vec![
            participant(ALICE, "alice"),
            participant(BOB, "bob"),
            participant(CAROL, "carol"),
        ];
        change(&mut participants);
        let mut router = DataRouter::default();
        router.set_policy(DataPolicy {
            version: 1,
            participants,
        });
        router
    }

    fn packet(sequence: u32, value: Value) -> Vec<u8> {
        DataPacket {
            sequence,
            participant_identity: "claimed".into(),
            value: Some(value),
            ..Default::default()
        }
        .encode_to_vec()
    }

    fn user() -> Value {
        Value::User(UserPacket {
            payload: vec![1, 2, 3],
            ..Default::default()
        })
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// covers: data.user
    #[test]
    fn a_message_goes_to_everyone_but_its_sender() {
        let mut router = router(|_| {});
        let delivery = router
            .route(ALICE, &packet(1, user()), true, at(0))
            .unwrap();
        assert_eq!(*delivery.to, [BOB, CAROL]);
        let read = DataPacket::decode(&*delivery.message).unwrap();
        assert_eq!(read.participant_identity, "alice");
        assert_eq!(read.participant_sid, "PA_alice");
        assert_eq!(read.sequence, 1);
    }

    /// covers: data.destinations
    #[test]
    fn destinations_are_honoured() {
        let mut router = router(|_| {});
        let mut message = DataPacket::decode(packet(0, user()).as_slice()).unwrap();
        message.destination_identities = vec!["carol".into(), "nobody".into(), "alice".into()];
        let delivery = router
            .route(ALICE, &message.encode_to_vec(), false, at(0))
            .unwrap();
        assert_eq!(*delivery.to, [CAROL]);
    }

    /// covers: grant.hidden
    #[test]
    fn a_hidden_sender_has_no_name() {
        let mut router = router(|participants| participants[0].hidden = true);
        let delivery = router
            .route(ALICE, &packet(1, user()), true, at(0))
            .unwrap();
        let read = DataPacket::decode(&*delivery.message).unwrap();
        assert_eq!(read.participant_identity, "");
        assert_eq!(read.participant_sid, "");
    }

    /// covers: grant.canPublishData
    #[test]
    fn who_may_not_send_is_refused() {
        let mut router = router(|participants| participants[0].can_publish_data = false);
        let refusal = router
            .route(ALICE, &packet(1, user()), true, at(0))
            .unwrap_err();
        assert_eq!(refusal, Refusal::NotAllowed);
        let stranger = router.route(ParticipantId(9), &packet(1, user()), true, at(0));
        assert_eq!(stranger.unwrap_err(), Refusal::NotAllowed);
    }

    /// covers: data.reliable
    #[test]
    fn reliable_messages_are_taken_once_and_in_order() {
        let mut router = router(|_| {});
        for (sequence, taken) in [
            (1, true),
            (2, true),
            (2, false),
            (1, false),
            (5, true),
            (4, false),
        ] {
            let result = router.route(ALICE, &packet(sequence, user()), true, at(0));
            assert_eq!(result.is_ok(), taken, "{sequence}");
        }
        // Lossy ones have no order.
        assert!(
            router
                .route(ALICE, &packet(1, user()), false, at(0))
                .is_ok()
        );
    }

    /// covers: data.transcription
    #[test]
    fn only_agents_transcribe_and_speak_for_others() {
        let transcription = || packet(0, Value::Transcription(Transcription::default()));
        let chat = || packet(0, Value::ChatMessage(ChatMessage::default()));
        let mut router = router(|participants| participants[1].agent = true);
        let refusal = router
            .route(ALICE, &transcription(), true, at(0))
            .unwrap_err();
        assert_eq!(refusal, Refusal::NotAllowed);
        assert!(router.route(BOB, &transcription(), true, at(0)).is_ok());
        let by_agent = router.route(BOB, &chat(), true, at(0)).unwrap();
        let by_other = router.route(ALICE, &chat(), true, at(0)).unwrap();
        let identity = |delivery: &Delivery| {
            DataPacket::decode(&*delivery.message)
                .unwrap()
                .participant_identity
        };
        assert_eq!(identity(&by_agent), "claimed");
        assert_eq!(identity(&by_other), "alice");
    }

    /// covers: data.metrics, grant.canSubscribeMetrics
    #[test]
    fn agents_speak_for_others_in_streams_of_text_only() {
        use livekit_protocol::data_stream::{
            ByteHeader, Header, TextHeader, header::ContentHeader,
        };
        let mut router = router(|participants| participants[1].agent = true);
        let header = |content| {
            packet(
                0,
                Value::StreamHeader(Header {
                    content_header: Some(content),
                    ..Default::default()
                }),
            )
        };
        let mut identity = |message: &[u8]| {
            let delivery = router.route(BOB, message, true, at(0)).unwrap();
            DataPacket::decode(&*delivery.message)
                .unwrap()
                .participant_identity
        };
        let text = header(ContentHeader::TextHeader(TextHeader::default()));
        let bytes = header(ContentHeader::ByteHeader(ByteHeader::default()));
        assert_eq!(identity(&text), "claimed");
        assert_eq!(identity(&bytes), "bob");
    }

    #[test]
    fn metrics_go_to_those_who_may_see_them() {
        let mut router = router(|participants| participants[2].can_subscribe_metrics = true);
        let message = packet(0, Value::Metrics(MetricsBatch::default()));
        let delivery = router.route(ALICE, &message, true, at(0)).unwrap();
        assert_eq!(*delivery.to, [CAROL]);
    }

    /// covers: data.replay
    #[test]
    fn a_resumed_receiver_gets_what_it_missed() {
        let mut router = router(|_| {});
        for sequence in 1..=5 {
            router
                .route(
                    ALICE,
                    &packet(sequence, user()),
                    true,
                    at(u64::from(sequence) * 500),
                )
                .unwrap();
        }
        let have = [(ParticipantSid::from("PA_alice"), 3)];
        let missed = router.missed(BOB, &have);
        let sequences: Vec<_> = missed
            .iter()
            .map(|message| DataPacket::decode(&**message).unwrap().sequence)
            .collect();
        assert_eq!(sequences, [4, 5]);
        assert!(router.missed(ALICE, &have).is_empty());
        router.forget_old(at(4_400));
        assert_eq!(router.missed(BOB, &have).len(), 1);
        router.forget_old(at(10_000));
        assert!(router.missed(BOB, &have).is_empty());
    }

    #[test]
    fn a_long_list_of_what_a_receiver_has_costs_one_look_at_each() {
        let mut router = router(|participants| {
            for n in 0..2_000u64 {
                participants.push(participant(ParticipantId(100 + n), &format!("guest{n}")));
            }
        });
        for n in 0..2_000u64 {
            router
                .route(ParticipantId(100 + n), &packet(1, user()), true, at(0))
                .unwrap();
        }
        let mut have = vec![(ParticipantSid::from("PA_guest7"), 0)];
        have.extend(
            (0..4_000).map(|n| (ParticipantSid::from(format!("PA_nobody{n}").as_str()), 0)),
        );
        have.push((ParticipantSid::from("PA_guest8"), 0));
        // Contradicts the first one.
        have.push((ParticipantSid::from("PA_guest7"), 1));
        have.extend((0..100_000).map(|n| (ParticipantSid::from(format!("PA_no{n}").as_str()), 0)));
        have.push((ParticipantSid::from("PA_guest9"), 0));
        assert_eq!(router.missed(BOB, &have).len(), 2);
    }

    #[test]
    fn empty_messages_that_are_kept_are_bounded_too() {
        let mut router = router(|_| {});
        for sequence in 1..=10_000 {
            let empty = packet(sequence, Value::User(UserPacket::default()));
            router.route(ALICE, &empty, true, at(0)).unwrap();
        }
        let have = [(ParticipantSid::from("PA_alice"), 0)];
        let kept = router.missed(BOB, &have).len();
        assert!((500..2_000).contains(&kept), "{kept}");
    }

    #[test]
    fn what_waits_and_what_is_replayed_is_bounded() {
        let mut router = router(|_| {});
        let big = |sequence| {
            packet(
                sequence,
                Value::User(UserPacket {
                    payload: vec![0; 10_000],
                    ..Default::default()
                }),
            )
        };
        let mut taken = 0;
        for sequence in 1..=100 {
            let delivery = router.route(ALICE, &big(sequence), true, at(0)).unwrap();
            taken += usize::from(router.wait(BOB, &delivery.message));
        }
        assert_eq!(taken, 9);
        assert!(router.is_waiting(BOB));
        assert_eq!(router.take_waiting(BOB).len(), 9);
        assert!(!router.is_waiting(BOB));
        let have = [(ParticipantSid::from("PA_alice"), 0)];
        assert_eq!(router.missed(BOB, &have).len(), 9);
    }

    #[test]
    fn an_old_policy_changes_nothing() {
        let mut router = router(|_| {});
        router.set_policy(DataPolicy {
            version: 0,
            participants: Vec::new(),
        });
        assert!(router.downlink(BOB).is_some());
    }
}
