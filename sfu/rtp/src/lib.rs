//! Packet formats: RTP, RTCP, header extensions, payload descriptors.
