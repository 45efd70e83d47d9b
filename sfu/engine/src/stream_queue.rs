//! What waits to be written to a TCP connection that doesn't keep up.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, Write},
};

use plenum_transport::{DatagramKind, FRAME_HEADER, classify, frame_header};

/// Bytes that may wait. Two seconds of 1 Mbit/s: what is older is of no use to a call.
const MAX_WAITING: usize = 256 * 1024;
/// The last of them are for STUN and DTLS: without checks the path ends, and data messages may not be lost once taken.
const RESERVED: usize = 32 * 1024;
/// Memory that an empty queue keeps.
const KEPT: usize = 16 * 1024;
/// Packets of one write call: as many as a run has.
const BATCH: usize = 64;

/// What became of packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Queued {
    /// Written, or waiting to be.
    pub(crate) taken: u64,
    /// Dropped, each as a whole.
    pub(crate) dropped: u64,
    /// Write calls.
    pub(crate) calls: u64,
}

/// See the module. Frames leave in order and whole: a frame of which some bytes are out is always finished.
#[derive(Debug, Default)]
pub(crate) struct StreamQueue {
    waiting: VecDeque<u8>,
}

impl StreamQueue {
    /// Sends packets of `segment` bytes (the last may be shorter), each as a frame.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn send(
        &mut self,
        out: &mut impl Write,
        packets: &[u8],
        segment: usize,
    ) -> io::Result<Queued> {
        let mut queued = Queued::default();
        let mut rest = packets;
        let segment = segment.max(1);
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(segment.saturating_mul(BATCH)));
            rest = later;
            let mut written = 0;
            if self.waiting.is_empty() {
                written = write_frames(out, batch, segment)?;
                queued.calls += 1;
            }
            for packet in batch.chunks(segment) {
                let frame = FRAME_HEADER + packet.len();
                if written >= frame {
                    written -= frame;
                    queued.taken += 1;
                } else if self.push(packet, std::mem::take(&mut written)) {
                    queued.taken += 1;
                } else {
                    queued.dropped += 1;
                }
            }
        }
        Ok(queued)
    }

    /// Keeps what is left of a frame after `written` bytes; `false` if there is no room for a frame that has not begun.
    fn push(&mut self, packet: &[u8], written: usize) -> bool {
        let Some(header) = frame_header(packet.len()) else {
            return false;
        };
        let bound = match classify(packet) {
            DatagramKind::Stun | DatagramKind::Dtls => MAX_WAITING,
            DatagramKind::Rtp | DatagramKind::Rtcp | DatagramKind::Unknown => {
                MAX_WAITING - RESERVED
            }
        };
        if written == 0 && self.waiting.len() + header.len() + packet.len() > bound {
            return false;
        }
        let bytes = header.iter().chain(packet).skip(written);
        self.waiting.extend(bytes);
        true
    }

    /// Writes what waits, as far as the connection takes it.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        while !self.waiting.is_empty() {
            let (front, _) = self.waiting.as_slices();
            match out.write(front) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.waiting.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.waiting.shrink_to(KEPT);
        Ok(())
    }
}

/// One write call; how many bytes of the frames it took.
fn write_frames(out: &mut impl Write, packets: &[u8], segment: usize) -> io::Result<usize> {
    let mut headers = [[0; FRAME_HEADER]; BATCH];
    for (header, packet) in headers.iter_mut().zip(packets.chunks(segment)) {
        *header = frame_header(packet.len()).ok_or(io::ErrorKind::InvalidInput)?;
    }
    let mut slices = [IoSlice::new(&[]); 2 * BATCH];
    let mut used = 0;
    for ((pair, header), packet) in slices
        .chunks_exact_mut(2)
        .zip(&headers)
        .zip(packets.chunks(segment))
    {
        if let [first, second] = pair {
            *first = IoSlice::new(header);
            *second = IoSlice::new(packet);
            used += 2;
        }
    }
    loop {
        return match out.write_vectored(slices.get(..used).unwrap_or_default()) {
            Ok(written) => Ok(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_transport::FrameReader;

    /// A connection that takes so many bytes, then none until it may again.
    #[derive(Default)]
    struct Pipe {
        takes: usize,
        bytes: Vec<u8>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.takes);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.takes -= taken;
            self.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            self.write(&bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let space = reader.space();
            let (now, later) = bytes.split_at(bytes.len().min(space.len()));
            space[..now.len()].copy_from_slice(now);
            reader.filled(now.len());
            bytes = later;
            while let Some(frame) = reader.next_frame().unwrap() {
                frames.push(frame.to_vec());
            }
        }
        frames
    }

    const RTP: u8 = 0x80;
    const DTLS: u8 = 22;

    #[test]
    fn a_frame_that_was_written_in_part_is_finished_before_the_next() {
        for takes in 0..2 * 102 {
            let mut pipe = Pipe {
                takes,
                ..Pipe::default()
            };
            let mut queue = StreamQueue::default();
            let run: Vec<u8> = [[RTP; 100], [DTLS; 100]].concat();
            queue.send(&mut pipe, &run, 100).unwrap();
            queue.send(&mut pipe, &[RTP; 50], 100).unwrap();
            pipe.takes = usize::MAX;
            queue.flush(&mut pipe).unwrap();
            let lengths: Vec<_> = frames(&pipe.bytes).iter().map(Vec::len).collect();
            assert_eq!(lengths, [100, 100, 50], "{takes}");
        }
    }

    #[test]
    fn media_is_dropped_whole_and_stun_and_dtls_last() {
        let mut pipe = Pipe::default();
        let mut queue = StreamQueue::default();
        let run = vec![RTP; 64 * 1200];
        let mut media = Queued::default();
        for _ in 0..10 {
            let queued = queue.send(&mut pipe, &run, 1200).unwrap();
            media.taken += queued.taken;
            media.dropped += queued.dropped;
        }
        assert_eq!(media.taken + media.dropped, 640);
        assert!(media.dropped > 400 && queue.waiting.len() <= MAX_WAITING - RESERVED);
        assert_eq!(queue.send(&mut pipe, &[DTLS; 1200], 1200).unwrap().taken, 1);
        let handshakes = (0..100)
            .map(|_| queue.send(&mut pipe, &[DTLS; 1200], 1200).unwrap().taken)
            .sum::<u64>();
        assert!((20..40).contains(&handshakes), "{handshakes}");
        assert!(queue.waiting.len() <= MAX_WAITING);

        pipe.takes = usize::MAX;
        queue.flush(&mut pipe).unwrap();
        let all = frames(&pipe.bytes);
        assert_eq!(all.len() as u64, media.taken + 1 + handshakes);
        assert!(queue.waiting.capacity() <= KEPT);
    }
}
