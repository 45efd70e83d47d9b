//! Data channels: SCTP over DTLS (RFC 8261, RFC 8831), by `sctp-proto`.

mod heartbeat;

use bytes::Bytes;
use plenum_types::{DataChannel, DtlsRole, SctpParams, Timestamp};
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig,
    EndpointEvent, Event, Payload, PayloadProtocolIdentifier, ServerConfig, StreamEvent, StreamId,
    Transmit, TransportConfig,
};
use smallvec::SmallVec;
use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::{
    DataError, EpochInstant, TransportEvent,
    dcep::{ACK_MESSAGE, DcepMessage, Reliability},
    send_queue::SendQueue,
};
use heartbeat::{HEARTBEAT_ACK, Heartbeat};

/// Longest message either way, bytes; our descriptions say so in `a=max-message-size`.
const MAX_MESSAGE_SIZE: u32 = 262_144;
/// Bytes of received data that wait for missing pieces: two of the longest messages.
const RECEIVE_BUFFER: u32 = 2 * MAX_MESSAGE_SIZE;
/// Bytes of user data per packet: with SCTP's, DTLS's and UDP's headers the packet fits where IPv6 does.
const MAX_PAYLOAD: u32 = 1150;
/// First retransmission timeout; the RFC's three seconds would cost a lossy join three seconds.
const RTO_INITIAL_MS: u64 = 500;
/// Lowest retransmission timeout: above the 200 ms by which clients may delay acknowledgements.
const RTO_MIN_MS: u64 = 400;
/// Highest retransmission timeout: the Transport fails after 15 s of silence, so waiting longer is pointless.
const RTO_MAX_MS: u64 = 5_000;
/// Bytes handed to the library and not yet acknowledged. Its cost per message grows with them: 2.6 us at 8 KB, 36 us at
/// 1 MB.
const MAX_BACKLOG: usize = 48 * 1024;
/// Streams that a client may have open. It needs three; an association with more than these is ended.
const MAX_STREAMS: usize = 64;
/// As DTLS client, how long to wait for the other side to begin before beginning ourselves. Browsers always begin; peers
/// that begin only as DTLS client exist.
const INITIATE_AFTER: Duration = Duration::from_millis(500);
/// There is one peer, behind DTLS: its address is of no interest, but the library wants one.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);
/// Type of the chunk that begins an association (RFC 9260 section 3.3.2), and where a packet's first chunk is.
const INIT_CHUNK: u8 = 1;
const FIRST_CHUNK_AT: usize = 12;
/// Stream ids agreed by the protocol for clients that open no channel in-band.
const NEGOTIATED: [(StreamId, DataChannel); 3] = [
    (100, DataChannel::Reliable),
    (101, DataChannel::Lossy),
    (102, DataChannel::DataTrack),
];

/// A stream that carries a channel of the protocol.
struct Channel {
    stream: StreamId,
    channel: DataChannel,
    /// ACK has come, or the client opened it.
    open: bool,
}

/// The association and its channels.
pub(crate) struct Sctp {
    epoch: EpochInstant,
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    established: bool,
    heartbeat: Option<Heartbeat>,
    answers_heartbeats: bool,
    initiate_at: Option<Timestamp>,
    transport: Arc<TransportConfig>,
    params: SctpParams,
    role: DtlsRole,
    channels: SmallVec<[Channel; 3]>,
    streams: usize,
    queue: SendQueue,
    overflowed: bool,
    max_message_size: usize,
}

impl Sctp {
    pub(crate) fn new(
        epoch: EpochInstant,
        params: SctpParams,
        role: DtlsRole,
        now: Timestamp,
    ) -> Self {
        let max_message_size = match params.max_message_size {
            0 => MAX_MESSAGE_SIZE,
            limit => limit.min(MAX_MESSAGE_SIZE),
        };
        let transport = Arc::new(
            TransportConfig::default()
                .with_max_receive_buffer_size(RECEIVE_BUFFER)
                .with_max_receive_message_size(MAX_MESSAGE_SIZE)
                .with_max_send_message_size(max_message_size)
                .with_max_init_retransmits(None)
                .with_max_data_retransmits(None)
                .with_rto_initial_ms(RTO_INITIAL_MS)
                .with_rto_min_ms(RTO_MIN_MS)
                .with_rto_max_ms(RTO_MAX_MS)
                .with_remote_port(params.remote_port),
        );
        let mut endpoint = EndpointConfig::new();
        endpoint.max_payload_size(MAX_PAYLOAD);
        let mut server = ServerConfig::new();
        server.transport = transport.clone();
        Self {
            epoch,
            endpoint: Endpoint::new(Arc::new(endpoint), Some(Arc::new(server))),
            association: None,
            established: false,
            heartbeat: None,
            answers_heartbeats: false,
            initiate_at: (role == DtlsRole::Active).then_some(now + INITIATE_AFTER),
            transport,
            params,
            role,
            channels: SmallVec::new(),
            streams: 0,
            queue: SendQueue::default(),
            overflowed: false,
            max_message_size: max_message_size as usize,
        }
    }

    /// Takes a packet from DTLS.
    pub(crate) fn handle_packet(
        &mut self,
        packet: Vec<u8>,
        now: Timestamp,
        packets: &mut Vec<Bytes>,
        events: &mut VecDeque<TransportEvent>,
    ) {
        match packet.get(FIRST_CHUNK_AT) {
            // The library ends an association that gets a late INIT. No client begins anew on the same DTLS connection.
            Some(&INIT_CHUNK) if self.established => return,
            Some(&HEARTBEAT_ACK) if self.established => {
                self.answers_heartbeats = true;
                return;
            }
            _ => {}
        }
        let at = self.epoch.instant(now);
        match self
            .endpoint
            .handle(at, PEER, None, None, Bytes::from(packet))
        {
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((known, association)) = &mut self.association
                    && *known == handle
                {
                    association.handle_event(event);
                }
            }
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                // The client began, or begins anew; what we had begun is void.
                self.initiate_at = None;
                self.drop_association();
                self.association = Some((handle, association));
            }
            None => {}
        }
        self.pump(now, packets, events);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Timestamp,
        packets: &mut Vec<Bytes>,
        events: &mut VecDeque<TransportEvent>,
    ) {
        if self.initiate_at.is_some_and(|at| at <= now) {
            self.initiate_at = None;
            let mut client = ClientConfig::new();
            client.transport = self.transport.clone();
            // Fails only for port 0, with which there is no association to be had.
            self.association = self.endpoint.connect(client, PEER).ok();
        } else if let Some((_, association)) = &mut self.association {
            association.handle_timeout(self.epoch.instant(now));
        }
        self.pump(now, packets, events);
        if self
            .queue
            .deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.overflow(events);
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Timestamp> {
        let association = self
            .association
            .as_ref()
            .and_then(|(_, association)| association.poll_timeout())
            .map(|at| self.epoch.timestamp(at));
        [association, self.initiate_at, self.queue.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// How the client is asked whether it is there, once there is an association.
    pub(crate) fn heartbeat(&self) -> Option<Heartbeat> {
        self.heartbeat.filter(|_| self.established)
    }

    /// Whether the client has answered when it was asked.
    pub(crate) const fn answers_heartbeats(&self) -> bool {
        self.answers_heartbeats
    }

    /// Queues a message for a channel that is open.
    pub(crate) fn send(
        &mut self,
        channel: DataChannel,
        payload: &[u8],
        now: Timestamp,
        packets: &mut Vec<Bytes>,
        events: &mut VecDeque<TransportEvent>,
    ) -> Result<(), DataError> {
        if self.stream_of(channel).is_none() {
            return Err(DataError::NotOpen);
        }
        if payload.len() > self.max_message_size {
            return Err(DataError::TooLong {
                len: payload.len(),
                limit: self.max_message_size,
            });
        }
        if self.overflowed {
            return Err(DataError::Overflow);
        }
        if self.queue.push(channel, payload, now).is_err() {
            self.overflow(events);
            return Err(DataError::Overflow);
        }
        self.pump(now, packets, events);
        Ok(())
    }

    /// Bytes that wait on a channel.
    pub(crate) const fn waiting(&self, channel: DataChannel) -> usize {
        self.queue.waiting(channel)
    }

    /// Lossy messages dropped for lack of room.
    pub(crate) const fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    fn overflow(&mut self, events: &mut VecDeque<TransportEvent>) {
        if !self.overflowed {
            self.overflowed = true;
            self.queue.clear();
            events.push_back(TransportEvent::DataOverflow);
        }
    }

    /// The stream to send a channel's messages on; of several with one label, the one opened last.
    fn stream_of(&self, channel: DataChannel) -> Option<StreamId> {
        self.channels
            .iter()
            .rev()
            .find(|known| known.channel == channel && known.open)
            .map(|known| known.stream)
    }

    /// Lets everything that waits in the library out, and messages in.
    fn pump(
        &mut self,
        now: Timestamp,
        packets: &mut Vec<Bytes>,
        events: &mut VecDeque<TransportEvent>,
    ) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            append(transmit, packets);
        }
        let mut lost = false;
        while let Some((_, association)) = &mut self.association {
            let Some(event) = association.poll() else {
                break;
            };
            match event {
                Event::Connected => {
                    self.established = true;
                    if self.params.open_channels {
                        self.open_channels();
                    }
                }
                Event::Stream(StreamEvent::Opened { id }) => {
                    // The library queues ids for who prefers to ask.
                    while association.accept_stream().is_some() {}
                    self.streams += 1;
                    self.read(id, events);
                }
                Event::Stream(StreamEvent::Readable { id }) => self.read(id, events),
                Event::Stream(StreamEvent::Finished { id }) => {
                    self.streams = self.streams.saturating_sub(1);
                    self.channels.retain(|known| known.stream != id);
                }
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => lost = true,
                _ => {}
            }
        }
        if self.streams > MAX_STREAMS {
            lost = true;
        }
        if !lost {
            self.feed();
        }
        if let Some((_, association)) = &mut self.association {
            let at = self.epoch.instant(now);
            let first = packets.len();
            while let Some(transmit) = association.poll_transmit(at) {
                append(transmit, packets);
            }
            if self.heartbeat.is_none() {
                let mut own = packets.iter().skip(first);
                self.heartbeat = own.find_map(|packet| Heartbeat::like(packet));
            }
            // Said once, when the association has shut down.
            lost |= std::iter::from_fn(|| association.poll_endpoint_event())
                .any(|event| event.is_drained());
        }
        if lost {
            self.drop_association();
        }
    }

    fn drop_association(&mut self) {
        if let Some((handle, _)) = self.association.take() {
            self.endpoint.handle_event(handle, EndpointEvent::drained());
        }
        self.established = false;
        self.heartbeat = None;
        self.answers_heartbeats = false;
        self.streams = 0;
        self.channels.clear();
        self.queue.clear();
    }

    fn read(&mut self, stream: StreamId, events: &mut VecDeque<TransportEvent>) {
        while let Some((_, association)) = &mut self.association {
            let chunks = association
                .stream(stream)
                .map(|mut stream| stream.read_sctp());
            let Ok(Ok(Some(chunks))) = chunks else {
                return;
            };
            let mut message = vec![0; chunks.len()];
            if chunks.read(&mut message).is_err() {
                continue;
            }
            match chunks.ppi {
                PayloadProtocolIdentifier::Dcep => self.handle_dcep(stream, &message, events),
                PayloadProtocolIdentifier::Unknown => {}
                ppi => {
                    // The empty message travels as one byte (RFC 8831 section 6.6).
                    if matches!(
                        ppi,
                        PayloadProtocolIdentifier::StringEmpty
                            | PayloadProtocolIdentifier::BinaryEmpty
                    ) {
                        message.clear();
                    }
                    if let Some(channel) = self.channel_of(stream, events) {
                        events.push_back(TransportEvent::Data {
                            channel,
                            payload: message,
                        });
                    }
                }
            }
        }
    }

    /// The channel that a message on a stream belongs to. Data on a stream of ours that was not acknowledged, or on one
    /// agreed by the protocol, opens it.
    fn channel_of(
        &mut self,
        stream: StreamId,
        events: &mut VecDeque<TransportEvent>,
    ) -> Option<DataChannel> {
        if let Some(known) = self
            .channels
            .iter_mut()
            .find(|known| known.stream == stream)
        {
            if !known.open {
                known.open = true;
                events.push_back(TransportEvent::ChannelOpen(known.channel));
            }
            return Some(known.channel);
        }
        let (_, channel) = NEGOTIATED.into_iter().find(|(id, _)| *id == stream)?;
        self.set_reliability(stream, Reliability::of(channel));
        self.add_channel(stream, channel, true);
        events.push_back(TransportEvent::ChannelOpen(channel));
        Some(channel)
    }

    fn handle_dcep(
        &mut self,
        stream: StreamId,
        message: &[u8],
        events: &mut VecDeque<TransportEvent>,
    ) {
        match DcepMessage::parse(message) {
            Some(DcepMessage::Open { reliability, label }) => {
                // ACK goes out ordered and reliable, before the channel's own rules hold.
                self.write(stream, &ACK_MESSAGE, PayloadProtocolIdentifier::Dcep);
                self.set_reliability(stream, reliability);
                // Other labels are somebody else's business: acknowledged, and what comes is ignored.
                if let Some(channel) = DataChannel::from_label(label) {
                    self.add_channel(stream, channel, true);
                    events.push_back(TransportEvent::ChannelOpen(channel));
                }
            }
            Some(DcepMessage::Ack) => {
                let opened = self
                    .channels
                    .iter_mut()
                    .find(|known| known.stream == stream && !known.open);
                if let Some(known) = opened {
                    known.open = true;
                    events.push_back(TransportEvent::ChannelOpen(known.channel));
                }
            }
            None => {}
        }
    }

    fn add_channel(&mut self, stream: StreamId, channel: DataChannel, open: bool) {
        self.channels.retain(|known| known.stream != stream);
        self.channels.push(Channel {
            stream,
            channel,
            open,
        });
    }

    /// Opens the protocol's channels in-band. The DTLS client uses even ids, the server odd ones (RFC 8832 section 6).
    fn open_channels(&mut self) {
        let first = match self.role {
            DtlsRole::Active => 0,
            DtlsRole::Passive => 1,
        };
        for (stream, channel) in (first..).step_by(2).zip(DataChannel::ALL) {
            let Some((_, association)) = &mut self.association else {
                return;
            };
            if association
                .open_stream(stream, PayloadProtocolIdentifier::Binary)
                .is_ok()
            {
                self.write(
                    stream,
                    &DcepMessage::open(channel),
                    PayloadProtocolIdentifier::Dcep,
                );
                self.set_reliability(stream, Reliability::of(channel));
                self.add_channel(stream, channel, false);
                self.streams += 1;
            }
        }
    }

    fn set_reliability(&mut self, stream: StreamId, reliability: Reliability) {
        if let Some((_, association)) = &mut self.association
            && let Ok(mut stream) = association.stream(stream)
        {
            // Fails only for a closed stream, which needs none.
            let _ = stream.set_reliability_params(
                reliability.unordered,
                reliability.kind,
                reliability.limit,
            );
        }
    }

    /// Writes a message; one for a stream that the client has just closed is lost, as any message to it would be.
    fn write(&mut self, stream: StreamId, message: &[u8], ppi: PayloadProtocolIdentifier) {
        if let Some((_, association)) = &mut self.association
            && let Ok(mut stream) = association.stream(stream)
        {
            let _ = stream.write_with_ppi(message, ppi);
        }
    }

    /// Moves messages from our queue to the library while its backlog is short.
    fn feed(&mut self) {
        let Some((_, association)) = &mut self.association else {
            return;
        };
        if !self.established {
            return;
        }
        let mut backlog: usize = self
            .channels
            .iter()
            .filter_map(|known| {
                association
                    .stream(known.stream)
                    .ok()?
                    .buffered_amount()
                    .ok()
            })
            .sum();
        while backlog < MAX_BACKLOG
            && let Some(message) = self.queue.pop()
        {
            let Some(stream) = self.stream_of(message.channel) else {
                continue;
            };
            backlog += message.payload.len();
            if message.payload.is_empty() {
                self.write(stream, &[0], PayloadProtocolIdentifier::BinaryEmpty);
            } else {
                self.write(stream, &message.payload, PayloadProtocolIdentifier::Binary);
            }
        }
    }
}

fn append(transmit: Transmit, packets: &mut Vec<Bytes>) {
    if let Payload::RawEncode(contents) = transmit.payload {
        packets.extend(contents);
    }
}

#[cfg(test)]
mod tests;
