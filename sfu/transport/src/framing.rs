//! Packets on a TCP connection: each has its length before it (RFC 4571 section 2), as ICE over TCP wants it (RFC 6544
//! section 3).

/// Bytes of a length.
pub const FRAME_HEADER: usize = 2;
/// Longest frame that is taken. Clients fill an Ethernet frame at most, as on UDP; the rest is room for DTLS flights that
/// a client does not split.
pub const MAX_FRAME: usize = 4_096;
/// What a reader holds: a frame that has come in part, behind one that has come whole.
const BUFFER: usize = 2 * (FRAME_HEADER + MAX_FRAME);

/// The bytes can't be frames of ours; nothing after them can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {len} bytes came over TCP; the most is {MAX_FRAME}")]
pub struct FrameTooLong {
    /// What the header says.
    pub len: usize,
}

/// Cuts a stream of bytes into frames, however they arrive. Its memory is fixed.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Box<[u8]>,
    /// `start..end` of the buffer is unread.
    start: usize,
    end: usize,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self {
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }
}

impl FrameReader {
    /// Where the next bytes of the stream go; never empty once all whole frames were taken. [`filled`](Self::filled) says
    /// how many there are.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// That many bytes were written to [`space`](Self::space).
    pub fn filled(&mut self, bytes: usize) {
        self.end = self.end.saturating_add(bytes).min(self.buffer.len());
    }

    /// The next frame that is there as a whole. Empty frames are passed over: they carry nothing (RFC 4571 section 2).
    ///
    /// # Errors
    /// A longer frame than any is announced: the connection is of no use any more.
    pub fn next_frame(&mut self) -> Result<Option<&mut [u8]>, FrameTooLong> {
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let Some(([high, low], rest)) = unread.split_first_chunk::<FRAME_HEADER>() else {
                return Ok(None);
            };
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            if len > MAX_FRAME {
                return Err(FrameTooLong { len });
            }
            if rest.len() < len {
                return Ok(None);
            }
            let from = self.start + FRAME_HEADER;
            self.start = from + len;
            if len > 0 {
                return Ok(self.buffer.get_mut(from..from + len));
            }
        }
    }
}

/// What goes before a packet of this length; `None` if it is longer than a frame can be.
#[must_use]
pub fn frame_header(len: usize) -> Option<[u8; FRAME_HEADER]> {
    u16::try_from(len).ok().map(u16::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(packets: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for packet in packets {
            bytes.extend(frame_header(packet.len()).unwrap());
            bytes.extend_from_slice(packet);
        }
        bytes
    }

    /// Feeds the stream in pieces of these sizes, again and again.
    fn read(mut stream: &[u8], pieces: &[usize]) -> Result<Vec<Vec<u8>>, FrameTooLong> {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        for piece in pieces.iter().cycle() {
            let space = reader.space();
            let (now, later) = stream.split_at((*piece).min(stream.len()).min(space.len()));
            space[..now.len()].copy_from_slice(now);
            reader.filled(now.len());
            while let Some(frame) = reader.next_frame()? {
                frames.push(frame.to_vec());
            }
            stream = later;
            if stream.is_empty() {
                break;
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_come_out_whole_however_the_stream_is_cut() {
        let packets: Vec<Vec<u8>> = [1, 1200, 0, 2, MAX_FRAME, 20, MAX_FRAME, 1]
            .iter()
            .map(|len| vec![*len as u8; *len])
            .collect();
        let stream = framed(&packets.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let expected: Vec<_> = packets.into_iter().filter(|p| !p.is_empty()).collect();
        for pieces in [vec![1], vec![2, 3, 7], vec![1200], vec![usize::MAX]] {
            assert_eq!(read(&stream, &pieces).unwrap(), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_frame_longer_than_any_is_refused_by_its_header() {
        let mut stream = framed(&[b"fine"]);
        stream.extend(frame_header(MAX_FRAME + 1).unwrap());
        assert_eq!(
            read(&stream, &[1]),
            Err(FrameTooLong { len: MAX_FRAME + 1 })
        );
        assert_eq!(frame_header(70_000), None);
    }

    #[test]
    fn any_bytes_are_read_in_fixed_memory() {
        let mut random = fastrand::Rng::with_seed(4571);
        for _ in 0..200 {
            let stream: Vec<u8> = (0..random.usize(..40_000))
                .map(|_| random.u8(..16))
                .collect();
            let pieces: Vec<usize> = (0..5).map(|_| random.usize(1..9_000)).collect();
            let frames = read(&stream, &pieces).unwrap_or_default();
            assert!(frames.iter().all(|frame| frame.len() <= MAX_FRAME));
        }
    }
}
