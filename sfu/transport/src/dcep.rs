//! The Data Channel Establishment Protocol (RFC 8832): OPEN and ACK.

use plenum_types::DataChannel;
use sctp_proto::ReliabilityType;

const OPEN: u8 = 3;
const ACK: u8 = 2;
/// Bytes of OPEN before label and protocol.
const OPEN_HEADER: usize = 12;
/// Bit of the channel type that says unordered.
const UNORDERED: u8 = 0x80;

/// The one-byte answer to OPEN.
pub(crate) const ACK_MESSAGE: [u8; 1] = [ACK];

/// How messages of a channel are delivered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reliability {
    pub(crate) unordered: bool,
    pub(crate) kind: ReliabilityType,
    /// Retransmissions or milliseconds, as `kind` says.
    pub(crate) limit: u32,
}

impl Reliability {
    /// What the signaling protocol says about its channels.
    pub(crate) const fn of(channel: DataChannel) -> Self {
        match channel {
            DataChannel::Reliable => Self {
                unordered: false,
                kind: ReliabilityType::Reliable,
                limit: 0,
            },
            DataChannel::Lossy | DataChannel::DataTrack => Self {
                unordered: true,
                kind: ReliabilityType::Rexmit,
                limit: 0,
            },
        }
    }
}

/// A message of the protocol.
#[derive(Debug, PartialEq)]
pub(crate) enum DcepMessage<'a> {
    Open {
        reliability: Reliability,
        label: &'a str,
    },
    Ack,
}

impl<'a> DcepMessage<'a> {
    /// `None` for what is malformed or unknown.
    pub(crate) fn parse(message: &'a [u8]) -> Option<Self> {
        match *message.first()? {
            ACK => Some(Self::Ack),
            OPEN => {
                let (header, rest) = message.split_first_chunk::<OPEN_HEADER>()?;
                let [_, kind, _, _, l0, l1, l2, l3, n0, n1, ..] = *header;
                let label = rest.get(..u16::from_be_bytes([n0, n1]).into())?;
                Some(Self::Open {
                    reliability: Reliability {
                        unordered: kind & UNORDERED != 0,
                        kind: match kind & !UNORDERED {
                            0 => ReliabilityType::Reliable,
                            1 => ReliabilityType::Rexmit,
                            2 => ReliabilityType::Timed,
                            _ => return None,
                        },
                        limit: u32::from_be_bytes([l0, l1, l2, l3]),
                    },
                    label: std::str::from_utf8(label).ok()?,
                })
            }
            _ => None,
        }
    }

    /// OPEN for a channel of the protocol.
    pub(crate) fn open(channel: DataChannel) -> Vec<u8> {
        let reliability = Reliability::of(channel);
        let kind = match reliability.kind {
            ReliabilityType::Reliable => 0,
            ReliabilityType::Rexmit => 1,
            ReliabilityType::Timed => 2,
        };
        let label = channel.label();
        let mut message = vec![
            OPEN,
            kind | if reliability.unordered { UNORDERED } else { 0 },
        ];
        // Normal priority (RFC 8831 section 6.4).
        message.extend_from_slice(&256u16.to_be_bytes());
        message.extend_from_slice(&reliability.limit.to_be_bytes());
        message.extend_from_slice(&u16::try_from(label.len()).unwrap_or(0).to_be_bytes());
        message.extend_from_slice(&[0, 0]);
        message.extend_from_slice(label.as_bytes());
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_is_read_as_written() {
        for channel in DataChannel::ALL {
            assert_eq!(
                DcepMessage::parse(&DcepMessage::open(channel)),
                Some(DcepMessage::Open {
                    reliability: Reliability::of(channel),
                    label: channel.label()
                })
            );
        }
        assert_eq!(DcepMessage::parse(&ACK_MESSAGE), Some(DcepMessage::Ack));
    }

    #[test]
    fn short_and_lying_messages_are_refused() {
        let message = DcepMessage::open(DataChannel::Lossy);
        for length in 0..message.len() {
            assert_eq!(DcepMessage::parse(&message[..length]), None);
        }
        let mut unknown_type = message.clone();
        unknown_type[1] = 3;
        assert_eq!(DcepMessage::parse(&unknown_type), None);
        let mut no_utf8 = message;
        no_utf8[12] = 0xff;
        assert_eq!(DcepMessage::parse(&no_utf8), None);
    }
}
